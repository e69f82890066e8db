package e2e

import (
	"context"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/evict/gcomm"
	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

const (
	// modelSeeds is how many times the model plays a script: what it takes depends on where its timers stand.
	modelSeeds = 40
	// factor and margin are how far real Galera may be outside of the model's shortest and longest time.
	factor = 2
	margin = 700 * time.Millisecond
)

// The same scripts on the model of Galera's group layer and on real Galera of three nodes, at its default settings:
// the same components, lists and survivors at the end, and each time between the model's shortest and longest within a
// factor of two or 0.7 s. Where the two differ, the model is wrong. GCOMM_SCRIPTS names the scripts to play (with ; between
// them), all without it.
func TestGcommConformance(t *testing.T) {
	full(t)
	if err := lab.Requirements(lab.Config{}); err != nil {
		t.Skip(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	l, err := lab.New(ctx, lab.Config{Proxies: 1, GaleraDefaults: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	for _, script := range gcomm.Scripts() {
		t.Run(script.Name, func(t *testing.T) {
			if names := os.Getenv("GCOMM_SCRIPTS"); names != "" && !slices.Contains(strings.Split(names, ";"), script.Name) {
				t.Skip("not in GCOMM_SCRIPTS")
			}
			if err := l.Reset(ctx); err != nil {
				t.Fatal(err)
			}
			group := newRealGroup(t, ctx, l)
			got, err := gcomm.Play(script, group)
			group.close()
			if err != nil {
				t.Fatal(err)
			}
			compare(t, script, got)
		})
	}
}

// span is the shortest and the longest time that the model has for something.
type span struct{ low, high time.Duration }

// compare plays a script on the model and holds real Galera's result against it.
func compare(t *testing.T, script gcomm.Script, got gcomm.Result) {
	t.Helper()
	spans := map[string]span{}
	var ends []map[gcomm.Role]gcomm.End
	for seed := range uint64(modelSeeds) {
		model, err := gcomm.Play(script, gcomm.NewSubject(seed))
		if err != nil {
			t.Fatalf("on the model, seed %d: %v", seed, err)
		}
		for name, took := range model.Took {
			s, ok := spans[name]
			if !ok {
				s = span{took, took}
			}
			spans[name] = span{min(s.low, took), max(s.high, took)}
		}
		ends = append(ends, model.Ends)
	}
	same := func(end map[gcomm.Role]gcomm.End) bool {
		return maps.EqualFunc(end, got.Ends, gcomm.End.Equal)
	}
	if !slices.ContainsFunc(ends, same) {
		t.Errorf("real Galera ended %v, the model %v", got.Ends, ends[0])
	}
	for _, name := range slices.Sorted(maps.Keys(got.Took)) {
		took, s := got.Took[name], spans[name]
		t.Logf("%-18s real %v, model %v to %v", name, took.Round(100*time.Microsecond), s.low.Round(100*time.Microsecond),
			s.high.Round(100*time.Microsecond))
		if took < min(s.low/factor, s.low-margin) || took > max(s.high*factor, s.high+margin) {
			t.Errorf("%s: real %v, model %v to %v", name, took, s.low, s.high)
		}
	}
}
