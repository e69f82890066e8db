package decide

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/haproxy-peers/haproxy-peers/control/model"
)

var (
	at    = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	order = []string{"pxc-0", "pxc-1", "pxc-2"}
)

// word is a voter's word on one node: h healthy, d down, ? unknown, a avoid
// (healthy, not eligible).
func word(node string, w byte) model.NodeView {
	n := model.NodeView{Name: node, Verdict: model.Unknown, UUID: "u1"}
	switch w {
	case 'h':
		n.Verdict, n.Eligible = model.Healthy, true
	case 'a':
		n.Verdict, n.Avoid, n.Reason = model.Healthy, true, "it is a donor"
	case 'd':
		n.Verdict, n.Reason = model.Down, "connection refused"
	}
	return n
}

// voice is one voter's words on pxc-0, pxc-1, pxc-2, e.g. "hhd".
func voice(member, words string) Voice {
	v := &model.View{Proxy: &model.ProxyView{Reachable: true, Steering: true, Effective: "pxc-1"}}
	for i, node := range order {
		v.Nodes = append(v.Nodes, word(node, words[i]))
	}
	return Voice{Member: member, View: v}
}

// input has pxc-1 as the active, voters px0.. with these words; "-" is a voter
// that was not heard.
func input(words ...string) *Input {
	in := &Input{
		Now: at, By: "px0", Epoch: 7, Order: order,
		Record: &model.Record{Active: "pxc-1", StateUUID: "u1", History: []model.Decision{{Epoch: 7, Active: "pxc-1"}}},
	}
	for i, w := range words {
		name := fmt.Sprintf("px%d", i)
		in.Voters = append(in.Voters, name)
		if w != "-" {
			in.Voices = append(in.Voices, voice(name, w))
		}
	}
	return in
}

func TestDecide(t *testing.T) {
	tests := []struct {
		name   string
		in     *Input
		change func(*Input)
		want   string // the proposed active; "" keeps
		reason string // a part of the sentence
	}{
		{name: "all healthy", in: input("hhh", "hhh", "hhh"), reason: "healthy for all 3 voters"},
		{name: "down for all", in: input("hdh", "hdh", "hdh"), want: "pxc-0", reason: "pxc-1 is down for 3 of 3 voters (connection refused); pxc-0 is healthy for 3"},
		{name: "down for two of three", in: input("hdh", "hdh", "hhh"), want: "pxc-0"},
		{name: "down for one of three: a blind proxy moves nobody", in: input("hdh", "hhh", "hhh"), reason: "no majority, it stays"},
		{name: "down for two, one not heard", in: input("hdh", "hdh", "-"), want: "pxc-0"},
		{name: "down for one, two not heard: silence is no vote", in: input("hdh", "-", "-"), reason: "down for 1 of 3"},
		{name: "unknown is no vote", in: input("hdh", "h?h", "h?h"), reason: "down for 1 of 3"},
		{name: "two voters, one says down: a tie keeps", in: input("hdh", "hhh"), reason: "down for 1 of 2"},
		{name: "two voters agree", in: input("hdh", "hdh"), want: "pxc-0"},
		{name: "one voter alone decides", in: input("hdh"), want: "pxc-0"},
		{name: "nobody else is healthy", in: input("ddd", "ddd", "ddd"), reason: "no other node is healthy for more"},
		{name: "the candidate must be healthy for strictly more than the active", in: input("ddd", "ddd", "?hd"), reason: "no other node"},
		{name: "equal is not more", in: input("hdd", "?d?", "?h?"), reason: "no other node"},
		{name: "most votes win over the order", in: input("ddh", "hdh", "hdh"), want: "pxc-2"},
		{name: "a donor is not chosen", in: input("adh", "adh", "adh"), want: "pxc-2"},
		{name: "a donor alone is not chosen either", in: input("add", "add", "add"), reason: "no other node"},
		{name: "unless policy allows the last resort", in: input("add", "add", "add"), change: func(in *Input) { in.Policy.LastResort = true }, want: "pxc-0"},
		{name: "an active that is a donor stays", in: input("hah", "hah", "hah"), reason: "healthy for all"},
		{name: "equal votes: where the HAProxies went", in: input("hdh", "hdh", "hdh"), change: func(in *Input) {
			in.Voices[0].View.Proxy.Effective, in.Voices[1].View.Proxy.Effective = "pxc-2", "pxc-2"
		}, want: "pxc-2"},
		{name: "excluded nodes are never chosen", in: input("hdh", "hdh", "hdh"), change: func(in *Input) { in.Record.Excluded = []string{"pxc-0"} }, want: "pxc-2"},
		{name: "frozen", in: input("hdh", "hdh", "hdh"), change: func(in *Input) { in.Record.Frozen = true }, reason: "frozen, and pxc-1 is down"},
		{name: "another database is down, and never chosen", in: input("hdh", "hdh", "hdh"), change: func(in *Input) {
			for _, v := range in.Voices {
				v.View.Nodes[0].UUID = "u2"
			}
		}, want: "pxc-2"},
		{name: "the active became another database", in: input("hhh", "hhh", "hhh"), change: func(in *Input) {
			for _, v := range in.Voices {
				v.View.Nodes[1].UUID = "u2"
			}
		}, want: "pxc-0"},
		{name: "too many automatic moves freeze", in: input("hdh", "hdh", "hdh"), change: func(in *Input) {
			in.Policy.MaxAutoMoves = 2
			in.Record.AutoMoves = []time.Time{at.Add(-50 * time.Minute), at.Add(-time.Minute)}
		}, reason: "frozen until somebody looks"},
		{name: "old automatic moves do not count", in: input("hdh", "hdh", "hdh"), change: func(in *Input) {
			in.Policy.MaxAutoMoves = 2
			in.Record.AutoMoves = []time.Time{at.Add(-2 * time.Hour), at.Add(-time.Minute)}
		}, want: "pxc-0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.change != nil {
				tt.change(tt.in)
			}
			before := string(tt.in.Record.Encode())
			out := Decide(tt.in)
			got := ""
			if out.NewEpoch {
				got = out.Propose.Active
			}
			if got != tt.want || !strings.Contains(out.Reason, tt.reason) || out.Reason == "" {
				t.Errorf("proposes %q because %q, want %q because …%q…", got, out.Reason, tt.want, tt.reason)
			}
			if string(tt.in.Record.Encode()) != before {
				t.Error("the decision changed its input")
			}
			if out.NewEpoch {
				if d := out.Propose.Last(); d.Epoch != 8 || d.From != "pxc-1" || d.Reason != out.Reason || d.By != "px0" || d.Kind != model.KindFailover {
					t.Errorf("history: %+v", d)
				}
			}
		})
	}
}

func TestFreezingKeepsTheEpoch(t *testing.T) {
	in := input("hdh", "hdh", "hdh")
	in.Policy.MaxAutoMoves = 1
	in.Record.AutoMoves = []time.Time{at.Add(-time.Minute)}
	out := Decide(in)
	if out.NewEpoch || out.Propose == nil || !out.Propose.Frozen || out.Propose.Active != "pxc-1" || out.Alert == "" {
		t.Errorf("got %+v", out)
	}
}

func TestAdopt(t *testing.T) {
	first := func(effective ...string) *Input {
		in := input("hhh", "hhh", "hhh")
		in.Record, in.Epoch = nil, 0
		for i, e := range effective {
			in.Voices[i].View.Proxy.Effective = e
		}
		return in
	}
	t.Run("what most proxies do, not the first of the file", func(t *testing.T) {
		out := Decide(first("pxc-2", "pxc-0", "pxc-2"))
		if !out.NewEpoch || out.Propose.Active != "pxc-2" || out.Propose.StateUUID != "u1" || out.Propose.Last().Epoch != 1 {
			t.Errorf("got %+v %+v", out, out.Propose)
		}
	})
	t.Run("a tie of routes: by sessions", func(t *testing.T) {
		in := first("pxc-0", "pxc-2", "")
		in.Voices[2].View.Nodes[2].Sessions = 3
		if out := Decide(in); out.Propose == nil || out.Propose.Active != "pxc-2" {
			t.Errorf("got %+v", out)
		}
	})
	t.Run("nothing in use: the first healthy in the configured order", func(t *testing.T) {
		in := first("", "", "")
		for _, v := range in.Voices {
			v.View.Nodes[0] = word("pxc-0", 'd')
		}
		if out := Decide(in); out.Propose == nil || out.Propose.Active != "pxc-1" {
			t.Errorf("got %+v", out)
		}
	})
	t.Run("waits for a majority of the voters", func(t *testing.T) {
		in := first("pxc-2", "pxc-2", "pxc-2")
		in.Voices = in.Voices[:1]
		if out := Decide(in); out.Propose != nil || !strings.Contains(out.Reason, "1 of 3 voters") {
			t.Errorf("got %+v", out)
		}
	})
	t.Run("waits for the HAProxies to answer", func(t *testing.T) {
		in := first("pxc-2", "", "")
		in.Voices[1].View.Proxy.Reachable = false
		in.Voices[2].View.Proxy.Reachable = false
		if out := Decide(in); out.Propose != nil || !strings.Contains(out.Reason, "1 of 3 HAProxies") {
			t.Errorf("got %+v", out)
		}
	})
	t.Run("nothing in use and nothing healthy", func(t *testing.T) {
		in := input("ddd", "ddd", "d??")
		in.Record = nil
		for _, v := range in.Voices {
			v.View.Proxy.Effective = ""
		}
		if out := Decide(in); out.Propose != nil {
			t.Errorf("got %+v", out)
		}
	})
}

func TestNative(t *testing.T) {
	// The majority is back: two proxies went to pxc-2 while pxc-1 was down.
	back := func() *Input {
		in := input("hhh", "hhh", "hhh")
		in.Review = true
		for i, v := range in.Voices {
			v.View.Proxy.Native = true
			if i < 2 {
				v.View.Nodes[2].Sessions = 5
			}
		}
		in.Voices[0].View.Proxy.WentDown = []string{"pxc-1"}
		return in
	}
	if out := Decide(back()); out.Propose == nil || out.Propose.Active != "pxc-2" || out.Propose.Last().Kind != model.KindNative {
		t.Fatalf("what HAProxy did is not adopted: %+v", out)
	}
	// Clients whose connections are short have none open at most moments.
	short := back()
	for i, v := range short.Voices {
		v.View.Nodes[2].Sessions, v.View.Proxy.Effective = 0, "pxc-2"
		v.View.Nodes[2].Used = i == 2
	}
	if out := Decide(short); out.Propose == nil || out.Propose.Active != "pxc-2" {
		t.Errorf("with short connections what HAProxy did is not adopted: %+v", out)
	}
	short.Voices[2].View.Nodes[2].Used, short.Voices[2].View.Nodes[1].Used = false, true
	if out := Decide(short); out.NewEpoch {
		t.Errorf("adopted though no client went there: %+v", out)
	}
	// Right after the daemons' start two of three probes have no verdict yet: that is no "no".
	young := back()
	young.Voices[0].View.Nodes[2].Verdict, young.Voices[1].View.Nodes[2].Verdict = model.Unknown, model.Unknown
	if got := Unprobed(young); got != "pxc-2" {
		t.Errorf("nobody waits for the verdict on pxc-2: %q", got)
	}
	young.Record.Frozen = true
	if got := Unprobed(young) + Unprobed(back()); got != "" {
		t.Errorf("frozen, or known: waits for %q", got)
	}
	tests := map[string]func(*Input){
		"no review is due":                 func(in *Input) { in.Review = false },
		"the active was never seen down":   func(in *Input) { in.Voices[0].View.Proxy.WentDown = nil },
		"another node went down":           func(in *Input) { in.Voices[0].View.Proxy.WentDown = []string{"pxc-0"} },
		"entries only, no sessions":        func(in *Input) { in.Voices[0].View.Nodes[2].Sessions = 0 },
		"as many sessions on the active":   func(in *Input) { in.Voices[0].View.Nodes[1].Sessions = 5 },
		"the proxies steered all the time": func(in *Input) { in.Voices[0].View.Proxy.Native = false },
		"their node is not healthy": func(in *Input) {
			in.Voices[0].View.Nodes[2], in.Voices[1].View.Nodes[2] = word("pxc-2", 'd'), word("pxc-2", 'd')
			if got := Unprobed(in); got != "" {
				t.Errorf("waits for the verdict on %s, which is down", got)
			}
		},
		"their node is excluded": func(in *Input) { in.Record.Excluded = []string{"pxc-2"} },
		"frozen: never":          func(in *Input) { in.Record.Frozen = true },
		"their node belongs to another database": func(in *Input) {
			for _, v := range in.Voices {
				v.View.Nodes[2].UUID = "u2"
			}
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			in := back()
			change(in)
			if out := Decide(in); out.NewEpoch {
				t.Errorf("adopted %s: %s", out.Propose.Active, out.Reason)
			}
		})
	}
}

func TestOperator(t *testing.T) {
	tests := []struct {
		name   string
		in     *Input
		node   string
		force  bool
		change func(*Input)
		want   string // the proposed active
		frozen bool
		err    string
	}{
		{name: "a healthy node", in: input("hhh", "hhh", "hhh"), node: "pxc-2", want: "pxc-2"},
		{name: "the active already", in: input("hhh", "hhh", "hhh"), node: "pxc-1"},
		{name: "an unknown node", in: input("hhh", "hhh", "hhh"), node: "pxc-7", err: "pxc-7 is not a node of this configuration; these would do: pxc-0, pxc-2"},
		{name: "a dead node", in: input("hhd", "hhd", "hhd"), node: "pxc-2", err: "pxc-2 is down for 3 of 3 voters (connection refused); pxc-0 would do"},
		{name: "a dead node by force freezes", in: input("hhd", "hhd", "hhd"), node: "pxc-2", force: true, want: "pxc-2", frozen: true},
		{name: "a node that only one voter sees", in: input("hhh", "hh?", "hh?"), node: "pxc-2", err: "1 of 3 voters would choose it"},
		{name: "by force", in: input("hhh", "hh?", "hh?"), node: "pxc-2", force: true, want: "pxc-2"},
		{name: "a donor", in: input("hha", "hha", "hha"), node: "pxc-2", err: "it is a donor"},
		{name: "excluded", in: input("hhh", "hhh", "hhh"), node: "pxc-2", change: func(in *Input) { in.Record.Excluded = []string{"pxc-2"} }, err: "haproxyctl include pxc-2"},
		{name: "another database, even by force", in: input("hhh", "hhh", "hhh"), node: "pxc-2", force: true, change: func(in *Input) { in.Voices[1].View.Nodes[2].UUID = "u9" }, err: "another database"},
		{name: "nothing decided yet", in: input("hhh", "hhh", "hhh"), node: "pxc-2", change: func(in *Input) { in.Record = nil }, err: "no decision yet"},
		{name: "frozen does not bind the operator", in: input("hhh", "hhh", "hhh"), node: "pxc-2", change: func(in *Input) { in.Record.Frozen = true }, want: "pxc-2", frozen: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.change != nil {
				tt.change(tt.in)
			}
			out, _, err := Operator(tt.in, Request{Node: tt.node, Force: tt.force, By: "ops"})
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want …%s…", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if out.Propose != nil {
				got = out.Propose.Active
				if out.Propose.Frozen != tt.frozen {
					t.Errorf("frozen = %v", out.Propose.Frozen)
				}
			}
			if got != tt.want {
				t.Errorf("proposes %q, want %q", got, tt.want)
			}
		})
	}
}

// Whatever the views say: the active is left only when a majority of all voters
// says down, only for a node that is healthy for strictly more of them, and
// never for one that is excluded, unknown or another database.
func TestDecideProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 7).Draw(t, "voters")
		var words []string
		for range n {
			words = append(words, rapid.StringMatching(`-|[hda?]{3}`).Draw(t, "words"))
		}
		in := input(words...)
		in.Policy.LastResort = rapid.Bool().Draw(t, "last resort")
		in.Review = rapid.Bool().Draw(t, "review")
		if rapid.Bool().Draw(t, "excluded") {
			in.Record.Excluded = []string{"pxc-0"}
		}
		for _, v := range in.Voices {
			v.View.Proxy.Effective = rapid.SampledFrom(append(order, "")).Draw(t, "effective")
		}
		out := Decide(in)
		if out.Reason == "" {
			t.Fatal("a turn without a reason")
		}
		downs, healthy := 0, map[string]int{}
		for _, w := range words {
			if w == "-" {
				continue
			}
			if w[1] == 'd' {
				downs++
			}
			for i, node := range order {
				if w[i] == 'h' || w[i] == 'a' {
					healthy[node]++
				}
			}
		}
		if !out.NewEpoch {
			return
		}
		to := out.Propose.Active
		switch {
		case downs <= n/2:
			t.Fatalf("moved although only %d of %d say down", downs, n)
		case healthy[to] <= healthy["pxc-1"]:
			t.Fatalf("moved to %s, healthy for %d, from one healthy for %d", to, healthy[to], healthy["pxc-1"])
		case in.Record.IsExcluded(to) || to == "pxc-1":
			t.Fatalf("moved to %s", to)
		}
		again := Decide(in)
		if again.Propose.Active != to {
			t.Fatal("the same input, another decision")
		}
	})
}
