package galera

import (
	"context"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/dbtest"
)

// startProber runs a prober of one node until the test ends.
func startProber(tb testing.TB, cfg Config, address string) *Prober {
	tb.Helper()
	cfg.Nodes = []Target{{Name: "n", Address: address}}
	if cfg.Account.User == "" {
		cfg.Account.User = dbtest.ProbeUser
	}
	if cfg.Account.PasswordFile == "" {
		cfg.Account.PasswordFile = dbtest.PasswordFile(tb, dbtest.ProbePassword)
	}
	p, err := New(cfg)
	dbtest.Must(tb, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		dbtest.Must(tb, <-done)
	})
	return p
}

// await waits for the only node's status to be so, and returns it and how long that
// took.
func await(tb testing.TB, p *Prober, bound time.Duration, what string, so func(NodeStatus) bool) (NodeStatus, time.Duration) {
	tb.Helper()
	began := time.Now()
	timeout := time.After(bound)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if s := p.Status()[0]; so(s) {
			return s, time.Since(began)
		}
		select {
		case <-p.Changed():
		case <-tick.C:
		case <-timeout:
			tb.Fatalf("not %s within %v: %+v", what, bound, p.Status()[0])
		}
	}
}

func is(v Verdict, c Class) func(NodeStatus) bool {
	return func(s NodeStatus) bool { return s.Verdict == v && s.Class == c }
}

func healthy(s NodeStatus) bool { return s.Verdict == Healthy && s.Eligible && s.Class == ClassSynced }
