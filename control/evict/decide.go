package evict

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// Modes of --evict.
const (
	ModeGone   = "gone"   // a process whose end is proved by both of its ports
	ModeSilent = "silent" // and one that says nothing within the probe's deadline
	ModeOff    = "off"
)

// mostPerHour bounds the evictions within an hour: more are a sign of something that no eviction mends.
const mostPerHour = 6

// Input is what the decision depends on, beside what every decision does.
type Input struct {
	*decide.Input
	// Mode is ModeGone, ModeSilent or ModeOff ("" is off).
	Mode string
	// Old is how many of the record's Evictions, the first ones, are known to be more than an hour old.
	Old int
	// Last: the last of two nodes is kept primary, if every voter says that the other is gone (--evict-last).
	Last bool
	// Waive names a rule that is left out. Only the simulation's mutants do so.
	Waive string
}

// Verdict is what was decided.
type Verdict struct {
	// Order is what is to be committed, nil for nothing.
	Order *model.Eviction
	// Why is a sentence: why this order, or why none although a process seems to have ended; "" while all are there.
	Why string
}

// Decide tells whether a process is to be evicted now, or an entry that one has left behind to be taken off a list.
func Decide(in *Input) Verdict {
	if o := found(in); o != nil {
		return Verdict{Order: o, Why: o.Reason + ": the list is emptied"}
	}
	return judge(in)
}

// judge decides of the process that seems to have ended.
func judge(in *Input) Verdict {
	c := accused(in)
	if c == nil {
		return Verdict{}
	}
	for _, rule := range rules {
		if why := rule.fails(in, c); why != "" && rule.name != in.Waive {
			return Verdict{Why: fmt.Sprintf("%s (%s) is %s and is not evicted: %s", c.node, c.uuid, c.evidence, why)}
		}
	}
	return Verdict{Order: order(in, c), Why: fmt.Sprintf("%s is %s for %d of %d voters and the group waits for it on %s: it is evicted from Galera's view",
		c.node, c.evidence, len(c.witnesses), len(in.Voters), names(c.survivors))}
}

// charge is what is held against one process.
type charge struct {
	node, uuid, evidence string
	confID               int64
	// accusers are the voters' views that say that it has ended, as the mode demands; any counts the other processes of
	// the same view that somebody says the same of.
	accusers []decide.Voice
	others   []string
	// survivors are the nodes that an accuser calls healthy, witnesses the accusers with the whole evidence.
	survivors []survivor
	witnesses []string
}

// notAlone says that others have ended, too, "" if none has.
func (c *charge) notAlone() string {
	if len(c.others) == 0 {
		return ""
	}
	return strings.Join(c.others, ", ") + " seems to have ended, too: one alone changes nothing"
}

// arbitrators is how many members of the view neither are accused nor answer: all have to be arbitrators (see allOthers).
func (c *charge) arbitrators() int64 { return c.survivors[0].Size - 1 - int64(len(c.survivors)) }

// lastOfTwo tells whether one node will be left of the view.
func (c *charge) lastOfTwo() bool { return len(c.survivors) == 1 && c.survivors[0].Size == 2 }

type survivor struct {
	name string
	*model.Group
}

func names(all []survivor) string {
	var out []string
	for _, s := range all {
		out = append(out, s.name)
	}
	return strings.Join(out, ", ")
}

// accused is the process that most voters say has ended, nil where nobody says so of any.
func accused(in *Input) *charge {
	byUUID := map[string]*charge{}
	var order []*charge
	for _, voter := range in.Voters {
		view := in.Voice(voter)
		if view == nil {
			continue
		}
		for i := range view.Nodes {
			n := &view.Nodes[i]
			if n.Group == nil || n.Group.End == "" || !awaited(view, n) {
				continue
			}
			c := byUUID[n.Group.UUID]
			if c == nil {
				c = &charge{node: n.Name, uuid: n.Group.UUID, confID: n.Group.ConfID}
				byUUID[n.Group.UUID] = c
				order = append(order, c)
			}
			c.accusers = append(c.accusers, decide.Voice{Member: voter, View: view})
		}
	}
	if len(order) == 0 {
		return nil
	}
	slices.SortStableFunc(order, func(a, b *charge) int { return len(b.accusers) - len(a.accusers) })
	c := order[0]
	for _, o := range order[1:] {
		if o.confID == c.confID {
			c.others = append(c.others, o.node)
		}
	}
	c.evidence = model.EndGone
	for _, v := range c.accusers {
		if v.View.Node(c.node).Group.End != model.EndGone {
			c.evidence = model.EndSilent
		}
	}
	for _, v := range c.accusers {
		for i := range v.View.Nodes {
			n := &v.View.Nodes[i]
			known := slices.ContainsFunc(c.survivors, func(s survivor) bool { return s.name == n.Name })
			if n.Name != c.node && n.Verdict == model.Healthy && n.Group != nil && !known {
				c.survivors = append(c.survivors, survivor{n.Name, n.Group})
			}
		}
	}
	return c
}

// awaited tells whether somebody who answers is still in the view that an ended process was in, or nobody answers: where all
// have made another, Galera is done with it.
func awaited(view *model.View, ended *model.NodeView) bool {
	answer := false
	for i := range view.Nodes {
		n := &view.Nodes[i]
		if n.Name == ended.Name || n.Verdict != model.Healthy || n.Group == nil {
			continue
		}
		if answer = true; n.Group.ConfID == ended.Group.ConfID {
			return true
		}
	}
	return !answer
}

// order is what is committed.
func order(in *Input, c *charge) *model.Eviction {
	// The least UUID is the representative's, which makes the view by itself: the others wait for it.
	slices.SortFunc(c.survivors, func(a, b survivor) int { return cmp.Compare(a.UUID, b.UUID) })
	e := &model.Eviction{
		Last: c.lastOfTwo(), Node: c.node, UUID: c.uuid, ConfID: c.confID, Evidence: c.evidence, Owner: in.By, At: in.Now.UTC().Truncate(time.Millisecond),
		Reason: fmt.Sprintf("%s for %d of %d voters (%s), causal reads hang on %s", c.evidence, len(c.witnesses), len(in.Voters),
			strings.Join(c.witnesses, ", "), names(c.survivors)),
	}
	for _, s := range c.survivors {
		e.Survivors = append(e.Survivors, model.Survivor{Node: s.name, UUID: s.UUID, Retrans: s.Retrans})
	}
	return e
}
