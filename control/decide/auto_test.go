package decide

import (
	"strings"
	"testing"

	"github.com/haproxy-peers/haproxy-peers/control/model"
)

func TestAuto(t *testing.T) {
	const grant = "GRANT PROCESS ON *.* TO 'm'@'%'"
	lack := func(members ...int) func(*Input) {
		return func(in *Input) {
			for _, i := range members {
				in.Voices[i].View.Nodes[1].Lacks = grant
			}
		}
	}
	for _, tt := range []struct {
		name   string
		in     *Input
		change func(*Input)
		req    Request
		want   string
		why    string // a part of it
	}{
		{name: "healthy, and all may look", in: input("hhh", "hhh", "hhh"), want: model.DrainTransactions, why: "every proxy can tell which sessions are in a transaction on pxc-1"},
		{name: "with a hold the same", in: input("hhh", "hhh", "hhh"), req: Request{Hold: true}, want: model.DrainTransactions},
		{name: "with keep the same", in: input("hhh", "hhh", "hhh"), req: Request{Keep: true}, want: model.DrainTransactions},
		{name: "a majority finds it healthy", in: input("hhh", "h?h", "hhh"), want: model.DrainTransactions},
		{name: "a donor is healthy", in: input("hah", "hah", "hah"), want: model.DrainTransactions},
		{name: "no majority finds it healthy", in: input("hhh", "h?h", "-"), want: model.DrainImmediate, why: "pxc-1 is healthy for 1 of 3 voters only"},
		{name: "unknown to all", in: input("h?h", "h?h", "h?h"), want: model.DrainImmediate, why: "healthy for 0 of 3"},
		{name: "unknown, and none may be cut", in: input("h?h", "h?h", "h?h"), req: Request{Keep: true}, want: model.DrainGraceful, why: "--keep"},
		{name: "down", in: input("hdh", "hdh", "hhh"), want: model.DrainImmediate, why: "pxc-1 is down for 2 of 3 voters"},
		{name: "down, and nothing is left to keep", in: input("hdh", "hdh", "hdh"), req: Request{Keep: true}, want: model.DrainImmediate, why: "down"},
		{name: "its own commits hang", in: input("hhh", "hhh", "hhh"), change: func(in *Input) {
			for i := range in.Voices {
				n := &in.Voices[i].View.Nodes[1]
				n.Stuck, n.Alone = "its commits hang", true
			}
		}, want: model.DrainImmediate, why: "down for 3 of 3"},
		{name: "forced", in: input("hhh", "hhh", "hhh"), req: Request{Force: true}, want: model.DrainImmediate, why: "--force waits for nobody"},
		{name: "nobody may look", in: input("hhh", "hhh", "hhh"), change: lack(0, 1, 2), want: model.DrainImmediate, why: "on pxc-1: px0, px1, px2 need " + grant},
		{name: "one may not look", in: input("hhh", "hhh", "hhh"), change: lack(1), want: model.DrainImmediate, why: ": px1 needs " + grant},
		{name: "one may not look, with a hold", in: input("hhh", "hhh", "hhh"), change: lack(1), req: Request{Hold: true}, want: model.DrainImmediate, why: grant},
		{name: "one may not look, and none may be cut", in: input("hhh", "hhh", "hhh"), change: lack(1), req: Request{Keep: true}, want: model.DrainGraceful, why: "px1 needs " + grant + "; none is closed"},
		{name: "a witness has no sessions", in: input("hhh", "hhh", "hhh"), change: func(in *Input) {
			in.Voices[2].View.Proxy = nil
			in.Voices[2].View.Nodes[1].Lacks = model.LacksProbe
		}, want: model.DrainTransactions},
		{name: "one that does not vote has", in: input("hhh"), change: func(in *Input) {
			v := voice("px9", "hhh")
			v.View.Nodes[1].Lacks = model.LacksProbe
			in.Voices = append(in.Voices, v)
		}, want: model.DrainImmediate, why: "px9 needs a probe user (--probe-user)"},
	} {
		if tt.change != nil {
			tt.change(tt.in)
		}
		tt.req.Drain = model.DrainAuto
		got, why := Auto(tt.in, &tt.req)
		if got != tt.want || !strings.Contains(why, tt.why) {
			t.Errorf("%s: %s, %q; want %s, %q", tt.name, got, why, tt.want, tt.why)
		}
	}
}
