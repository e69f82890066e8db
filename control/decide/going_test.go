package decide

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// pod is the word on a node whose pod has that much time left.
func pod(left time.Duration) *model.Going {
	return &model.Going{Pod: "u", Until: at.Add(left), LeftMS: left.Milliseconds()}
}

// say lets members say that a node is going.
func say(in *Input, node int, g *model.Going, members ...int) {
	for _, m := range members {
		in.Voices[m].View.Nodes[node].Going = g
	}
}

func TestDeparture(t *testing.T) {
	shutdown := &model.Going{Shutdown: true}
	tests := []struct {
		name   string
		change func(*Input)
		want   string // the new active, "" keeps
		reason string
		alert  bool
		// timeout of the move in ms, and its drain, where one is made.
		timeout int64
		drain   string
	}{
		{name: "one voter's word is enough, in spite of min-stay and of too many moves", change: func(in *Input) {
			say(in, 1, pod(30*time.Second), 2)
			in.Policy.MinStay, in.Policy.MaxAutoMoves = time.Hour, 1
			in.Record.AutoMoves, in.Record.History[0].At = []time.Time{at.Add(-time.Minute)}, at.Add(-time.Second)
		}, want: "pxc-0", reason: "pxc-1 is being deleted (pod, until 12:00:30 UTC), says px2; pxc-0 would do", timeout: 28_000},
		{name: "the least time that anybody gives it counts", change: func(in *Input) {
			say(in, 1, pod(30*time.Second), 0)
			say(in, 1, pod(5*time.Second), 2)
		}, want: "pxc-0", reason: "until 12:00:05 UTC), says px0, px2", timeout: 3000},
		{name: "no time left: a second", change: func(in *Input) { say(in, 1, pod(-time.Minute), 0) }, want: "pxc-0", timeout: 1000},
		{name: "transactions cannot be told apart: policy's time at most", change: func(in *Input) {
			say(in, 1, pod(time.Minute), 0)
			in.Voices[1].View.Nodes[1].Lacks = "PROCESS"
		}, want: "pxc-0", timeout: 10_000, drain: model.DrainGraceful},
		{name: "a member without a vote moves nobody", change: func(in *Input) {
			in.Voices = append(in.Voices, voice("px9", "hhh"))
			say(in, 1, pod(30*time.Second), 3)
		}, reason: "healthy for all 3 voters"},
		{name: "and keeps its node from being chosen", change: func(in *Input) {
			in.Voices = append(in.Voices, voice("px9", "hhh"))
			say(in, 0, pod(30*time.Second), 3)
			say(in, 1, pod(30*time.Second), 1)
		}, want: "pxc-2", timeout: 28_000},
		{name: "a word on another node moves nothing", change: func(in *Input) { say(in, 0, pod(30*time.Second), 0, 1, 2) }, reason: "healthy for all 3 voters"},
		{name: "all are going: it stays, and somebody must know", change: func(in *Input) {
			for node := range order {
				say(in, node, pod(30*time.Second), 0)
			}
		}, reason: "no other node would do", alert: true},
		{name: "no other is healthy", change: func(in *Input) {
			say(in, 1, pod(30*time.Second), 0)
			for _, v := range in.Voices {
				v.View.Nodes[0], v.View.Nodes[2] = word("pxc-0", 'd'), word("pxc-2", 'a')
			}
		}, reason: "its end is an outage", alert: true},
		{name: "a node of the new template goes before the order", change: func(in *Input) {
			say(in, 1, pod(30*time.Second), 0)
			for i, r := range []string{"old", "old", "new"} {
				in.Voices[1].View.Nodes[i].Revision = r
			}
		}, want: "pxc-2", timeout: 28_000},
		{name: "but not while HAProxies call it down", change: func(in *Input) {
			say(in, 1, pod(30*time.Second), 0)
			for i, r := range []string{"old", "old", "new"} {
				in.Voices[1].View.Nodes[i].Revision = r
			}
			for _, v := range in.Voices {
				v.View.Nodes[0].Server, v.View.Nodes[2].Server = model.ServerUp, model.ServerDown
			}
		}, want: "pxc-0", timeout: 28_000},
		{name: "an unknown template does not", change: func(in *Input) {
			say(in, 1, pod(30*time.Second), 0)
			in.Voices[1].View.Nodes[1].Revision = "old"
		}, want: "pxc-0", timeout: 28_000},
		{name: "one that lags goes last", change: func(in *Input) {
			say(in, 1, pod(30*time.Second), 0)
			in.Policy.MaxLag = 10
			for _, v := range in.Voices {
				v.View.Nodes[0].Seqno, v.View.Nodes[1].Seqno, v.View.Nodes[2].Seqno = 100, 1000, 1000
			}
		}, want: "pxc-2", timeout: 28_000},
		{name: "and is better than an outage", change: func(in *Input) {
			say(in, 1, pod(30*time.Second), 0)
			in.Policy.MaxLag, in.Record.Excluded = 10, []string{"pxc-2"}
			for _, v := range in.Voices {
				v.View.Nodes[0].Seqno, v.View.Nodes[1].Seqno, v.View.Nodes[2].Seqno = 100, 1000, 1000
			}
		}, want: "pxc-0", timeout: 28_000},
		{name: "frozen: it stays, and somebody must know", change: func(in *Input) {
			say(in, 1, pod(30*time.Second), 0)
			in.Record.Frozen = true
		}, reason: "frozen, and pxc-1 is being deleted", alert: true},
		{name: "PXC ends by itself", change: func(in *Input) {
			say(in, 1, shutdown, 0)
			in.Voices[0].View.Nodes[1].Class = "maintenance"
			in.Policy.Leave, in.Policy.MinStay, in.Record.History[0].At = []string{"maintenance"}, time.Hour, at
		}, want: "pxc-0", reason: "pxc-1 is shutting down (pxc_maint_mode is SHUTDOWN)", timeout: 10_000},
		{name: "and policy does not leave for that", change: func(in *Input) {
			say(in, 1, shutdown, 0)
			in.Voices[0].View.Nodes[1].Class = "maintenance"
		}, reason: "healthy for all 3 voters"},
		{name: "an operator's maintenance keeps to min-stay", change: func(in *Input) {
			for _, v := range in.Voices {
				v.View.Nodes[1] = word("pxc-1", 'a')
				v.View.Nodes[1].Class = "maintenance"
			}
			in.Policy.Leave, in.Policy.MinStay, in.Record.History[0].At = []string{"maintenance"}, time.Hour, at
		}, reason: "the last decision is too fresh"},
		{name: "a dead one fails over as ever", change: func(in *Input) {
			for _, v := range in.Voices {
				v.View.Nodes[1] = word("pxc-1", 'd')
			}
			say(in, 1, pod(time.Second), 0, 1, 2)
			say(in, 0, pod(time.Second), 0)
		}, want: "pxc-2", reason: "pxc-1 is down for 3 of 3 voters"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := input("hhh", "hhh", "hhh")
			in.Policy.LeaveTimeout = 10 * time.Second
			tt.change(in)
			before := len(in.Record.AutoMoves)
			out := Decide(in)
			got := ""
			if out.NewEpoch {
				got = out.Propose.Active
			}
			if got != tt.want || !strings.Contains(out.Reason, tt.reason) || (out.Alert != "") != tt.alert {
				t.Fatalf("proposes %q because %q, alert %q", got, out.Reason, out.Alert)
			}
			if tt.timeout == 0 {
				return
			}
			m, drain := out.Propose.Move, model.DrainTransactions
			if tt.drain != "" {
				drain = tt.drain
			}
			if m == nil || m.TimeoutMS != tt.timeout || m.Drain != drain || m.From != "pxc-1" || out.Propose.Last().Kind != model.KindDeparture {
				t.Errorf("the move is %+v", m)
			}
			if len(out.Propose.AutoMoves) != before {
				t.Error("it counts as one of too many moves")
			}
		})
	}
}

// A move that is not over when its new node is about to end.
func TestDepartureDuringMove(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Input)
		want   string
	}{
		"there is time to end it first": {func(in *Input) { say(in, 1, pod(30*time.Second), 0) }, "kept"},
		"there is not":                  {func(in *Input) { say(in, 1, pod(11*time.Second), 0) }, "pxc-0"},
		"there is not, and no other would do": {func(in *Input) {
			say(in, 1, pod(time.Second), 0)
			say(in, 0, pod(time.Second), 0)
			say(in, 2, pod(time.Second), 0)
		}, "kept"},
		"there is not, but it is frozen": {func(in *Input) { say(in, 1, pod(time.Second), 0); in.Record.Frozen = true }, "kept"},
		"with keep it would go back": {func(in *Input) {
			in.MoveAge, in.Record.Move.Keep = 10*time.Second, true
		}, "pxc-0"},
		"but not to a node that is about to end": {func(in *Input) {
			in.MoveAge, in.Record.Move.Keep = 10*time.Second, true
			say(in, 0, pod(30*time.Second), 1)
		}, "closing"},
	} {
		t.Run(name, func(t *testing.T) {
			in := moving(model.Move{}, "ddl")
			in.Policy.LeaveTimeout = 10 * time.Second
			c.change(in)
			if out := Decide(in); ends(in, out) != c.want {
				t.Errorf("%s: %s", ends(in, out), out.Reason)
			}
		})
	}
	in := moving(model.Move{}, "ddl")
	in.MoveAge, in.Record.History[0].Kind = 10*time.Second, model.KindDeparture
	if out := Decide(in); !strings.Contains(out.Alert, "px2 has 1 sessions left, 1 in a transaction") {
		t.Errorf("what is cut at a pod's end needs an alert: %+v", out)
	}
}

// An operator is told, and may force it: then it is frozen, or the next turn would undo it.
func TestOperatorToGoing(t *testing.T) {
	in := input("hhh", "hhh", "hhh")
	say(in, 0, pod(30*time.Second), 2)
	_, _, err := Operator(in, Request{Node: "pxc-0", By: "me"})
	if err == nil || !strings.Contains(err.Error(), "px2: it is being deleted (pod, until 12:00:30 UTC)") || !strings.Contains(err.Error(), "pxc-2 would do") {
		t.Errorf("got %v", err)
	}
	out, warnings, err := Operator(in, Request{Node: "pxc-0", By: "me", Force: true})
	if err != nil || !out.Propose.Frozen || out.Propose.FrozenWhy != "forced to a node that is about to end" || len(warnings) != 2 {
		t.Errorf("forced: %+v, %q, %v", out.Propose, warnings, err)
	}
	if v := Votes(in, "pxc-0"); !strings.Contains(v[2], "it is being deleted") {
		t.Errorf("the votes: %q", v)
	}
}

// Whatever is said: no node that anybody calls going is chosen by itself, a move before an end is a drained one and
// counts for nothing, and repeating the turn after it, with the same words, moves nothing more.
func TestDepartureProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 5).Draw(t, "voters")
		var words []string
		for range n {
			words = append(words, rapid.StringMatching(`-|[hda?]{3}`).Draw(t, "words"))
		}
		in := input(words...)
		in.Policy.LeaveTimeout, in.Policy.MaxAutoMoves = 10*time.Second, rapid.IntRange(0, 1).Draw(t, "max")
		in.Policy.Leave = []string{"maintenance"}
		in.Record.Frozen = rapid.Bool().Draw(t, "frozen")
		going := map[string]bool{}
		for i := range in.Voices {
			for j := range order {
				left := time.Duration(rapid.IntRange(-10, 60).Draw(t, "left")) * time.Second
				in.Voices[i].View.Nodes[j].Revision = rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "revision")
				if rapid.IntRange(0, 3).Draw(t, "says") == 0 {
					in.Voices[i].View.Nodes[j].Going, going[order[j]] = pod(left), true
				}
			}
		}
		for range 3 {
			out := Decide(in)
			if out.Reason == "" {
				t.Fatal("a turn without a reason")
			}
			if !out.NewEpoch {
				return
			}
			to, last := out.Propose.Active, out.Propose.Last()
			switch {
			case in.Record.Frozen:
				t.Fatalf("frozen, and moved to %s", to)
			case going[to]:
				t.Fatalf("moved to %s, which is going: %s", to, out.Reason)
			case last.Kind == model.KindDeparture && (!going[last.From] || out.Propose.Move == nil || len(out.Propose.AutoMoves) > len(in.Record.AutoMoves)):
				t.Fatalf("a departure: %+v, %+v", last, out.Propose.Move)
			case last.Kind == model.KindDeparture && Count(in, to).Eligible < Majority(n):
				t.Fatalf("to %s, which no majority would choose", to)
			case in.Record.Last().Kind == model.KindDeparture && last.Kind == model.KindDeparture:
				t.Fatalf("the same words moved twice: %s", out.Reason)
			}
			out.Propose.Move = nil
			in.Record, in.Epoch = out.Propose, in.Epoch+1
		}
	})
}
