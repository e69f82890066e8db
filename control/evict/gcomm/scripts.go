package gcomm

import "time"

const ms = time.Millisecond

// evicted is the usual end of an eviction: clear both survivors when both have settled.
func evicted(rest ...Step) []Step {
	return append([]Step{
		{Do: Settled, At: R, N: 2, Name: "view R"}, {Do: Settled, At: O, N: 2, Name: "view O"},
		{Do: Clear, At: R}, {Do: Clear, At: O},
		{After: 300 * ms, Do: ListsEmpty, At: R}, {Do: ListsEmpty, At: O},
		{After: 200 * ms, Do: Unmark},
	}, rest...)
}

// before puts steps before others.
func before(rest []Step, first ...Step) []Step { return append(first, rest...) }

var (
	both   = []Role{R, O}
	killed = map[Role]End{
		R: {State: Primary, Size: 2}, O: {State: Primary, Size: 2}, V: {State: "dead"},
	}
	whole = map[Role]End{
		R: {State: Primary, Size: 3}, O: {State: Primary, Size: 3}, V: {State: Primary, Size: 3},
	}
)

// Scripts are the courses of events that the model and real Galera are compared by.
func Scripts() []Script {
	all := [][]Script{crashes(), returns(), lists(), twos(), reads()}
	var scripts []Script
	for _, s := range all {
		scripts = append(scripts, s...)
	}
	return scripts
}

func crashes() []Script {
	return []Script{
		{Name: "crash", Writers: both, Want: killed, Steps: []Step{
			{After: time.Second, Do: Mark}, {Do: Kill, At: V},
			{Do: Settled, At: R, N: 2, Name: "view R"}, {Do: Settled, At: O, N: 2}, {After: 500 * ms, Do: Unmark},
		}},
		{Name: "crash, evicted at the representative", Writers: both, Want: killed, Steps: before(evicted(),
			Step{After: time.Second, Do: Mark}, Step{Do: Kill, At: V}, Step{After: 100 * ms, Do: Evict, At: R, Of: V})},
		{Name: "crash, evicted at another", Writers: both, Want: killed, Steps: before(evicted(),
			Step{After: time.Second, Do: Mark}, Step{Do: Kill, At: V}, Step{After: 100 * ms, Do: Evict, At: O, Of: V})},
		{Name: "crash, evicted at both", Writers: both, Want: killed, Steps: before(evicted(),
			Step{After: time.Second, Do: Mark}, Step{Do: Kill, At: V}, Step{After: 100 * ms, Do: Evict, At: R, Of: V},
			Step{Do: Evict, At: O, Of: V})},
		{Name: "crash, evicted without the period", Writers: both, Want: killed, Steps: before(evicted(),
			Step{After: time.Second, Do: Mark}, Step{Do: Kill, At: V}, Step{After: 100 * ms, Do: EvictSlow, At: O, Of: V})},
	}
}

func returns() []Script {
	// The others first: a node that was cut off holds the old view, of three, for its own until it knows better.
	back := []Step{{Do: Joined, At: R, N: 3, Name: "back"}, {Do: Joined, At: O, N: 3}, {Do: Joined, At: V, N: 3, Name: "synced"}}
	return []Script{
		{Name: "crash, evicted, cleared, restarted", Writers: both, Want: map[Role]End{
			R: whole[R], O: whole[O], V: {State: Primary, Size: 3, Renewed: true},
		}, Steps: before(evicted(append(before(back, Step{After: time.Second, Do: Mark}, Step{Do: Start, At: V}),
			Step{Do: Unmark, Name: " while it comes back"})...),
			Step{After: time.Second, Do: Kill, At: V}, Step{After: 100 * ms, Do: Evict, At: R, Of: V})},
		{Name: "hang, evicted, cleared, resumed", Writers: both, Want: whole,
			Steps: before(evicted(before(back, Step{After: time.Second, Do: Resume, At: V})...),
				Step{After: time.Second, Do: Mark}, Step{Do: Hang, At: V}, Step{After: 500 * ms, Do: Evict, At: R, Of: V})},
		{Name: "hang, evicted, resumed before it is cleared", Writers: both, Want: map[Role]End{
			R: {State: Primary, Size: 2, Evicted: []Role{V}}, O: {State: Primary, Size: 2, Evicted: []Role{V}},
			V: {State: Disconnected},
		}, Steps: []Step{
			{After: time.Second, Do: Mark}, {Do: Hang, At: V}, {After: 500 * ms, Do: Evict, At: R, Of: V},
			{Do: Settled, At: R, N: 2, Name: "view R"}, {Do: Settled, At: O, N: 2}, {After: 300 * ms, Do: Unmark},
			{After: 500 * ms, Do: Resume, At: V}, {After: 12 * time.Second, Do: Pause},
		}},
		{Name: "cut, evicted, cleared, healed", Writers: both, Want: whole,
			Steps: before(evicted(
				before(back, Step{After: 2 * time.Second, Do: Heal})...),
				Step{After: time.Second, Do: Mark}, Step{Do: Isolate, At: V}, Step{After: 500 * ms, Do: Evict, At: R, Of: V})},
		{Name: "cut and healed by itself", Writers: both, Want: whole,
			Steps: before(back,
				Step{After: time.Second, Do: Mark}, Step{Do: Isolate, At: V},
				Step{Do: Settled, At: R, N: 2, Name: "view R"}, Step{Do: Parted, At: V, Name: "parted V"},
				Step{After: time.Second, Do: Unmark}, Step{After: 2 * time.Second, Do: Heal})},
	}
}

func lists() []Script {
	return []Script{
		{Name: "a list left over, then the rejoin", Writers: both, Want: map[Role]End{
			R: {State: Primary, Size: 3, Evicted: []Role{V}}, O: {State: Primary, Size: 3, Evicted: []Role{V}},
		}, Steps: []Step{
			{After: time.Second, Do: Kill, At: V}, {After: 100 * ms, Do: Evict, At: R, Of: V},
			{Do: Settled, At: R, N: 2, Name: "view R"}, {Do: Settled, At: O, N: 2},
			{After: time.Second, Do: Mark}, {Do: Start, At: V}, {Do: Joined, At: R, N: 3, Name: "back"},
			{Do: Joined, At: O, N: 3}, {Do: Joined, At: V, N: 3}, {After: time.Second, Do: Unmark},
		}},
		{Name: "a list left over, then another eviction", Writers: both, Want: map[Role]End{
			R: {State: Primary, Size: 2, Evicted: []Role{V}}, O: {State: Primary, Size: 2, Evicted: []Role{V}}, V: {State: "dead"},
		}, Steps: []Step{
			{After: time.Second, Do: Kill, At: V}, {After: 100 * ms, Do: Evict, At: R, Of: V},
			{Do: Settled, At: R, N: 2, Name: "view R"}, {Do: Settled, At: O, N: 2},
			{After: time.Second, Do: Start, At: V}, {Do: Joined, At: R, N: 3}, {Do: Joined, At: O, N: 3}, {Do: Joined, At: V, N: 3},
			{After: 2 * time.Second, Do: Clear, At: V}, {Do: Mark},
			{Do: Kill, At: V}, {After: 100 * ms, Do: Evict, At: R, Of: V}, {Do: Settled, At: R, N: 2, Name: "second view R"},
			{Do: Settled, At: O, N: 2}, {After: 500 * ms, Do: Unmark},
		}},
		{Name: "a list of one alone", Writers: both, Want: map[Role]End{
			R: {State: Primary, Size: 2}, O: {State: Primary, Size: 2, Evicted: []Role{V}}, V: {State: "dead"},
		}, Steps: []Step{
			{After: time.Second, Do: Kill, At: V}, {After: 100 * ms, Do: Evict, At: R, Of: V},
			{Do: Settled, At: R, N: 2, Name: "view R"}, {Do: Settled, At: O, N: 2},
			{After: 300 * ms, Do: Clear, At: R}, {After: 2 * time.Second, Do: Pause},
		}},
		{Name: "told after the view", Writers: both, Want: map[Role]End{
			R: {State: Primary, Size: 2, Evicted: []Role{V}}, O: {State: Primary, Size: 2}, V: {State: "dead"},
		}, Steps: []Step{
			{After: time.Second, Do: Kill, At: V}, {Do: Settled, At: R, N: 2}, {Do: Settled, At: O, N: 2},
			{After: 500 * ms, Do: Mark}, {Do: Evict, At: R, Of: V}, {After: 2 * time.Second, Do: Unmark},
		}},
		{Name: "a live node evicted", Writers: both, Want: whole, Steps: append(append([]Step{
			{After: time.Second, Do: Mark}, {Do: Evict, At: R, Of: V},
		}, clearedAgain()...),
			Step{After: 300 * ms, Do: Joined, At: R, N: 3}, Step{Do: Joined, At: O, N: 3}, Step{Do: Joined, At: V, N: 3},
			Step{Do: Unmark})},
	}
}

// clearedAgain clears both lists again and again: survivors that still gather teach each other anew.
func clearedAgain() []Step {
	var steps []Step
	for range 50 {
		steps = append(steps, Step{After: 300 * ms, Do: Clear, At: R}, Step{Do: Clear, At: O})
	}
	return steps
}

func twos() []Script {
	// O leaves in order: R and V are left, R's UUID is the smaller one or not.
	leave := []Step{{After: 500 * ms, Do: Stop, At: O}, {Do: Settled, At: R, N: 2}, {Do: Settled, At: V, N: 2}}
	return []Script{
		{Name: "two nodes, one evicted at once", Writers: []Role{R}, Want: map[Role]End{
			R: {State: Primary, Size: 1}, O: {State: "dead"}, V: {State: "dead"},
		}, Steps: append(leave,
			Step{After: time.Second, Do: Mark}, Step{Do: Kill, At: V}, Step{After: 100 * ms, Do: Evict, At: R, Of: V},
			Step{Do: Settled, At: R, N: 1, Name: "view R"}, Step{Do: Clear, At: R}, Step{After: 500 * ms, Do: Unmark})},
		{Name: "two nodes, one evicted too late", Writers: []Role{R}, Want: map[Role]End{
			R: {State: NonPrimary, Size: 1, Evicted: []Role{V}}, O: {State: "dead"}, V: {State: "dead"},
		}, Steps: append(leave[:3:3],
			Step{After: time.Second, Do: Kill, At: V}, Step{Do: Parted, At: R, Name: "parted R"},
			Step{After: 300 * ms, Do: Evict, At: R, Of: V}, Step{After: 3 * time.Second, Do: Pause})},
		{Name: "two nodes, one killed", Writers: []Role{R}, Want: map[Role]End{
			R: {State: NonPrimary, Size: 1}, O: {State: "dead"}, V: {State: "dead"},
		}, Steps: append(leave[:3:3],
			Step{After: time.Second, Do: Kill, At: V}, Step{Do: Parted, At: R, Name: "parted R"}, Step{After: time.Second, Do: Pause})},
		{Name: "two light nodes evict a heavy one that is cut off", Writers: []Role{R, O, V}, Want: map[Role]End{
			R: {State: Primary, Size: 2}, O: {State: Primary, Size: 2}, V: {State: Primary, Size: 1},
		}, Steps: []Step{
			{Do: SetWeight, At: V, N: 3}, {After: time.Second, Do: Isolate, At: V}, {After: 100 * ms, Do: Evict, At: R, Of: V},
			{Do: Settled, At: R, N: 2, Name: "view R"}, {Do: Settled, At: O, N: 2}, {Do: Clear, At: R}, {Do: Clear, At: O},
			{Do: Settled, At: V, N: 1, Name: "view V"}, {After: time.Second, Do: Pause},
		}},
		{Name: "one link cut, the third node relays", Writers: both, Want: whole, Steps: []Step{
			{After: time.Second, Do: Mark}, {Do: CutLink, At: O, Of: V}, {After: 10 * time.Second, Do: Unmark},
		}},
		{Name: "one of three evicts both others", Writers: []Role{V}, Want: map[Role]End{
			R: {State: Primary, Size: 2}, O: {State: Primary, Size: 2}, V: {State: Primary, Size: 1, Evicted: []Role{R, O}},
		}, Steps: []Step{
			{After: time.Second, Do: Isolate, At: V}, {After: 100 * ms, Do: Evict, At: V, Of: R}, {Do: Evict, At: V, Of: O},
			{Do: Settled, At: V, N: 1, Name: "view V"}, {Do: Settled, At: R, N: 2, Name: "view R"}, {After: time.Second, Do: Pause},
		}},
	}
}

func reads() []Script {
	return []Script{
		{Name: "read, all well", Want: whole, Steps: []Step{
			{After: 1500 * ms, Do: Read, At: R, Name: "idle"}, {Do: Ended, Name: "idle"},
			{After: 300 * ms, Do: Read, At: R, Name: "asked"}, {Do: Ended, Name: "asked"},
		}},
		{Name: "read, one killed", Want: killed, Steps: []Step{
			{After: 2500 * ms, Do: Read, At: R, Name: "before"}, {Do: Ended, Name: "before"},
			{After: 200 * ms, Do: Kill, At: V},
			{After: 100 * ms, Do: Read, At: R, Name: "asked before"}, {Do: Read, At: O, Name: "not asked before"},
			{Do: Ended, Name: "asked before"}, {Do: Ended, Name: "not asked before"}, {After: 500 * ms, Do: Pause},
		}},
		{Name: "read, one killed under load", Writers: []Role{R, O, V}, Want: killed, Steps: []Step{
			{After: time.Second, Do: Kill, At: V},
			{After: 60 * ms, Do: Read, At: R, Name: "read R"}, {Do: Read, At: O, Name: "read O"},
			{Do: Ended, Name: "read R"}, {Do: Ended, Name: "read O"}, {After: 500 * ms, Do: Pause},
		}},
		{Name: "read, one killed and evicted", Want: killed, Steps: before(evicted(
			Step{Do: Ended, Name: "read R"}, Step{Do: Ended, Name: "read O"}),
			Step{After: 2500 * ms, Do: Kill, At: V}, Step{Do: Read, At: R, Name: "read R"}, Step{Do: Read, At: O, Name: "read O"},
			Step{After: 200 * ms, Do: Evict, At: R, Of: V})},
	}
}
