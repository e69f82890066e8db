package steer

import (
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
)

func TestPace(t *testing.T) {
	start := time.Unix(1000, 0)
	p := pace{urgent: 2 * time.Second, calm: 500 * time.Millisecond}
	v := cluster.Version{Epoch: 1}
	// An unsteered proxy makes the entry wrong again right after each correction.
	corrections := map[bool]int{}
	for at := time.Duration(0); at < 10*time.Second; at += 20 * time.Millisecond {
		now := start.Add(at)
		if !p.due(now) {
			p.note(now, v, false)
			continue
		}
		p.note(now, v, false)
		p.last = now
		corrections[at < 2*time.Second]++
	}
	if corrections[true] != 100 {
		t.Errorf("in the first two seconds %d corrections, want one a look", corrections[true])
	}
	if n := corrections[false]; n < 14 || n > 16 {
		t.Errorf("in the eight seconds after that %d corrections, want one each 500 ms", n)
	}
	// Right for a moment is no end of the duel; a new decision is urgent again.
	now := start.Add(10 * time.Second)
	p.note(now, v, true)
	p.last = now
	p.note(now.Add(20*time.Millisecond), v, false)
	if p.due(now.Add(20 * time.Millisecond)) {
		t.Error("urgent again after one right look")
	}
	v.Epoch = 2
	p.note(now.Add(40*time.Millisecond), v, false)
	if !p.due(now.Add(40 * time.Millisecond)) {
		t.Error("a new decision is not urgent")
	}
}
