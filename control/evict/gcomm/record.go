package gcomm

import (
	"fmt"
	"math/bits"
)

// commits is a set of write sets by number.
type commits []uint64

func (s *commits) add(id int) {
	for len(*s) <= id/64 {
		*s = append(*s, 0)
	}
	(*s)[id/64] |= 1 << (id % 64)
}

func (s commits) has(id int) bool { return id/64 < len(s) && s[id/64]&(1<<(id%64)) != 0 }

func (s commits) count() int {
	n := 0
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

// lacks returns one that t has and s has not, -1 if there is none.
func (s commits) lacks(t commits) int {
	for i, w := range t {
		if i < len(s) {
			w &^= s[i]
		}
		if w != 0 {
			return i*64 + bits.TrailingZeros64(w)
		}
	}
	return -1
}

func (s commits) equal(t commits) bool { return s.lacks(t) < 0 && t.lacks(s) < 0 }

func (s commits) with(t commits) commits {
	for i, w := range t {
		if i < len(s) {
			s[i] |= w
		} else {
			s = append(s, w)
		}
	}
	return s
}

// made is a primary component that came to be.
type made struct {
	order     int
	view      *view
	parent    *made
	base      commits // what it began with
	delivered map[*proc]bool
	complete  bool // all its members had it, so that it could commit
}

// record is what really happened, which no process knows: it judges the histories.
type record struct {
	made  map[viewID]*made
	order []*made
	acked commits
	ids   int
	found []string
}

func newRecord() record { return record{made: map[viewID]*made{}} }

func (r *record) begin(v *view) {
	m := &made{view: v, complete: true}
	r.made[v.id] = m
	r.order = append(r.order, m)
}

func (r *record) next() int {
	r.ids++
	return r.ids
}

func (r *record) wrong(p *proc, format string, args ...any) {
	r.found = append(r.found, fmt.Sprintf("%v: %s: ", p.c.now, p.uuid)+fmt.Sprintf(format, args...))
}

// formed notes that a process is in a new primary component. Two that could both commit, and of which neither comes from
// the other, are a split brain; and one has to begin with all that was acknowledged, where it begins with any data.
func (r *record) formed(p *proc, v *view, parent viewID, base commits, data bool) {
	m := r.made[v.id]
	if m == nil {
		m = &made{order: len(r.order), view: v, parent: r.made[parent], base: base, delivered: map[*proc]bool{}}
		r.made[v.id] = m
		r.order = append(r.order, m)
		if id := base.lacks(r.acked); id >= 0 && data {
			r.wrong(p, "a primary component lacks commit %d, which was acknowledged", id)
		}
	}
	m.delivered[p] = true
	if m.complete || len(m.delivered) < len(v.members) {
		return
	}
	m.complete = true
	for _, o := range r.order {
		if o.complete && !o.before(m) && !m.before(o) {
			r.wrong(p, "a second primary component beside that of %d", o.view.id.seq)
			return
		}
	}
}

// before tells whether m comes from o, or is it.
func (o *made) before(m *made) bool {
	for ; m != nil; m = m.parent {
		if m == o {
			return true
		}
	}
	return false
}

// acknowledge notes that a client was told of its commit.
func (r *record) acknowledge(w *write) {
	r.acked.add(w.id)
	sent := r.made[w.view]
	for _, m := range r.order {
		if sent != nil && m.order > sent.order && m.complete && !m.base.has(w.id) {
			r.wrong(w.origin, "commit %d is acknowledged and was lost already", w.id)
		}
	}
}

func (r *record) met(p, q *proc) {
	r.wrong(p, "two primary components meet, the other one is that of %s", q.uuid)
}
