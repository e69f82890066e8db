package decide

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// moving has a move from pxc-0 to pxc-1, the active of epoch 7, with this
// progress of each proxy: d done, l one session left, - has not begun.
func moving(m model.Move, progress string) *Input {
	in := input("hhh", "hhh", "hhh")
	m.From, m.To, m.Phase = "pxc-0", "pxc-1", orDrain(m.Phase)
	m.Drain = "transactions"
	if m.TimeoutMS == 0 {
		m.TimeoutMS = 10_000
	}
	in.Record.Move = &m
	for i := range in.Voices {
		p := in.Voices[i].View.Proxy
		p.CanHold = true
		switch progress[i] {
		case 'd':
			p.Move = &model.MoveView{Epoch: 7, Done: true, Held: m.Hold}
		case 'l':
			p.Move = &model.MoveView{Epoch: 7, Left: 1, InTrx: 1, Held: m.Hold}
		}
	}
	return in
}

func orDrain(phase string) string {
	if phase == "" {
		return model.PhaseDrain
	}
	return phase
}

// ends tells what came of a pending move: "kept", "closing", "over" or the node
// that a new epoch made the active.
func ends(in *Input, out Outcome) string {
	switch {
	case out.Propose == nil:
		return "kept"
	case out.NewEpoch:
		return out.Propose.Active
	case out.Propose.Move == nil:
		return "over"
	case out.Propose.Move.Phase == model.PhaseClose:
		return "closing"
	}
	return "?"
}

func TestPending(t *testing.T) {
	hold := model.Move{Hold: true, MaxHoldMS: 2000}
	tests := []struct {
		name   string
		in     *Input
		change func(*Input)
		want   string
		reason string
	}{
		{name: "somebody has not begun", in: moving(model.Move{}, "dd-"), want: "kept", reason: "px2 has not begun"},
		{name: "somebody has sessions left", in: moving(model.Move{}, "ddl"), want: "kept", reason: "px2 has 1 sessions left, 1 in a transaction"},
		{name: "all are done", in: moving(model.Move{}, "ddd"), want: "over", reason: "complete"},
		{name: "a proxy that is not heard is waited for", in: moving(model.Move{}, "ddd"), change: func(in *Input) { in.Voices = in.Voices[:2] }, want: "kept", reason: "px2 is not heard"},
		{name: "a witness is not", in: moving(model.Move{}, "ddd"), change: func(in *Input) { in.Voices, in.Witnesses = in.Voices[:2], []string{"px2"} }, want: "over"},
		{name: "a word on another epoch is none", in: moving(model.Move{}, "ddd"), change: func(in *Input) { in.Voices[1].View.Proxy.Move.Epoch = 6 }, want: "kept", reason: "px1 has not begun"},
		{name: "the time is over: close", in: moving(model.Move{}, "ddl"), change: func(in *Input) { in.MoveAge = 10 * time.Second }, want: "closing"},
		{name: "the time is over, with keep: back", in: moving(model.Move{Keep: true}, "ddl"), change: func(in *Input) { in.MoveAge = 10 * time.Second }, want: "pxc-0", reason: "rolled back"},
		{name: "with keep, but the old node is dead: not back to it", in: moving(model.Move{Keep: true}, "dd-"), change: func(in *Input) {
			in.MoveAge = 10 * time.Second
			for i := range in.Voices {
				in.Voices[i].View.Nodes[0] = word("pxc-0", 'd')
			}
		}, want: "closing"},
		{name: "with keep, but the old node was excluded since: not back to it", in: moving(model.Move{Keep: true}, "ddl"), change: func(in *Input) {
			in.MoveAge, in.Record.Excluded = 10*time.Second, []string{"pxc-0"}
		}, want: "closing"},
		{name: "closing has its time", in: moving(model.Move{Phase: model.PhaseClose}, "ddl"), change: func(in *Input) { in.MoveAge = 10*time.Second + closeWithin/2 }, want: "kept"},
		{name: "and ends all the same", in: moving(model.Move{Phase: model.PhaseClose}, "ddl"), change: func(in *Input) { in.MoveAge = 10*time.Second + closeWithin }, want: "over", reason: "not over everywhere"},
		{name: "held and drained, not applied", in: moving(hold, "ddd"), want: "kept", reason: "has not applied yet"},
		{name: "held, drained and applied", in: moving(hold, "ddd"), change: func(in *Input) { in.Applied = true }, want: "over"},
		{name: "applied does not help where sessions are left", in: moving(hold, "ddl"), change: func(in *Input) { in.Applied = true }, want: "kept"},
		{name: "drained without a hold in place", in: moving(hold, "ddd"), change: func(in *Input) { in.Applied, in.Voices[0].View.Proxy.Move.Held = true, false }, want: "kept", reason: "px0 has not followed"},
		{name: "drained only by the closing: the answer has its time", in: moving(hold, "ddd"), change: func(in *Input) { in.MoveAge = 1800 * time.Millisecond }, want: "kept", reason: "has not applied yet"},
		{name: "never applied: back", in: moving(hold, "ddd"), change: func(in *Input) { in.MoveAge = 1850 * time.Millisecond }, want: "pxc-0", reason: "had not applied"},
		{name: "a dead old node cannot be asked", in: moving(hold, "ddd"), change: func(in *Input) {
			for i := range in.Voices {
				in.Voices[i].View.Nodes[0] = word("pxc-0", 'd')
			}
		}, want: "over"},
		{name: "a hold closes before its bound", in: moving(hold, "ddl"), change: func(in *Input) { in.MoveAge = 1750 * time.Millisecond }, want: "closing"},
		{name: "and ends at its bound", in: moving(model.Move{Hold: true, MaxHoldMS: 2000, Phase: model.PhaseClose}, "ddl"), change: func(in *Input) { in.MoveAge = 2 * time.Second }, want: "over"},
		{name: "the new node dies: the old one takes over, once", in: moving(hold, "ddl"), change: func(in *Input) {
			for i := range in.Voices {
				in.Voices[i].View.Nodes[1] = word("pxc-1", 'd')
			}
		}, want: "pxc-0", reason: "down for 3 of 3"},
		{name: "a rollback is not rolled back", in: moving(model.Move{Keep: true, Rollback: true}, "ddl"), change: func(in *Input) { in.MoveAge = 10 * time.Second }, want: "closing"},
		{name: "frozen: the operator's move goes on", in: moving(model.Move{}, "ddd"), change: func(in *Input) { in.Record.Frozen = true }, want: "over"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.change != nil {
				tt.change(tt.in)
			}
			out := Decide(tt.in)
			if got := ends(tt.in, out); got != tt.want || !strings.Contains(out.Reason, tt.reason) {
				t.Errorf("got %s: %q, want %s: %q", got, out.Reason, tt.want, tt.reason)
			}
		})
	}
}

// Whatever the proxies say and however often the leader changes, a move ends: by
// its end at the latest, in one of its two nodes being the active.
func TestPendingEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := model.Move{
			Hold: rapid.Bool().Draw(t, "hold"), Keep: rapid.Bool().Draw(t, "keep"),
			TimeoutMS: rapid.Int64Range(100, 20_000).Draw(t, "timeout"), MaxHoldMS: rapid.Int64Range(100, 5000).Draw(t, "hold ms"),
		}
		in := moving(m, "---")
		limit := 2 * (time.Duration(m.TimeoutMS)*time.Millisecond + closeWithin + rollbackWithin)
		total := time.Duration(0)
		for in.Record.Move != nil {
			step := time.Duration(rapid.Int64Range(1, 2000).Draw(t, "step")) * time.Millisecond
			in.MoveAge += step
			if total += step; total > limit+10*time.Second {
				t.Fatalf("not over after %v: %+v", total, in.Record.Move)
			}
			in.Applied = rapid.Bool().Draw(t, "applied")
			for i := range in.Voices {
				left := rapid.IntRange(0, 2).Draw(t, "left")
				in.Voices[i].View.Proxy.Move = &model.MoveView{Epoch: in.Epoch, Left: left, Done: left == 0, Held: rapid.Bool().Draw(t, "held")}
			}
			out := Decide(in)
			if out.Propose == nil {
				continue
			}
			if out.NewEpoch {
				in.Epoch++
				in.MoveAge = 0
			}
			in.Record = out.Propose
			if a := in.Record.Active; a != "pxc-0" && a != "pxc-1" {
				t.Fatalf("the active is %s", a)
			}
		}
	})
}

func TestCancel(t *testing.T) {
	in := moving(model.Move{Hold: true, MaxHoldMS: 2000}, "ddl")
	out, err := Cancel(in, "somebody")
	if err != nil || out.Propose.Active != "pxc-0" || !out.NewEpoch || out.Propose.Move == nil || !out.Propose.Move.Rollback || out.Propose.Move.Hold {
		t.Errorf("got %+v, %v", out.Propose, err)
	}
	in.Record = out.Propose
	if _, err := Cancel(in, "somebody"); err == nil {
		t.Error("a rollback was rolled back")
	}
	dead := moving(model.Move{}, "ddl")
	for i := range dead.Voices {
		dead.Voices[i].View.Nodes[0] = word("pxc-0", 'd')
	}
	if _, err := Cancel(dead, "somebody"); err == nil || !strings.Contains(err.Error(), "cannot take the writes back") {
		t.Errorf("back to a dead node: %v", err)
	}
	if _, err := Cancel(input("hhh"), "somebody"); err == nil {
		t.Error("nothing was pending")
	}
}

// class gives every voter's word on the active a class, with Avoid.
func class(in *Input, c string) *Input {
	for i := range in.Voices {
		n := &in.Voices[i].View.Nodes[1]
		n.Class, n.Avoid, n.Eligible = c, true, false
	}
	return in
}

func TestLeaveAndFollow(t *testing.T) {
	leave := Policy{Leave: []string{"maintenance"}, LeaveTimeout: 5 * time.Second, MinStay: 30 * time.Second}
	tests := []struct {
		name   string
		in     *Input
		policy Policy
		change func(*Input)
		want   string
		reason string
	}{
		{name: "maintenance is left, by policy", in: class(input("hhh", "hhh", "hhh"), "maintenance"), policy: leave, want: "pxc-0", reason: "should be left"},
		{name: "a donor is not, by policy", in: class(input("hhh", "hhh", "hhh"), "donor"), policy: leave, want: "kept"},
		{name: "one voter alone is no reason", in: input("hhh", "hhh", "hhh"), policy: leave, change: func(in *Input) {
			in.Voices[0].View.Nodes[1].Class, in.Voices[0].View.Nodes[1].Avoid = "maintenance", true
		}, want: "kept"},
		{name: "not so soon after the last decision", in: class(input("hhh", "hhh", "hhh"), "maintenance"), policy: leave, change: func(in *Input) {
			in.Record.History[0].At = at.Add(-10 * time.Second)
		}, want: "kept", reason: "20s more"},
		{name: "no other node would do", in: class(input("ahd", "ahd", "ahd"), "maintenance"), policy: leave, want: "kept", reason: "no other node would do"},
		{name: "a lagging node would not do", in: class(input("hhd", "hhd", "hhd"), "maintenance"), policy: Policy{Leave: leave.Leave, MaxLag: 10}, change: func(in *Input) {
			for i := range in.Voices {
				in.Voices[i].View.Nodes[0].Seqno, in.Voices[i].View.Nodes[1].Seqno = 100, 1000
			}
		}, want: "kept", reason: "no other node would do"},
		{name: "too many: frozen", in: class(input("hhh", "hhh", "hhh"), "maintenance"), policy: Policy{Leave: leave.Leave, MaxAutoMoves: 1}, change: func(in *Input) {
			in.Record.AutoMoves = []time.Time{at.Add(-time.Minute)}
		}, want: "?", reason: "frozen"},
		{name: "a blind proxy, and follow: to whom everybody reaches", in: input("ddh", "hhh", "hhh"), policy: Policy{Follow: true}, want: "pxc-2", reason: "cannot be reached by px0"},
		{name: "a blind proxy without follow moves nobody", in: input("ddh", "hhh", "hhh"), want: "kept"},
		{name: "the probe is fine and the HAProxy blind: follow too", in: input("hhh", "hhh", "hhh"), policy: Policy{Follow: true}, change: func(in *Input) {
			in.Voices[1].View.Nodes[1].Server = model.ServerDown
		}, want: "pxc-0", reason: "cannot be reached by px1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.in.Policy = tt.policy
			if tt.change != nil {
				tt.change(tt.in)
			}
			out := Decide(tt.in)
			got := ends(tt.in, out)
			if out.Propose != nil && out.Propose.Frozen {
				got = "?"
			}
			if got != tt.want || !strings.Contains(out.Reason, tt.reason) {
				t.Errorf("got %s: %q, want %s: %q", got, out.Reason, tt.want, tt.reason)
			}
			if out.NewEpoch && (out.Propose.Move == nil || out.Propose.Move.From != "pxc-1" || out.Propose.Move.Drain != model.DrainTransactions) {
				t.Errorf("no planned move: %+v", out.Propose.Move)
			}
		})
	}
}

func TestStuck(t *testing.T) {
	hang := func(in *Input, nodes ...int) *Input {
		for i := range in.Voices {
			for _, j := range nodes {
				n := &in.Voices[i].View.Nodes[j]
				n.Stuck, n.Alone = "its own commits hang", len(nodes) < len(order)
			}
		}
		return in
	}
	if out := Decide(hang(input("hhh", "hhh", "hhh"), 1)); !out.NewEpoch || out.Propose.Active == "pxc-1" || !strings.Contains(out.Reason, "commits hang") {
		t.Errorf("the active alone hangs: %+v", out.Reason)
	}
	if out := Decide(hang(input("hhh", "hhh", "hhh"), 0, 1, 2)); out.Propose != nil {
		t.Errorf("everybody's commits hang, moving would not help: %s", out.Reason)
	}
	if out := Decide(hang(input("hhh", "hhh", "hhh"), 0, 1)); !out.NewEpoch || out.Propose.Active != "pxc-2" {
		t.Errorf("only pxc-2 commits: %+v", out.Reason)
	}
}

func TestNobodyReachesTheActive(t *testing.T) {
	blind := func(in *Input, proxies ...int) *Input {
		for i := range in.Voices {
			for j := range in.Voices[i].View.Nodes {
				in.Voices[i].View.Nodes[j].Server = model.ServerUp
			}
		}
		for _, i := range proxies {
			in.Voices[i].View.Nodes[1].Server = model.ServerDown
		}
		return in
	}
	if out := Decide(blind(input("hhh", "hhh", "hhh"), 0, 1)); out.Propose != nil {
		t.Errorf("one proxy still serves: %s", out.Reason)
	}
	if out := Decide(blind(input("hhh", "hhh", "hhh"), 0, 1, 2)); !out.NewEpoch || out.Propose.Active != "pxc-0" {
		t.Errorf("all would be fenced: %+v", out.Reason)
	}
	in := blind(input("hhh", "hhh", "-"), 0)
	in.Voices[1].View.Proxy = nil // a witness
	in.Witnesses = []string{"px1", "px9"}
	if out := Decide(in); out.Propose != nil {
		t.Errorf("px2 is not heard and may serve, whatever witnesses there are besides the voters: %s", out.Reason)
	}
	if out := Decide(blind(input("hhh", "-", "-"), 0)); out.Propose != nil {
		t.Errorf("two proxies are not heard: %s", out.Reason)
	}
}

func TestFailoverWaitsForFences(t *testing.T) {
	in := input("hdh", "hdh", "-")
	in.Policy.FenceAfter = 3 * time.Second
	in.Silence = map[string]time.Duration{"px2": 2 * time.Second}
	if out := Decide(in); out.Propose != nil || !strings.Contains(out.Reason, "px2, not heard, must have fenced itself") {
		t.Errorf("px2 may still serve the old active: %q", out.Reason)
	}
	in.Silence["px2"] = 3*time.Second + fenceMargin
	if out := Decide(in); !out.NewEpoch {
		t.Errorf("px2 has fenced itself: %q", out.Reason)
	}
	in.Silence["px2"], in.Witnesses = 0, []string{"px2"}
	if out := Decide(in); !out.NewEpoch {
		t.Errorf("a witness serves nobody: %q", out.Reason)
	}
}

func TestOperatorMoves(t *testing.T) {
	base := func() *Input {
		in := input("hhh", "hhh", "hhh")
		for i := range in.Voices {
			in.Voices[i].View.Proxy.CanHold = true
		}
		return in
	}
	req := Request{Node: "pxc-2", Drain: "transactions", Hold: true, Timeout: time.Minute, MaxHold: time.Second}
	out, _, err := Operator(base(), req)
	if m := out.Propose; err != nil || m == nil || m.Move == nil || m.Move.From != "pxc-1" || m.Move.To != "pxc-2" || m.Move.Bound() != time.Second {
		t.Fatalf("got %+v, %v", out.Propose, err)
	}
	if out, _, err := Operator(base(), Request{Node: "pxc-2", Drain: "immediate"}); err != nil || out.Propose.Move != nil {
		t.Errorf("an immediate move is over with its decision: %+v, %v", out.Propose, err)
	}
	for _, tt := range []struct {
		name   string
		change func(*Input)
		req    Request
		want   string
	}{
		{"a GRANT is missing", func(in *Input) { in.Voices[1].View.Nodes[1].Lacks = "GRANT PROCESS ON *.* TO x" }, req, "px1 needs GRANT PROCESS"},
		{"no hold frontend", func(in *Input) { in.Voices[2].View.Proxy.CanHold = false }, req, "px2"},
		{"no probe user", func(in *Input) { in.Voices[2].View.Nodes[1].Lacks = model.LacksProbe }, Request{Node: "pxc-2", Hold: true}, "px2 has no probe user"},
		{"another move is pending", func(in *Input) {
			in.Record.Move = &model.Move{From: "pxc-0", To: "pxc-1", Drain: "graceful", Phase: model.PhaseDrain, TimeoutMS: 1000}
		}, req, "the move from pxc-0 to pxc-1 is not over"},
		{"a lagging target", func(in *Input) {
			in.Policy.MaxLag = 10
			for i := range in.Voices {
				in.Voices[i].View.Nodes[1].Seqno, in.Voices[i].View.Nodes[2].Seqno = 1000, 100
			}
		}, Request{Node: "pxc-2"}, "900 write sets behind"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := base()
			tt.change(in)
			if _, _, err := Operator(in, tt.req); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	dead := base()
	for i := range dead.Voices {
		dead.Voices[i].View.Nodes[1] = word("pxc-1", 'd')
	}
	if out, w, err := Operator(dead, req); err != nil || out.Propose.Move != nil || len(w) == 0 {
		t.Errorf("a dead node is not drained: %+v, %v, %v", out.Propose, w, err)
	}
}

func TestIfDown(t *testing.T) {
	in := input("hhh", "hhh", "hhh")
	if w := IfDown(in, "pxc-1"); !w.Moves || w.Active != "pxc-0" {
		t.Errorf("got %+v", w)
	}
	if w := IfDown(in, "pxc-2"); w.Moves || w.Active != "pxc-1" {
		t.Errorf("got %+v", w)
	}
	if w := IfDown(input("dhd", "dhd", "dhd"), "pxc-1"); w.Moves || w.Active != "" {
		t.Errorf("nobody is left: %+v", w)
	}
	if in.Voices[0].View.Nodes[1].Verdict != model.Healthy {
		t.Error("the question changed the views")
	}
}
