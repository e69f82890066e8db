// Package donor is one scenario: the active is killed, comes back, and takes its
// state from the new active, which becomes a donor. What HAProxy's check says of
// a donor, and how long it is one, decide whether that is a second failover. The
// end-to-end tests run one combination of the circumstances, the command rejoin
// a list of them.
package donor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

// Check is what HAProxy asks the nodes.
type Check string

// The checks.
const (
	// TCP only connects.
	TCP Check = "tcp"
	// Strict is an external check that refuses donors, as Percona's own does unless
	// OK_IF_DONOR is set, and clustercheck unless AVAILABLE_WHEN_DONOR is.
	Strict Check = "strict"
	// Lenient is an external check that accepts donors.
	Lenient Check = "lenient"
)

// File is the kind of haproxy.cfg.
type File string

// The files.
const (
	// Rendered is what haproxyctl renders.
	Rendered File = "rendered"
	// StickOn is the predecessor's kind: `stick on` and nothing of ours.
	StickOn File = "stick on"
)

// Combination is one of each circumstance.
type Combination struct {
	Transfer lab.Method
	Check    Check
	// Inter is HAProxy's `inter`; `rise 1 fall 2` in all.
	Inter time.Duration
	File  File
	// HAProxy is the version, "2.6".
	HAProxy string
}

// String is the combination's name, which -only is matched with.
func (c Combination) String() string {
	return strings.Join(c.values(), ", ")
}

// values are the circumstances as texts.
func (c Combination) values() []string {
	return []string{string(c.Transfer), string(c.Check), fmt.Sprintf("inter %v", c.Inter), string(c.File), "HAProxy " + c.HAProxy}
}

// checkAt is the place of the check among the values.
const checkAt = 1

// all are all combinations.
func all() []Combination {
	var out []Combination
	for _, t := range []lab.Method{lab.RSync, lab.MariaBackup, lab.Incremental} {
		for _, k := range []Check{Strict, Lenient, TCP} {
			for _, inter := range []time.Duration{time.Second, 10 * time.Second} {
				for _, f := range []File{Rendered, StickOn} {
					for _, v := range []string{"2.6", "3.2"} {
						out = append(out, Combination{t, k, inter, f, v})
					}
				}
			}
		}
	}
	return out
}

// covers are the parts of a combination that some row of the list must have: every
// two circumstances, and with an external check, where a donor makes the
// difference, every two others together with it.
func (c Combination) covers() []string {
	v := c.values()
	var out []string
	for i := range v {
		for j := range i {
			out = append(out, v[j]+" + "+v[i])
			if c.Check != TCP && i != checkAt && j != checkAt {
				out = append(out, v[checkAt]+" + "+v[j]+" + "+v[i])
			}
		}
	}
	return out
}

// Core is the combination of the core suite: the usual case.
var Core = Combination{lab.RSync, Strict, time.Second, Rendered, "2.6"}

// List is the combinations that are run: few that have every part (see covers). Each
// is the one that adds most to those before it, the first of equals; what those
// after it made superfluous is left out again, but for Core.
func List() []Combination {
	have := map[string]int{} // in how many rows a part is
	adds := func(c Combination) (n int) {
		for _, part := range c.covers() {
			if have[part] == 0 {
				n++
			}
		}
		return n
	}
	count := func(c Combination, by int) {
		for _, part := range c.covers() {
			have[part] += by
		}
	}
	list := []Combination{Core}
	count(Core, 1)
	for {
		best := slices.MaxFunc(all(), func(a, b Combination) int { return adds(a) - adds(b) })
		if adds(best) == 0 {
			break
		}
		list = append(list, best)
		count(best, 1)
	}
	order := all()
	slices.SortFunc(list, func(a, b Combination) int { return slices.Index(order, a) - slices.Index(order, b) })
	for i := len(list) - 1; i >= 0; i-- {
		if count(list[i], -1); list[i] == Core || adds(list[i]) > 0 {
			count(list[i], 1)
			continue
		}
		list = slices.Delete(list, i, i+1)
	}
	return list
}
