package gossip

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestExactlyOneOfTwoRemains runs two processes of one name against each other
// while messages are lost, delayed and reordered, whatever their names and
// whoever was settled before they met, and expects exactly one to stop.
func TestExactlyOneOfTwoRemains(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type message struct {
			to  int
			at  time.Time
			ask *challenge
			ans *answer
		}
		names := []string{"px0-aaaaaaaa", "px0-bbbbbbbb"}
		var (
			procs   = []*rivals{{self: names[0]}, {self: names[1]}}
			settled = []bool{rapid.Bool().Draw(t, "settled0"), rapid.Bool().Draw(t, "settled1")}
			first   = []bool{settled[0], settled[1]}
			stopped = []bool{false, false}
			met     = []int{rapid.IntRange(0, 10).Draw(t, "met0"), rapid.IntRange(0, 10).Draw(t, "met1")}
			flying  []message
			serial  uint64
			losses  = 20 // enough for both to take the other for dead at first
			now     = time.Unix(0, 0)
		)
		send := func(m message) {
			if losses > 0 && rapid.IntRange(0, 3).Draw(t, "lost") == 0 {
				losses--
				return
			}
			m.at = now.Add(time.Duration(rapid.IntRange(1, 80).Draw(t, "delay")) * time.Millisecond)
			flying = append(flying, m)
		}
		for step := 0; step < 2000 && !stopped[0] && !stopped[1]; step++ {
			now = now.Add(20 * time.Millisecond)
			for i, p := range procs {
				live := map[string]string{}
				if step >= met[i] {
					live[names[1-i]] = "192.0.2.1:1"
				}
				p.sync(now, live, "192.0.2.2:1", settled[i])
				for _, c := range p.tick(now, func() uint64 { serial += 2; return serial }) {
					send(message{to: 1 - i, ask: &c})
				}
				// The others are known 100 ms before anybody settles.
				if step >= met[i]+5 && step >= 15 && !p.pending() {
					settled[i] = true
				}
			}
			arriving := flying
			flying = nil
			for _, m := range arriving {
				switch {
				case m.at.After(now):
					flying = append(flying, m)
				case m.ask != nil:
					a := procs[m.to].challenged(now, *m.ask, settled[m.to])
					send(message{to: 1 - m.to, ans: &a})
				case procs[m.to].answered(*m.ans):
					stopped[m.to] = true
				}
			}
		}
		// What is still on its way arrives too: the one that remains must not stop later.
		for _, m := range flying {
			if m.ans != nil && !stopped[m.to] && procs[m.to].answered(*m.ans) {
				stopped[m.to] = true
			}
		}
		if stopped[0] == stopped[1] {
			t.Fatalf("stopped: %v (settled at first %v, met %v)", stopped, first, met)
		}
		if first[0] != first[1] && met[0] == met[1] && stopped[0] == first[0] && !settled[0] && !settled[1] {
			t.Fatalf("the settled one stopped")
		}
	})
}

func TestSilentRivalDoesNotBlock(t *testing.T) {
	now := time.Unix(0, 0)
	r := rivals{self: "px0-bbbbbbbb"}
	live := map[string]string{"px0-aaaaaaaa": "192.0.2.1:1"}
	start := now
	for r.sync(now, live, "192.0.2.2:1", false); r.pending(); r.sync(now, live, "192.0.2.2:1", false) {
		now = r.next()
		r.tick(now, func() uint64 { return 1 })
	}
	if took := now.Sub(start); took < 2*askEvery || took > time.Second {
		t.Fatalf("gave up after %s", took)
	}
}

func TestRivalAtOwnAddressIsDead(t *testing.T) {
	r := rivals{self: "px0-bbbbbbbb"}
	r.sync(time.Unix(0, 0), map[string]string{"px0-aaaaaaaa": "192.0.2.1:1"}, "192.0.2.1:1", false)
	if r.pending() {
		t.Fatal("waits for the process that it replaced")
	}
}

func TestSettledProcessKeepsItsName(t *testing.T) {
	old := rivals{self: "px0-ffffffff"}
	a := old.challenged(time.Unix(0, 0), challenge{Name: "px0", From: "px0-00000000", Nonce: 7}, true)
	if !a.Stop {
		t.Fatal("a settled process gave way to one that just came")
	}
	young := rivals{self: "px0-00000000"}
	young.sync(time.Unix(0, 0), map[string]string{"px0-ffffffff": "192.0.2.1:1"}, "192.0.2.2:1", false)
	for _, c := range young.tick(time.Unix(0, 0), func() uint64 { return 7 }) {
		if c.Nonce != 7 {
			t.Fatalf("asked with nonce %d", c.Nonce)
		}
	}
	if young.answered(answer{From: "px0-ffffffff", Nonce: 8, Stop: true}) {
		t.Fatal("an answer to another challenge was taken")
	}
	if !young.answered(answer{From: "px0-ffffffff", Nonce: 7, Stop: true}) {
		t.Fatal("the young one did not stop")
	}
}
