package decide

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// refuse says that the checks of these members' HAProxies begin to refuse a node.
func refuse(in *Input, node int, members ...int) {
	for _, m := range members {
		in.Voices[m].View.Nodes[node].Refused = true
	}
}

// donor says that these voters' probes call a node a donor.
func donor(in *Input, node int, members ...int) {
	for _, m := range members {
		n := word(order[node], 'a')
		n.Class, n.Reason, n.Server, n.Refused = classDonor, "the node is a donor", model.ServerUp, in.Voices[m].View.Nodes[node].Refused
		in.Voices[m].View.Nodes[node] = n
	}
}

func hang(in *Input, node int, members ...int) {
	for _, m := range members {
		n := &in.Voices[m].View.Nodes[node]
		n.Stuck, n.Alone = "its commits hang", true
	}
}

func TestRefused(t *testing.T) {
	const stays = "pxc-1 is healthy for all 3 voters"
	tests := []struct {
		name   string
		change func(*Input)
		want   string // the new active, "" keeps
		kind   string
		reason string
		alert  bool
		// timeout of the move in ms, 10 s without it.
		timeout int64
	}{
		{name: "a donor that one check begins to refuse, in spite of min-stay, of too many moves and of what is left by policy", change: func(in *Input) {
			donor(in, 1, 0)
			refuse(in, 1, 2)
			in.Policy.MinStay, in.Policy.MaxAutoMoves, in.Policy.Leave = time.Hour, 1, nil
			in.Record.AutoMoves, in.Record.History[0].At = []time.Time{at.Add(-time.Minute)}, at.Add(-time.Second)
		}, want: "pxc-0", reason: "pxc-1 serves, but the node is a donor (px0), and the check of px2 begins to refuse it; pxc-0 would do"},
		{name: "a donor that every check accepts", change: func(in *Input) { donor(in, 1, 0, 1, 2) }, reason: stays},
		{name: "a donor whose commits hang", change: func(in *Input) {
			donor(in, 1, 0, 1, 2)
			hang(in, 1, 0, 2)
		}, want: "pxc-0", reason: "pxc-1 is a donor and its commits hang, say px0, px2; pxc-0 would do", timeout: 1000},
		{name: "for one voter alone", change: func(in *Input) {
			donor(in, 1, 0, 1, 2)
			hang(in, 1, 0)
		}, reason: "no majority, it stays the active"},
		{name: "where no other node would do a failover may", change: func(in *Input) {
			donor(in, 1, 0, 1, 2)
			hang(in, 1, 0, 2)
			in.Policy.LastResort = true
			for _, v := range in.Voices {
				v.View.Nodes[0], v.View.Nodes[2] = word("pxc-0", 'a'), word("pxc-2", 'd')
			}
		}, want: "pxc-0", kind: model.KindFailover},
		{name: "commits that hang elsewhere are no donor's", change: func(in *Input) { hang(in, 1, 0, 1, 2) }, want: "pxc-0", kind: model.KindFailover},
		{name: "one check alone, and no probe finds anything", change: func(in *Input) { refuse(in, 1, 0) }, reason: stays},
		{name: "most checks", change: func(in *Input) { refuse(in, 1, 0, 1) }, want: "pxc-0", reason: "the probes find that pxc-1 serves, and the check of px0, px1 begins to refuse it"},
		{name: "most checks, of one that they accept for a moment only", change: func(in *Input) {
			refuse(in, 1, 0, 1)
			in.Policy.MinStay = 2 * time.Minute
		}, reason: stays},
		{name: "HAProxies that do not answer or only watch do not count", change: func(in *Input) {
			refuse(in, 1, 0, 1)
			in.Voices[0].View.Proxy.Reachable, in.Voices[1].View.Observe = false, true
		}, reason: stays},
		{name: "it was one when it was made the active", change: func(in *Input) {
			donor(in, 1, 0, 1, 2)
			refuse(in, 1, 0, 1, 2)
			in.Untroubled = 0
		}, reason: stays},
		{name: "the probes do not find that it serves", change: func(in *Input) {
			donor(in, 1, 0)
			refuse(in, 1, 0, 1, 2)
			in.Voices[1].View.Nodes[1].Verdict, in.Voices[2].View.Nodes[1].Verdict = model.Unknown, model.Unknown
		}, reason: "unknown to 2"},
		{name: "not to a node whose check begins to refuse it", change: func(in *Input) {
			donor(in, 1, 0)
			refuse(in, 1, 0)
			refuse(in, 0, 1)
		}, want: "pxc-2"},
		{name: "nor to one that a HAProxy calls down", change: func(in *Input) {
			donor(in, 1, 0)
			refuse(in, 1, 0)
			in.Voices[1].View.Nodes[0].Server = model.ServerDown
		}, want: "pxc-2"},
		{name: "nor to the only other one, if a HAProxy calls it down", change: func(in *Input) {
			donor(in, 1, 0)
			refuse(in, 1, 0)
			in.Voices[1].View.Nodes[0].Server, in.Record.Excluded = model.ServerDown, []string{"pxc-2"}
		}, reason: "no other node would do", alert: true},
		{name: "nor to another donor, as a failover may", change: func(in *Input) {
			donor(in, 1, 0)
			refuse(in, 1, 0)
			donor(in, 0, 0, 1, 2)
			in.Record.Excluded, in.Policy.LastResort = []string{"pxc-2"}, true
		}, reason: "no other node would do", alert: true},
		{name: "no other node would do", change: func(in *Input) {
			donor(in, 1, 0)
			refuse(in, 1, 0)
			donor(in, 0, 0, 1, 2)
			in.Record.Excluded = []string{"pxc-2"}
		}, reason: "no other node would do: if HAProxy marks it down its sessions are cut (wsrep_sst_donor", alert: true},
		{name: "frozen", change: func(in *Input) {
			donor(in, 1, 0)
			refuse(in, 1, 0, 1, 2)
			in.Record.Frozen = true
		}, reason: "frozen: pxc-1 stays"},
		{name: "a dead one fails over as ever", change: func(in *Input) {
			refuse(in, 1, 0, 1, 2)
			for _, v := range in.Voices {
				v.View.Nodes[1].Verdict = model.Down
			}
		}, want: "pxc-0", kind: model.KindFailover},
		{name: "one that ends has the time of its pod", change: func(in *Input) {
			donor(in, 1, 0)
			refuse(in, 1, 0)
			say(in, 1, pod(30*time.Second), 0)
		}, want: "pxc-0", reason: "is being deleted"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := input("hhh", "hhh", "hhh")
			in.Policy.LeaveTimeout, in.Untroubled = 10*time.Second, time.Minute
			for _, v := range in.Voices {
				for i := range v.View.Nodes {
					v.View.Nodes[i].Server = model.ServerUp
				}
			}
			tt.change(in)
			before := len(in.Record.AutoMoves)
			out := Decide(in)
			got := ""
			if out.NewEpoch {
				got = out.Propose.Active
			}
			if got != tt.want || !strings.Contains(out.Reason, tt.reason) || (out.Alert != "") != tt.alert {
				t.Fatalf("to %q: %q (alert %q), want %q", got, out.Reason, out.Alert, tt.want)
			}
			if got == "" || tt.kind != "" {
				if got != "" && out.Propose.Last().Kind != tt.kind {
					t.Errorf("kind %s", out.Propose.Last().Kind)
				}
				return
			}
			if k, m := out.Propose.Last().Kind, out.Propose.Move; k != model.KindDeparture || len(out.Propose.AutoMoves) != before ||
				m == nil || m.Drain != model.DrainTransactions || m.From != "pxc-1" ||
				tt.timeout != 0 && m.TimeoutMS != tt.timeout || tt.timeout == 0 && m.TimeoutMS < 10_000 {
				t.Errorf("kind %s, move %+v, %d automatic moves", k, m, len(out.Propose.AutoMoves))
			}
		})
	}
}

// Whatever is said: a departure for a refusal goes to a node that a majority would choose and no HAProxy refuses, and
// once made it is not made again while the same is said.
func TestRefusedGoesOnceAndWell(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := input("hhh", "hhh", "hhh")
		in.Untroubled = time.Minute
		letters := rapid.SampledFrom([]rune("hhhad?"))
		for _, v := range in.Voices {
			for i := range v.View.Nodes {
				n := word(order[i], byte(letters.Draw(t, "word")))
				if n.Avoid {
					n.Class = classDonor
				}
				n.Server = rapid.SampledFrom([]model.ServerState{model.ServerUp, model.ServerUp, model.ServerUp, model.ServerDown}).Draw(t, "server")
				n.Refused = n.Server == model.ServerUp && rapid.Bool().Draw(t, "refused")
				v.View.Nodes[i] = n
			}
		}
		out := Decide(in)
		if !out.NewEpoch || out.Propose.Last().Kind != model.KindDeparture {
			return
		}
		to := out.Propose.Active
		if Count(in, to).Eligible < 2 || !welcome(in, to) {
			t.Fatalf("to %s: %s", to, out.Reason)
		}
		again := *in
		again.Record, again.Epoch, again.Untroubled = out.Propose.Clone(), in.Epoch+1, 0
		again.Record.Move = nil
		if next := Decide(&again); next.NewEpoch && next.Propose.Last().Kind == model.KindDeparture {
			t.Fatalf("%s, and then %s", out.Reason, next.Reason)
		}
	})
}

// holds is a move from a refused active where one HAProxy of three can hold connections and give them back or not, and
// can hold them without that or not.
func holds(t *testing.T, can, wait bool) {
	t.Helper()
	in := input("hhh", "hhh", "hhh")
	in.Policy.LeaveTimeout, in.Untroubled = 10*time.Second, time.Minute
	for i, v := range in.Voices {
		v.View.Proxy.CanHold, v.View.Proxy.CanWait = can || i > 0, wait && i == 0
		for j := range v.View.Nodes {
			v.View.Nodes[j].Server = model.ServerUp
		}
	}
	donor(in, 1, 0)
	refuse(in, 1, 0)
	m := Decide(in).Propose.Move
	if m.Hold != (can || wait) || m.Hold && m.MaxHoldMS != 2000 {
		t.Errorf("it can hold: %t, it can without going back: %t, the move: %+v", can, wait, m)
	}
	hang(in, 1, 0, 1)
	donor(in, 1, 1)
	hang(in, 1, 1)
	if m := Decide(in).Propose.Move; m.Hold && m.MaxHoldMS != m.TimeoutMS {
		t.Errorf("commits hang, it can hold: %t, without going back: %t, the move: %+v", can, wait, m)
	}
}

// New connections wait while the transactions on the old node end, where every HAProxy can let them; not for longer than
// refusedHold, and what is open then goes on ending.
func TestRefusedHolds(t *testing.T) {
	for _, can := range []bool{true, false} {
		for _, wait := range []bool{true, false} {
			holds(t, can, wait)
		}
	}
	move := func(progress string, age time.Duration) Outcome {
		in := moving(model.Move{Hold: true, MaxHoldMS: 2000}, progress)
		in.Record.History[0].Kind, in.MoveAge = model.KindDeparture, age
		return Decide(in)
	}
	if out := move("ddl", time.Second); out.Propose != nil {
		t.Errorf("in the middle of the hold: %+v", out.Propose)
	}
	out := move("ddl", 1700*time.Millisecond)
	if out.Propose == nil || out.Propose.Move == nil || out.Propose.Move.Hold || out.Propose.Move.Phase != model.PhaseDrain || out.NewEpoch {
		t.Fatalf("the hold is over: %q, %+v", out.Reason, out.Propose)
	}
	// A donor whose commits hang: they may come through at any moment, so they are closed before anybody is let go.
	blocked := moving(model.Move{Hold: true, MaxHoldMS: 1000, TimeoutMS: 1000}, "ddl")
	blocked.Record.History[0].Kind, blocked.MoveAge = model.KindDeparture, 800*time.Millisecond
	if m := Decide(blocked).Propose.Move; m == nil || !m.Hold || m.Phase != model.PhaseClose {
		t.Errorf("the time of a donor whose commits hang is over: %+v", m)
	}
	// The same where that is seen only after the move has begun: it has one second then, and not what others have.
	late := moving(model.Move{Hold: true, MaxHoldMS: 2000}, "ddl")
	late.Record.History[0].Kind, late.MoveAge = model.KindDeparture, 1100*time.Millisecond
	if out := Decide(late); out.Propose != nil {
		t.Errorf("its commits do not hang: %+v", out.Propose)
	}
	for m := range 2 {
		donor(late, 0, m)
		hang(late, 0, m)
	}
	if m := Decide(late).Propose.Move; m == nil || !m.Hold || m.Phase != model.PhaseClose {
		t.Errorf("its commits hang: %+v", m)
	}
	next := moving(*out.Propose.Move, "ddl")
	next.Record.History[0].Kind, next.MoveAge = model.KindDeparture, 9*time.Second
	if out := Decide(next); out.Propose != nil {
		t.Errorf("before the time of the transactions is over: %+v", out.Propose)
	}
	next.MoveAge = 10 * time.Second
	if out := Decide(next); out.Propose == nil || out.Propose.Move.Phase != model.PhaseClose || out.Alert == "" {
		t.Errorf("when it is over: %+v", out)
	}
	// Not back to a node that is about to be marked down, whatever the new one has not applied.
	if out := move("ddd", 2*time.Second); out.NewEpoch {
		t.Errorf("back: %s", out.Reason)
	}
}

func TestDonorHint(t *testing.T) {
	in := input("hhh", "hhh", "hhh")
	if hint := DonorHint(in); hint != "" {
		t.Errorf("no donor: %q", hint)
	}
	donor(in, 1, 2)
	if hint := DonorHint(in); !strings.Contains(hint, "pxc-1 is a donor") || !strings.Contains(hint, "wsrep_sst_donor=pxc-2,pxc-0,") {
		t.Errorf("a donor: %q", hint)
	}
	in.Record = nil
	if hint := DonorHint(in); hint != "" {
		t.Errorf("without a record: %q", hint)
	}
}
