package gcomm

import (
	"cmp"
	"strings"
)

// viewID names a view of EVS: a number that grows, and the representative that made it.
type viewID struct {
	seq int
	by  *proc
}

func (a viewID) none() bool { return a.by == nil }

func (a viewID) compare(b viewID) int {
	if c := cmp.Compare(a.seq, b.seq); c != 0 || a.by == b.by {
		return c
	}
	switch {
	case a.by == nil:
		return -1
	case b.by == nil:
		return 1
	}
	return byUUID(a.by, b.by)
}

func byUUID(a, b *proc) int { return strings.Compare(a.uuid, b.uuid) }

// view is a view of EVS. Its members are in the order of their UUIDs.
type view struct {
	id      viewID
	members []*proc
}

func newView(id viewID, members []*proc) *view { return &view{id: id, members: members} }

func (v *view) index(p *proc) int {
	for i, m := range v.members {
		if m == p {
			return i
		}
	}
	return -1
}

func (v *view) has(p *proc) bool { return v.index(p) >= 0 }

// entry is one message of a view's traffic that is delivered in order.
type entry struct {
	seq     int
	from    *proc
	payload any // nil for a keepalive
}

// traffic is what a process has of the messages of a view: a slice per member, in the members' order. The slices are
// shared and only appended to, so that a snapshot costs nothing.
type traffic struct {
	sent [][]entry
	high []int // the highest number that the member has used
	aru  []int // up to where the member says that it has everything from everybody
}

func newTraffic(n int) traffic {
	return traffic{sent: make([][]entry, n), high: make([]int, n), aru: make([]int, n)}
}

func (t traffic) snapshot() traffic {
	return traffic{
		sent: append([][]entry(nil), t.sent...), high: append([]int(nil), t.high...), aru: append([]int(nil), t.aru...),
	}
}

// complete is up to where this process has everything from everybody (aru), and safe is up to where everybody has
// said so: what is safe is delivered.
func (t traffic) complete() int { return least(t.high) }
func (t traffic) safe() int     { return least(t.aru) }

func least(a []int) int {
	low := a[0]
	for _, v := range a[1:] {
		low = min(low, v)
	}
	return low
}

func most(a []int) int {
	high := a[0]
	for _, v := range a[1:] {
		high = max(high, v)
	}
	return high
}
