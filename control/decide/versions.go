package decide

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// RaiseAfter is how long every voter must have announced that it reads a later
// version until the record's lowest version is raised: a rollout that is undone
// while its last pod starts has that long to say so.
const RaiseAfter = time.Minute

// Reader is a live member and the newest version that it reads, by its own word
// in the gossip. Everything before model.Protocol 2 announces none and reads 1.
type Reader struct {
	Member string
	Reads  int
}

// Common is the newest version that this build and every live member read, or 1
// while a voter of the record is not among them: what a silent one reads is not
// known, and it may come back as an older build.
func Common(voters []string, readers []Reader) int {
	lowest := model.Protocol
	for _, v := range voters {
		if !slices.ContainsFunc(readers, func(r Reader) bool { return r.Member == v }) {
			return 1
		}
	}
	for _, r := range readers {
		lowest = min(lowest, max(r.Reads, 1))
	}
	return lowest
}

// Raise decides about the record's lowest version: next is the record to propose,
// nil for none, and why says what keeps it below this build's version, "" if it is
// not below. since is for how long Common has been what it is. It is never lowered
// here: that is an operator's order (Lower), since something is lost with it.
func Raise(rec *model.Record, voters []string, readers []Reader, since time.Duration) (next *model.Record, why string) {
	now := max(rec.Lowest, 1)
	if now >= model.Protocol {
		return nil, ""
	}
	head := fmt.Sprintf("formats of version %d are not written yet (lowest version %d): ", model.Protocol, now)
	if rec.LowestHeld {
		return nil, head + "an operator holds it there; haproxyctl register raise-version ends that"
	}
	common := Common(voters, readers)
	switch {
	case common <= now:
		return nil, head + join(without(voters, readers, now)) + "; it is raised by itself once all are there and new"
	case since < RaiseAfter:
		return nil, head + fmt.Sprintf("all members read version %d; it is raised when that has been so for %v", common, RaiseAfter)
	}
	next = rec.Clone()
	next.Lowest = common
	return next, head + "it is being raised"
}

// without says who keeps the lowest version at now: the voters that are not heard
// and the members that read nothing later.
func without(voters []string, readers []Reader, now int) []string {
	var out []string
	for _, v := range voters {
		if !slices.ContainsFunc(readers, func(r Reader) bool { return r.Member == v }) {
			out = append(out, v+" is a voter and not there")
		}
	}
	for _, r := range readers {
		if max(r.Reads, 1) <= now {
			out = append(out, fmt.Sprintf("%s reads version %d", r.Member, max(r.Reads, 1)))
		}
	}
	return out
}

// Unread names the live members that cannot read what the record's lowest version
// allows to be written. There are none in an upgrade that goes forward.
func Unread(rec *model.Record, readers []Reader) []string {
	var out []string
	for _, r := range readers {
		if max(r.Reads, 1) < rec.Lowest {
			out = append(out, fmt.Sprintf("%s reads version %d and the record's lowest version is %d: upgrade it, or go back with haproxyctl register lower-version",
				r.Member, max(r.Reads, 1), rec.Lowest))
		}
	}
	return out
}

// Lower is the record with which older builds may take part again, and what is
// lost with that, as sentences. The lowest version stays there until an operator
// lets it rise. next is nil where nothing would change.
func Lower(rec *model.Record) (next *model.Record, lost []string) {
	if !rec.Speaks(2) && rec.LowestHeld {
		return nil, nil
	}
	next = rec.Clone()
	next.Lowest, next.LowestHeld = 1, true
	return next, rec.LostBelow2()
}

func join(s []string) string { return strings.Join(s, ", ") }
