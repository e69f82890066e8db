package steer

import (
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/plan"
	"github.com/haproxy-peers/haproxy-peers/control/published"
)

// Connections are kept only while all says that the active serves, and a fence waits
// for the vote only while they are.
func TestStay(t *testing.T) {
	const no, at = "", "at once"
	type in struct {
		cfg   Config
		want  mandate.Want
		state model.ServerState
		held  keptNow
	}
	down := func(x *in) { x.state = model.ServerDown }
	for _, c := range []struct {
		name   string
		change []func(*in)
		letGo  string // part of why, "" for kept
		fence  string // part of why, "" for none
	}{
		{"all is well", nil, no, no},
		{"all is well, the key is not there yet", []func(*in){func(x *in) { x.held.kept = false }}, no, no},
		{"the check fails", []func(*in){down}, no, no},
		{"the check has failed for a moment", []func(*in){down, func(x *in) { x.held.downFor = voteWithin - 1 }}, no, no},
		{"and the vote has not moved the active", []func(*in){down, func(x *in) { x.held.downFor = voteWithin }}, "calls b down", "calls b down"},
		{"the check fails, nothing keeps", []func(*in){down, func(x *in) { x.held.kept = false }}, "calls b down", "calls b down"},
		{"the check fails, the beacon is not seen", []func(*in){down, func(x *in) { x.held.steered = false }}, no, "calls b down"},
		{"the probes do not find it serving", []func(*in){func(x *in) { x.want.Unserved = "1 of 3" }}, "1 of 3", no},
		{"nor does the check", []func(*in){down, func(x *in) { x.want.Unserved = "1 of 3" }}, "1 of 3", "calls b down"},
		{"this probe has no way to it", []func(*in){func(x *in) { x.want.Unserved, x.want.Blind = "not serving", "refused" }}, "not serving", "refused"},
		{"a crash", []func(*in){down, func(x *in) { x.want.Unserved, x.want.Blind = "not serving", "refused" }}, "not serving", "refused"},
		{"an operator's maint", []func(*in){func(x *in) { x.state = model.ServerMaint }}, "maint", "maintenance"},
		{"an operator's drain", []func(*in){func(x *in) { x.state = model.ServerDrain }}, "drain", no},
		{"frozen", []func(*in){func(x *in) { x.want.Frozen = true }}, "frozen", no},
		{"frozen and down: HAProxy's checks rule", []func(*in){down, func(x *in) { x.want.Frozen = true }}, "frozen", no},
		{"a move", []func(*in){func(x *in) { x.want.Move = &model.Move{From: "b", To: "a"} }}, "move", no},
		{"a hold that is taken back", []func(*in){func(x *in) { x.held.holding = true }}, "hold", no},
		{"no majority", []func(*in){func(x *in) { x.want.MayWrite, x.want.Why = false, "px1, px2" }}, "px1, px2", no},
		{"no majority, by policy nobody is served", []func(*in){func(x *in) { x.want.MayWrite, x.want.Cut = false, "cut" }}, "no majority", "cut"},
		{"this proxy alone", []func(*in){func(x *in) { x.want.Local = "b" }}, "alone", no},
		{"by policy it goes elsewhere", []func(*in){down, func(x *in) { x.cfg.OnBlind = BlindServe }}, "serve", no},
		{"follow waits too", []func(*in){down, func(x *in) { x.cfg.OnBlind = BlindFollow }}, no, no},
		{"a node that HAProxy does not know", []func(*in){func(x *in) { x.state = "" }}, "calls b down", no},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := in{
				cfg: Config{OnBlind: BlindFence}, want: mandate.Want{Known: true, MayWrite: true, Active: "b"}, state: model.ServerUp,
				held: keptNow{kept: true, steered: true},
			}
			for _, f := range c.change {
				f(&x)
			}
			x.held.state = x.state
			layout := plan.Layout{Steer: &plan.Steer{Table: "s", ActiveKey: "1", FenceKey: "2", KeepKey: "4"}}
			letGo, fence := stay(&x.cfg, &x.want, map[string]published.Node{"a": {State: model.ServerUp}, "b": {State: x.state}}, &layout, x.held)
			if (letGo == "") != (c.letGo == "") || !strings.Contains(letGo, c.letGo) || (fence == "") != (c.fence == "") || !strings.Contains(fence, c.fence) {
				t.Errorf("let go %q, want %q; fence %q, want %q", letGo, c.letGo, fence, c.fence)
			}
		})
	}
}

// The time counts from the first look that sees this very active down.
func TestDownFor(t *testing.T) {
	var f fence
	at := time.Unix(1000, 0)
	for i, c := range []struct {
		active string
		state  model.ServerState
		want   time.Duration
	}{
		{"b", model.ServerUp, 0}, {"b", model.ServerDown, 0}, {"b", model.ServerDown, time.Second}, {"b", model.ServerDown, 2 * time.Second},
		{"a", model.ServerDown, 0}, {"a", model.ServerDown, time.Second}, {"a", model.ServerUp, 0}, {"a", model.ServerDown, 0},
	} {
		if got := f.noteDown(at.Add(time.Duration(i)*time.Second), c.active, c.state); got != c.want {
			t.Errorf("look %d: %v, want %v", i, got, c.want)
		}
	}
}
