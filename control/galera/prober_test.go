package galera

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
	"github.com/haproxy-peers/haproxy-peers/e2e/dbtest"
)

func TestMain(m *testing.M) {
	if probeAsChild() {
		return
	}
	goleak.VerifyTestMain(m)
}

// TestSetNodes needs no server: nodes that refuse are down.
func TestSetNodes(t *testing.T) {
	registry := prometheus.NewRegistry()
	b := Target{"b", dbtest.FreeAddress(t)}
	p, err := New(Config{Account: conn.Account{User: "u"}, Nodes: []Target{b, {"a", dbtest.FreeAddress(t)}}, Registerer: registry})
	dbtest.Must(t, err)
	if s := p.Status(); len(s) != 2 || s[0].Node != "b" || s[0].Verdict != Unknown || s[0].Reason == "" || !s[0].At.IsZero() {
		t.Fatalf("before Run: %+v", s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	allDown := func() []NodeStatus {
		t.Helper()
		give := time.After(dbtest.Soon)
		for {
			s := p.Status()
			down := 0
			for _, n := range s {
				if n.Verdict == Down {
					down++
				}
			}
			if down == len(s) {
				return s
			}
			select {
			case <-p.Changed():
			case <-give:
				t.Fatalf("not all down: %+v", s)
			}
		}
	}
	before := allDown()
	if err := p.Run(ctx); !errors.Is(err, ErrRunning) {
		t.Errorf("a second Run: %v", err)
	}
	if before[0].Node != b.Name {
		t.Errorf("the first is %s", before[0].Node)
	}
	p.SetNodes([]Target{{"c", dbtest.FreeAddress(t)}, b, {"c", dbtest.FreeAddress(t)}, {"", "x:1"}})
	if s := p.Status(); len(s) != 2 || s[0].Node != "c" || s[0].Verdict != Unknown || s[1].Node != "b" || s[1].Verdict != Down {
		t.Errorf("after SetNodes: %+v", s)
	}
	allDown()
	cancel()
	dbtest.Must(t, <-done)
	if s := p.Status(); s[1].Verdict != Unknown {
		t.Errorf("after Run the verdict still is %v", s[1].Verdict)
	}
	if n := testutil.CollectAndCount(p.metrics.verdict); n != 6 {
		t.Errorf("%d series of verdicts for 2 nodes", n)
	}
}

func TestDuplicateRegistration(t *testing.T) {
	registry := prometheus.NewRegistry()
	_, err := New(Config{Account: conn.Account{User: "u"}, Registerer: registry})
	dbtest.Must(t, err)
	if _, err := New(Config{Account: conn.Account{User: "u"}, Registerer: registry}); err == nil {
		t.Error("the metrics are registered twice")
	}
}
