package galera

import (
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
)

var (
	testGap = 1200 * time.Millisecond
	testNow = time.Unix(1000, 0)
)

// history makes a track of readings every 100 ms of the last three seconds: at gives
// the reading at a time before now, nil for none.
func history(at func(ago time.Duration) *Reading) *track {
	t := &track{}
	for ago := 3 * time.Second; ago >= 0; ago -= 100 * time.Millisecond {
		if r := at(ago); r != nil {
			t.add(*r, testNow.Add(-ago), testGap)
		}
	}
	return t
}

func at(committed int64) *Reading {
	return &Reading{ClusterStatus: primary, Ready: true, LocalState: StateSynced, StateUUID: "u", LastCommitted: committed}
}

func stands(ago time.Duration) *Reading { return at(100) }

// goes commits so many per second, and is at that position now.
func goes(perSecond float64, now int64) func(time.Duration) *Reading {
	return func(ago time.Duration) *Reading { return at(now - int64(perSecond*ago.Seconds())) }
}

func changed(of func(time.Duration) *Reading, change func(ago time.Duration, r *Reading)) func(time.Duration) *Reading {
	return func(ago time.Duration) *Reading {
		r := of(ago)
		change(ago, r)
		return r
	}
}

func TestStuckBehind(t *testing.T) {
	ahead := goes(20, 200)
	for name, c := range map[string]struct {
		node, other func(time.Duration) *Reading
		stuck       bool
	}{
		"stands while the other goes on":      {node: stands, other: ahead, stuck: true},
		"stands for less than D":              {node: func(ago time.Duration) *Reading { return at(100 - int64(ago/(1900*time.Millisecond))) }, other: ahead},
		"lags and goes on":                    {node: goes(20, 150), other: goes(20, 200)},
		"goes on by one write set":            {node: func(ago time.Duration) *Reading { return at(100 - int64(ago/time.Second)) }, other: ahead},
		"the cluster is idle":                 {node: stands, other: stands},
		"the cluster is idle, it hangs":       {node: stands, other: goes(0, 103)},
		"the other goes on by too few":        {node: stands, other: goes(4, 120)},
		"the other catches up with it":        {node: stands, other: goes(20, 100)},
		"the other passed it less than D ago": {node: stands, other: goes(20, 138)},
		"a batch a moment ago, it was idle": {node: stands, other: func(ago time.Duration) *Reading {
			if ago > 300*time.Millisecond {
				return at(100)
			}
			return at(500)
		}},
		"a donor is not spared": {node: changed(stands, func(_ time.Duration, r *Reading) { r.LocalState = StateDonor }), other: ahead, stuck: true},
		"a joiner is":           {node: changed(stands, func(_ time.Duration, r *Reading) { r.LocalState = StateJoined }), other: ahead},
		"it was outside the primary component": {node: changed(stands, func(ago time.Duration, r *Reading) {
			if ago == time.Second {
				r.ClusterStatus = "non-Primary"
			}
		}), other: ahead},
		"not ready":                       {node: changed(stands, func(_ time.Duration, r *Reading) { r.Ready = false }), other: ahead},
		"the other is outside":            {node: stands, other: changed(ahead, func(_ time.Duration, r *Reading) { r.ClusterStatus = "non-Primary" })},
		"the other is of another history": {node: stands, other: changed(ahead, func(_ time.Duration, r *Reading) { r.StateUUID = "v" })},
		"the positions are unknown":       {node: changed(stands, func(_ time.Duration, r *Reading) { r.LastCommitted = -1 }), other: ahead},
		"it is paused by flow control": {node: changed(stands, func(ago time.Duration, r *Reading) {
			r.FlowPausedNs = int64(3*time.Second - ago)
		}), other: ahead},
		"the other is paused by flow control": {node: stands, other: changed(ahead, func(ago time.Duration, r *Reading) {
			r.FlowPausedNs = int64(3*time.Second - ago)
		})},
		"it was paused a while ago": {node: changed(stands, func(ago time.Duration, r *Reading) {
			r.FlowPausedNs = int64(3*time.Second - max(ago, time.Second))
		}), other: ahead, stuck: true},
		"it no longer answers": {node: func(ago time.Duration) *Reading {
			if ago < 1500*time.Millisecond {
				return nil
			}
			return at(100)
		}, other: ahead},
		"it answered one time less": {node: func(ago time.Duration) *Reading {
			if ago == 500*time.Millisecond {
				return nil
			}
			return at(100)
		}, other: ahead, stuck: true},
		"we were stopped": {node: func(ago time.Duration) *Reading {
			if ago > 500*time.Millisecond && ago < 2*time.Second {
				return nil
			}
			return at(100)
		}, other: ahead},
		"new": {node: func(ago time.Duration) *Reading {
			if ago > 1500*time.Millisecond {
				return nil
			}
			return at(100)
		}, other: ahead},
		"never read": {node: func(time.Duration) *Reading { return nil }, other: ahead},
	} {
		t.Run(name, func(t *testing.T) {
			by, stuck := stuckBehind(history(c.node), history(c.other), testNow, testGap)
			if stuck != c.stuck || stuck && by < 20 {
				t.Errorf("stuck %t by %d", stuck, by)
			}
		})
	}
}

// TestTrackIsBounded: it holds what the rule looks back at, and makes no garbage.
func TestTrackIsBounded(t *testing.T) {
	tr, now := &track{}, testNow
	for range 1000 {
		now = now.Add(100 * time.Millisecond)
		tr.add(*at(1), now, testGap)
	}
	if n := len(tr.samples); n != 21 {
		t.Errorf("%d samples for 2 s", n)
	}
	if n := testing.AllocsPerRun(100, func() {
		now = now.Add(100 * time.Millisecond)
		tr.add(*at(1), now, testGap)
	}); n > 1 { // the reading itself
		t.Errorf("%v allocations", n)
	}
}

func TestFlowPaused(t *testing.T) {
	for _, c := range []struct {
		before, now int64
		between     time.Duration
		want        bool
	}{
		{0, 0, 100 * time.Millisecond, false},
		{5e9, 5e9 + 99e6, 100 * time.Millisecond, true},
		{5e9, 5e9 + 51e6, 100 * time.Millisecond, true},
		{5e9, 5e9 + 20e6, 100 * time.Millisecond, false},
		{5e9, 60e6, 100 * time.Millisecond, false}, // the server began anew
		{0, 5, 0, false},
	} {
		if got := flowPaused(c.before, c.now, c.between); got != c.want {
			t.Errorf("%+v: %t", c, got)
		}
	}
}

func TestAssess(t *testing.T) {
	canary := CanaryConfig{Member: "m"}.withDefaults()
	ago := func(d time.Duration) time.Time { return testNow.Add(-d) }
	node := func(name string, committed, hangs time.Duration) *record {
		r := &record{NodeStatus: NodeStatus{Node: name, State: State{Verdict: Healthy}, CanaryAt: ago(committed)}}
		r.StateUUID = "u"
		if hangs > 0 {
			r.hang = hang{why: "hangs", since: ago(hangs)}
		}
		return r
	}
	const s = time.Second
	for name, c := range map[string]struct {
		a, b         *record
		stuck, alone bool
		none         bool // no canary
	}{
		"both commit":                        {a: node("a", s/2, 0), b: node("b", s/2, 0)},
		"long ago":                           {a: node("a", 4*s, 0), b: node("b", s/2, 0)},
		"one hangs, the other commits":       {a: node("a", 2*s, 1500*time.Millisecond), b: node("b", s/4, 0), stuck: true, alone: true},
		"the other committed a moment ago":   {a: node("a", 2*s, 1500*time.Millisecond), b: node("b", s/10, 0), stuck: true},
		"the other committed before":         {a: node("a", 2*s, 1100*time.Millisecond), b: node("b", s, 0), stuck: true},
		"both hang":                          {a: node("a", 2*s, 1500*time.Millisecond), b: node("b", s/2, s/2), stuck: true},
		"the other committed too long ago":   {a: node("a", 9*s, 8*s), b: node("b", 4*s, 0), stuck: true},
		"nobody asked the canary":            {a: node("a", s/2, 0), b: node("b", s/2, 0), none: true},
		"the other is down":                  {a: node("a", 2*s, 1500*time.Millisecond), b: down1(node("b", s/4, 0)), stuck: true},
		"the other is of another history":    {a: node("a", 2*s, 1500*time.Millisecond), b: other1(node("b", s/4, 0)), stuck: true},
		"one that is down is not also stuck": {a: down1(node("a", 2*s, 1500*time.Millisecond)), b: node("b", s/4, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			with := &canary
			if c.none {
				with = nil
			}
			changed := assess([]*record{c.a, c.b}, testNow, testGap, with)
			if (c.a.Stuck != "") != c.stuck || c.a.StuckAlone != c.alone || c.b.StuckAlone {
				t.Errorf("a %+v, b %+v", c.a.NodeStatus, c.b.NodeStatus)
			}
			if changed != (c.stuck || c.b.Stuck != "") || assess([]*record{c.a, c.b}, testNow, testGap, with) {
				t.Errorf("changed %t at first", changed)
			}
		})
	}

	t.Run("once proven it holds", func(t *testing.T) {
		a, b := node("a", 2*s, 1500*time.Millisecond), node("b", s/4, 0)
		assess([]*record{a, b}, testNow, testGap, &canary)
		b.CanaryAt = testNow.Add(s)
		assess([]*record{a, b}, testNow.Add(s), testGap, &canary)
		if !a.StuckAlone {
			t.Error("lost with the other's next commit")
		}
		a.hang = hang{}
		assess([]*record{a, b}, testNow.Add(s), testGap, &canary)
		a.hang = hang{why: "again", since: testNow}
		assess([]*record{a, b}, testNow.Add(s), testGap, &canary)
		if a.StuckAlone {
			t.Error("a proof of another hang")
		}
	})

	t.Run("by what waits", func(t *testing.T) {
		waiting := func(of func(time.Duration) *Reading, since time.Duration) func(time.Duration) *Reading {
			return changed(of, func(ago time.Duration, r *Reading) {
				if ago <= since {
					r.Waiting = 3
				}
			})
		}
		for name, c := range map[string]struct {
			readings func(time.Duration) *Reading
			at       time.Duration
			paused   bool
			want     bool
		}{
			"all the time":              {readings: waiting(stands, 3*s), want: true},
			"not for long enough":       {readings: waiting(stands, 1900*time.Millisecond)},
			"not at one reading":        {readings: changed(waiting(stands, 3*s), func(ago time.Duration, r *Reading) { r.Waiting *= int(min(1, (ago - s).Abs())) })},
			"though it commits":         {readings: waiting(goes(20, 200), 3*s)},
			"all nodes are paused":      {readings: waiting(stands, 3*s), paused: true},
			"as of before a standstill": {readings: waiting(stands, 3*s), at: 5 * s},
		} {
			a, b := node("a", 0, 0), node("b", 0, 0)
			a.Waiting, a.At, a.track = 3, ago(c.at), *history(c.readings)
			a.track.paused = c.paused
			if changed := assess([]*record{a, b}, testNow, testGap, nil); changed != c.want || a.StuckAlone != c.want || (a.Stuck != "") != c.want || b.Stuck != "" {
				t.Errorf("%s: %q alone %t, b %q", name, a.Stuck, a.StuckAlone, b.Stuck)
			}
		}
	})

	t.Run("by readings", func(t *testing.T) {
		a, b := node("a", 0, 0), node("b", 0, 0)
		a.track, b.track = *history(stands), *history(goes(20, 200))
		assess([]*record{a, b}, testNow, testGap, nil)
		if !a.StuckAlone || b.Stuck != "" || !strings.Contains(a.Stuck, "2.0 s while b went on by 40 write sets") {
			t.Errorf("%q, b %q", a.Stuck, b.Stuck)
		}
	})
}

func down1(r *record) *record {
	r.Verdict = Down
	return r
}

func other1(r *record) *record {
	r.StateUUID = "v"
	return r
}

func TestCanaryConfig(t *testing.T) {
	for _, c := range []struct {
		cfg CanaryConfig
		bad string
	}{
		{CanaryConfig{Member: "px0"}, ""},
		{CanaryConfig{}, "member"},
		{CanaryConfig{Member: "m", Schema: "a`b"}, "schema"},
		{CanaryConfig{Member: "m", Interval: time.Millisecond}, "interval"},
		{CanaryConfig{Member: "m", Deadline: -1}, "deadline"},
		{CanaryConfig{Member: strings.Repeat("x", 256)}, "255"},
	} {
		err := Config{Account: conn.Account{User: "u"}, Canary: &c.cfg}.Validate()
		if (err == nil) != (c.bad == "") || err != nil && !strings.Contains(err.Error(), c.bad) {
			t.Errorf("%+v: %v", c.cfg, err)
		}
	}
	if n := (CanaryConfig{Deadline: 1200 * time.Millisecond}).lockWait(); n != 3 {
		t.Errorf("locks are waited for %d s", n)
	}
}
