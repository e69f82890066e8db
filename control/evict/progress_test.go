package evict

import (
	"slices"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/model"
)

const ms = time.Millisecond

// at is what is seen at an age, and what is to be done.
type at struct {
	age  time.Duration
	seen []Seen
	want Action
}

func tell(i int) Action { return Action{Tell: i} }

// prepare is how each order begins: the other's timer is shortened.
var prepare = Action{Tell: -1, Prepare: []int{1}}

func clearing(i ...int) Action { return Action{Tell: -1, Clear: i} }

var (
	nothing = Action{Tell: -1}
	paid    = Action{Tell: -1, Paid: true}
)

func TestProgress(t *testing.T) {
	before := Seen{Answered: true, Primary: true, ConfID: 7, Operational: true}
	making := Seen{Answered: true, Primary: true, ConfID: 7, Listed: true}
	made := Seen{Answered: true, Primary: true, ConfID: 8, Operational: true, Listed: true}
	empty := Seen{Answered: true, Primary: true, ConfID: 8, Operational: true}
	busy := made
	busy.Busy = true
	preparing := before
	preparing.Busy = true
	old := before
	old.Listed = true
	for name, steps := range map[string][]at{
		"as it should go": {
			{0, []Seen{before, before}, prepare},
			{2 * ms, []Seen{before, preparing}, nothing},
			{4 * ms, []Seen{before, before}, tell(0)},
			{5 * ms, []Seen{making, making}, nothing},
			{10 * ms, []Seen{made, making}, nothing}, // one still makes the view: emptied now, the other would be taught anew
			{15 * ms, []Seen{busy, made}, nothing},   // the statement has not returned
			{20 * ms, []Seen{made, made}, clearing(0, 1)},
			{25 * ms, []Seen{empty, made}, nothing}, // the statement may be under way
			{30 * ms, []Seen{empty, empty}, nothing},
			{1020 * ms, []Seen{empty, empty}, nothing},
			{1031 * ms, []Seen{empty, empty}, clearing(0, 1)},
			{1035 * ms, []Seen{empty, empty}, nothing},
			{2034 * ms, []Seen{empty, empty}, nothing},
			{2035 * ms, []Seen{empty, empty}, paid},
		},
		"the second is told where the first does nothing": {
			{0, []Seen{before, before}, prepare},
			{49 * ms, []Seen{before, preparing}, nothing},
			{50 * ms, []Seen{before, preparing}, tell(0)}, // which does not wait for one that hangs
			{199 * ms, []Seen{before, before}, nothing},
			{200 * ms, []Seen{before, before}, tell(1)},
			{400 * ms, []Seen{before, before}, nothing}, // all are told
		},
		"in vain: it is void, and the lists are emptied all the same": {
			{0, []Seen{before, before}, prepare},
			{5 * ms, []Seen{before, before}, tell(0)},
			{200 * ms, []Seen{before, before}, tell(1)},
			{999 * ms, []Seen{old, before}, nothing},
			{1000 * ms, []Seen{old, before}, clearing(0, 1)},
			{1005 * ms, []Seen{before, before}, nothing},
			{2005 * ms, []Seen{before, before}, clearing(0, 1)},
			{2010 * ms, []Seen{before, before}, nothing},
			{3010 * ms, []Seen{before, before}, paid},
		},
		"one thing at a time": {
			{0, []Seen{before, before}, prepare},
			{50 * ms, []Seen{preparing, before}, nothing}, // two members carry it out, say
			{200 * ms, []Seen{preparing, before}, nothing},
			{210 * ms, []Seen{before, before}, tell(0)},
			{360 * ms, []Seen{before, preparing}, nothing},
			{370 * ms, []Seen{before, before}, tell(1)},
		},
		"one that has ended is not told": {
			{0, []Seen{{Ended: true}, before}, prepare},
			{5 * ms, []Seen{{Ended: true}, before}, tell(1)},
			{200 * ms, []Seen{{Ended: true}, before}, nothing},
		},
		"learned of late: nobody is told any more": {
			{1001 * ms, []Seen{before, before}, clearing(0, 1)},
		},
		"taught anew by one that was late": {
			{0, []Seen{made, made}, clearing(0, 1)},
			{5 * ms, []Seen{empty, empty}, nothing},
			{500 * ms, []Seen{empty, made}, clearing(1)},
			{550 * ms, []Seen{empty, made}, nothing},
			{601 * ms, []Seen{empty, made}, clearing(1)},
			{610 * ms, []Seen{empty, empty}, nothing},
			{1006 * ms, []Seen{empty, empty}, nothing},
			{1610 * ms, []Seen{empty, empty}, clearing(0, 1)},
			{1615 * ms, []Seen{busy, empty}, nothing},
			{1620 * ms, []Seen{empty, empty}, nothing},
			{2615 * ms, []Seen{empty, empty}, nothing},
			{2620 * ms, []Seen{empty, empty}, paid},
		},
		"one that cannot be reached is owed": {
			{0, []Seen{made, {}}, nothing}, // another view is there already: nobody is told
			{5000 * ms, []Seen{made, {}}, nothing},
			{5010 * ms, []Seen{made, {Ended: true}}, clearing(0)},
			{5020 * ms, []Seen{empty, {Ended: true}}, nothing},
			{6020 * ms, []Seen{empty, {Ended: true}}, clearing(0)},
			{6025 * ms, []Seen{empty, {Ended: true}}, nothing},
			{7025 * ms, []Seen{empty, {Ended: true}}, paid},
		},
		"outside the primary component is not the new view": {
			{0, []Seen{before, before}, prepare},
			{5 * ms, []Seen{before, before}, tell(0)},
			{50 * ms, []Seen{{Answered: true, ConfID: -1, Operational: true}, before}, nothing},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := Begin(&model.Eviction{ConfID: 7, Survivors: make([]model.Survivor, 2)})
			for _, s := range steps {
				got := p.Next(s.age, s.seen, false)
				if got.Tell != s.want.Tell || got.Paid != s.want.Paid || !slices.Equal(got.Clear, s.want.Clear) || !slices.Equal(got.Prepare, s.want.Prepare) {
					t.Fatalf("at %v: %+v, want %+v", s.age, got, s.want)
				}
			}
		})
	}
}

// A victim that lives after all is not evicted, or not by one more survivor; what was prepared or told is undone.
func TestProgressOfOneThatLives(t *testing.T) {
	before := Seen{Answered: true, Primary: true, ConfID: 7, Operational: true}
	for name, c := range map[string]struct {
		told bool
		want []Action // from 10 ms on, when it is seen to live, every 100 ms
	}{
		"not told yet": {false, []Action{clearing(0, 1), nothing}},
		"told once":    {true, []Action{nothing, nothing, nothing, nothing, nothing, nothing, nothing, nothing, nothing, nothing, clearing(0, 1)}},
	} {
		p := Begin(&model.Eviction{ConfID: 7, Survivors: make([]model.Survivor, 2)})
		p.Next(0, []Seen{before, before}, false)
		if c.told {
			p.Next(5*ms, []Seen{before, before}, false)
		}
		for i, want := range c.want {
			age := 10*ms + time.Duration(i)*100*ms
			if got := p.Next(age, []Seen{before, before}, true); got.Tell != -1 || !slices.Equal(got.Clear, want.Clear) {
				t.Errorf("%s: at %v: %+v, want %+v", name, age, got, want)
			}
		}
	}
}
