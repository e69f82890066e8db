package galera

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
	"github.com/haproxy-peers/haproxy-peers/e2e/dbtest"
)

var kinds = []Outcome{
	{KindUnknown, ClassAccessDenied, "u"},
	{KindHealthy, ClassSynced, "h"},
	{KindDegraded, ClassDonor, "d"},
	{KindDown, ClassRefused, "r"},
	{KindDown, ClassTimeout, "t"},
	{KindDown, ClassNotPrimary, "p"},
	{KindDown, ClassOtherCluster, "o"},
}

// TestNextProperties compares Next with what its contract says of the whole
// sequence of outcomes.
func TestNextProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 4).Draw(t, "n")
		outcomes := rapid.SliceOfN(rapid.SampledFrom(kinds), 1, 30).Draw(t, "outcomes")
		s := Start()
		for _, o := range outcomes {
			s = Next(s, o, n)
		}
		run := 0 // of failures at the end
		for i := len(outcomes) - 1; i >= 0 && outcomes[i].Kind == KindDown; i-- {
			run++
		}
		last := outcomes[len(outcomes)-1]
		// before is the last outcome that was no failure.
		before := Outcome{}
		if run < len(outcomes) {
			before = outcomes[len(outcomes)-1-run]
		}
		want := Unknown
		switch {
		case run >= n:
			want = Down
		case before.Kind == KindHealthy || before.Kind == KindDegraded:
			want = Healthy
		}
		foreign := false
		for _, o := range outcomes[len(outcomes)-run:] {
			foreign = foreign || o.Class == ClassOtherCluster
		}
		if s.Verdict != want {
			t.Fatalf("after %v: %v, want %v", outcomes, s.Verdict, want)
		}
		if s.Failures != min(run, n) {
			t.Fatalf("after %v: %d failures", outcomes, s.Failures)
		}
		if eligible := want == Healthy && before.Kind == KindHealthy && !foreign; s.Eligible != eligible {
			t.Fatalf("after %v: eligible %t", outcomes, s.Eligible)
		}
		if avoid := want == Healthy && before.Kind == KindDegraded && !foreign; s.Avoid != avoid {
			t.Fatalf("after %v: avoid %t", outcomes, s.Avoid)
		}
		if foreign && !s.OtherCluster {
			t.Fatalf("after %v: the other cluster is forgotten", outcomes)
		}
		if run == 0 && last.Kind != KindUnknown && s.OtherCluster {
			t.Fatalf("after %v: of another cluster", outcomes)
		}
		if s.Class != last.Class || !strings.HasPrefix(s.Reason, last.Reason) {
			t.Fatalf("after %v: reason %q", outcomes, s.Reason)
		}
	})
}

func TestNextSuspicion(t *testing.T) {
	s := Next(Start(), kinds[1], 2)
	s = Next(s, kinds[3], 2)
	if s.Verdict != Healthy || !s.Eligible || s.Reason != "r (failure 1 of 2)" {
		t.Errorf("one failure: %+v", s)
	}
	if s = Next(s, kinds[4], 2); s.Verdict != Down || s.Reason != "t" {
		t.Errorf("two failures: %+v", s)
	}
}

func TestNextPace(t *testing.T) {
	cfg := Config{}.withDefaults()
	for name, c := range map[string]struct {
		state State
		last  Outcome
		want  pace
	}{
		"healthy":         {State{Verdict: Healthy}, kinds[1], pace{wait: cfg.Interval, onGrid: true, deadline: cfg.Deadline}},
		"unknown":         {State{}, kinds[0], pace{wait: unknownPause, deadline: cfg.Deadline}},
		"first refusal":   {State{Verdict: Healthy, Failures: 1}, kinds[3], pace{wait: confirmPause, deadline: confirmWithin}},
		"first timeout":   {State{Failures: 1}, kinds[4], pace{deadline: confirmWithin}},
		"down by refusal": {State{Verdict: Down}, kinds[3], pace{wait: cfg.Interval, onGrid: true, deadline: cfg.Deadline}},
		"down by timeout": {State{Verdict: Down}, kinds[4], pace{wait: cfg.Interval, onGrid: true, deadline: cfg.Deadline, patient: true}},
	} {
		if got := nextPace(&cfg, c.state, c.last); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestVerdictText(t *testing.T) {
	for v, want := range map[Verdict]string{Unknown: "unknown", Healthy: "healthy", Down: "down"} {
		if v.String() != want {
			t.Errorf("%d is %s, want %s", v, v, want)
		}
	}
}

func TestConfigValidate(t *testing.T) {
	good := Config{Account: conn.Account{User: "u"}, Nodes: []Target{{"a", "10.0.0.1:3306"}, {"b", "pxc-1.pxc:3306"}, {"c", "[::1]:3306"}}}
	dbtest.Must(t, good.Validate())
	if _, err := New(Config{}); !errors.Is(err, conn.ErrNoUser) {
		t.Errorf("without a user: %v", err)
	}
	bad := Config{
		Account: conn.Account{User: "u"}, Interval: time.Microsecond, Deadline: -1,
		Nodes: []Target{{"a", "h:1"}, {"a", "h:1"}, {"", "h:2"}, {"d", "h"}, {"e", "h:0"}, {"f", ":1"}, {"g", "h:x"}},
	}
	err := bad.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	dbtest.Contains(t, err.Error(), "interval", "deadline", `"a" is listed twice`, "has no name", `"d"`, `"e"`, `"f"`, `"g"`)
	if n := strings.Count(err.Error(), "\n") + 1; n != 8 {
		t.Errorf("%d errors:\n%v", n, err)
	}
}
