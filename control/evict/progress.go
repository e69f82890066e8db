package evict

import (
	"slices"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/model"
)

const (
	// OwnerSilent is after how long without a word from an order's owner the leader carries it out.
	OwnerSilent = 300 * time.Millisecond
	// void is how long after a member learned of an order it may still tell a survivor: what comes later comes too late.
	void = time.Second
	// nextAfter is how long the view has to change before the next survivor is told.
	nextAfter = 150 * time.Millisecond
	// prepareWithin is how long the others' timers are waited for before the first survivor is told.
	prepareWithin = 50 * time.Millisecond
	// lookTwice is the time between the two looks that have to find every list empty: a member that was late with its JOIN
	// teaches an entry anew.
	lookTwice = time.Second
	// clearAgain is the time between two statements that empty one list.
	clearAgain = 100 * time.Millisecond
)

// Seen is what one survivor said when it was asked last.
type Seen struct {
	// Ended: its process is known to be no more, and with it its list.
	Ended bool
	// Answered: the rest was read in this turn.
	Answered bool
	Primary  bool
	ConfID   int64
	// Operational: wsrep_evs_state is that. Listed: wsrep_evs_evict_list is not empty.
	Operational, Listed bool
	// Busy: a statement of ours is under way there.
	Busy bool
}

// Action is what is to be done now.
type Action struct {
	// Prepare are the survivors whose evs.join_retrans_period is to be shortened, Tell is the one to be told, -1 for none, and
	// Clear are those whose lists are to be emptied: indices into the order's Survivors.
	Prepare []int
	Tell    int
	Clear   []int
	// Paid: nothing is owed any more.
	Paid bool
}

// Progress is how far one member is with carrying out an order. Times are ages: since this member learned of it.
type Progress struct {
	order *model.Eviction
	// prepared: the others were to shorten their timers.
	prepared bool
	// next is the survivor to be told next, told that somebody was, toldAt when the last one was.
	next   int
	told   bool
	toldAt time.Duration
	// changed: another view than the order's was seen.
	changed bool
	// clearedAt is when each list was last emptied, with once where that was ever so.
	clearedAt []time.Duration
	once      []bool
	// again: all lists were emptied a second time.
	again bool
	// emptyAt is when every list was first seen to be empty after the last statement, if empty.
	emptyAt time.Duration
	empty   bool
}

// Begin is the progress of nothing done yet.
func Begin(order *model.Eviction) *Progress {
	n := len(order.Survivors)
	// Where an entry was found nobody is told anything.
	return &Progress{order: order, changed: order.Found, clearedAt: make([]time.Duration, n), once: make([]bool, n)}
}

// Changed tells whether another view than the order's was seen.
func (p *Progress) Changed() bool { return p.changed }

// Next is what is to be done at an age, with what was seen of each survivor in this turn. What it says is taken to be done.
//
// lives: this member's own view shows that the victim lives after all. Then nobody is told any more: evicting a process that lives and
// talks to the others stops the cluster.
func (p *Progress) Next(age time.Duration, seen []Seen, lives bool) Action {
	a := Action{Tell: -1}
	for _, s := range seen {
		if s.Answered && s.Primary && s.ConfID != p.order.ConfID {
			p.changed = true
		}
	}
	if lives {
		p.prepared, p.next = true, len(seen)
	}
	for p.next < len(seen) && seen[p.next].Ended {
		p.next++
	}
	if !p.prepared && !p.changed && age < void {
		// One that has to say its JOIN again does so after its own period, by default a second, and refuses to be
		// told anything once it makes a view (measured: 1.0 s in one eviction of five where only the first had the short period).
		p.prepared = true
		for i := 1; i < len(seen); i++ {
			if !seen[i].Ended {
				a.Prepare = append(a.Prepare, i)
			}
		}
		if len(a.Prepare) > 0 {
			return a
		}
	}
	switch {
	case !p.told && age < prepareWithin && slices.ContainsFunc(seen, func(s Seen) bool { return s.Busy }):
		return a
	case !p.changed && age < void && p.next < len(seen) && (!p.told || age-p.toldAt >= nextAfter):
		if p.empty = false; seen[p.next].Busy {
			return a // one thing at a time: what is told later may overtake what was told before
		}
		a.Tell = p.next
		p.next++
		p.told, p.toldAt = true, age
		return a
	case !p.changed && age < void && (p.told || !lives), !settled(seen):
		p.empty = false
		return a
	}
	for i, s := range seen {
		if !s.Ended && (!p.once[i] || s.Listed && age-p.clearedAt[i] >= clearAgain) {
			a.Clear = append(a.Clear, i)
			p.clearedAt[i], p.once[i] = age, true
		}
	}
	if len(a.Clear) > 0 || slices.ContainsFunc(seen, func(s Seen) bool { return s.Listed }) {
		p.empty = false
		return a
	}
	if !p.empty {
		p.empty, p.emptyAt = true, age
	}
	switch {
	case age-p.emptyAt < lookTwice:
	case !p.again:
		// A statement of a member that was killed may have come meanwhile, and have shortened a period: lists do not show that.
		p.again, p.empty = true, false
		for i, s := range seen {
			if !s.Ended {
				a.Clear = append(a.Clear, i)
				p.clearedAt[i] = age
			}
		}
	default:
		a.Paid = true
	}
	return a
}

// settled tells whether every survivor that is left answers, in one view that is made, and runs no statement of ours. Only
// then a list that is emptied stays so: one that is still making a view teaches the others its own.
func settled(seen []Seen) bool {
	first := -1
	for i, s := range seen {
		if s.Ended {
			continue
		}
		if !s.Answered || !s.Primary || !s.Operational || s.Busy || first >= 0 && s.ConfID != seen[first].ConfID {
			return false
		}
		if first < 0 {
			first = i
		}
	}
	return true
}
