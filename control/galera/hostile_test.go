package galera

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
	"github.com/haproxy-peers/haproxy-peers/e2e/dbtest"
)

var _ = dbtest.ServeHostile(hostileRoles, nil)

func TestHostile(t *testing.T) { dbtest.Hostile(t, hostileRoles) }

var hostileRoles = map[string]dbtest.Role{
	"check": {
		At: func(string) bool { return true },
		Ask: func(t *testing.T, address string) func() {
			g, err := Once(t.Context(), OnceConfig{Address: address, Account: conn.Account{User: "u"}, Within: dbtest.HostileDeadline})
			if err != nil || g.Kind == KindHealthy || g.Kind == KindDegraded {
				t.Errorf("%+v, %v", g, err)
			}
			return func() {}
		},
	},
	"prober": {
		At: func(string) bool { return true },
		Ask: func(t *testing.T, address string) func() {
			p, err := New(Config{Account: conn.Account{User: "u"}, Nodes: []Target{{"n", address}}, Deadline: dbtest.HostileDeadline})
			dbtest.Must(t, err)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- p.Run(ctx) }()
			await(t, p, dbtest.Soon, "judged", func(s NodeStatus) bool { return !s.At.IsZero() })
			if s := p.Status()[0]; s.Verdict == Healthy {
				t.Errorf("%+v", s)
			}
			return func() {
				cancel()
				dbtest.Must(t, <-done)
			}
		},
	},
	"canary": {
		At: func(text string) bool { return strings.HasPrefix(text, "INSERT") },
		Ask: func(t *testing.T, address string) func() {
			d, err := conn.NewDialer(address, nil)
			dbtest.Must(t, err)
			cfg := CanaryConfig{Member: "px0", Deadline: dbtest.HostileDeadline}.withDefaults()
			c := &canary{
				node: "n", cfg: &cfg, probe: &Config{Account: conn.Account{User: "u"}}, dialer: d, grid: time.Now(),
				log: Config{}.withDefaults().Logger, publish: func(func(*record)) {},
				// What hangs is waited for, as a commit of a stuck node is; a node that is down is not.
				verdict: verdictAfter(dbtest.HostileDeadline),
			}
			m, err := newMetrics(nil)
			dbtest.Must(t, err)
			c.metrics = m.of("n")
			c.turn(t.Context())
			return func() { c.drop(true) }
		},
	},
}

// verdictAfter is a node that is healthy, and found down after a while.
func verdictAfter(d time.Duration) func() Verdict {
	end := time.Now().Add(d)
	return func() Verdict {
		if time.Now().After(end) {
			return Down
		}
		return Healthy
	}
}

// A server that has said the next answers already is asked no more often for that.
func TestUnasked(t *testing.T) {
	address := dbtest.Serve(t, func(f *dbtest.Fake) {
		if f.LetIn(nil) != nil {
			return
		}
		text, err := f.Hear()
		if err != nil {
			return
		}
		f.Synced(text[1:])
		f.Pour(dbtest.Said(1, func(f *dbtest.Fake) { f.Synced(query) }))
	})
	registry := prometheus.NewRegistry()
	p := startProber(t, Config{Account: conn.Account{User: "u", PasswordFile: dbtest.PasswordFile(t, "")}, Interval: 50 * time.Millisecond, Registerer: registry}, address)
	await(t, p, dbtest.Soon, "healthy", healthy)
	count := func() (n uint64) {
		all, err := registry.Gather()
		dbtest.Must(t, err)
		for _, family := range all {
			if family.GetName() == "haproxyd_galera_probe_duration_seconds" {
				n = family.GetMetric()[0].GetHistogram().GetSampleCount()
			}
		}
		return n
	}
	began, before := time.Now(), count()
	time.Sleep(time.Second)
	if n, most := count()-before, 2*uint64(time.Since(began)/(50*time.Millisecond))+4; n > most {
		t.Errorf("%d probes where %d are the most", n, most)
	}
}

// A connection that is closed while the options are read, after the reading, was closed all the same.
func TestLostWhileOptionsAreRead(t *testing.T) {
	var once sync.Once
	address := dbtest.Serve(t, dbtest.ServeQueries(nil, func(f *dbtest.Fake, text string) bool {
		ends := false
		if strings.Contains(text, "wsrep_provider") {
			once.Do(func() { ends = true })
		}
		if !ends {
			f.Synced(text)
		}
		return !ends
	}))
	p := startProber(t, Config{Account: conn.Account{User: "u", PasswordFile: dbtest.PasswordFile(t, "")}, Interval: 500 * time.Millisecond}, address)
	await(t, p, dbtest.Soon, "suspected", func(s NodeStatus) bool { return s.Sight.UUID != "" && s.Sight.Suspect() })
	await(t, p, dbtest.Soon, "well again", func(s NodeStatus) bool { return healthy(s) && !s.Sight.Suspect() })
}

// What a process was told is asked of the process itself: another one at the same address is asked at once.
func TestOptionsAreTheProcesssOwn(t *testing.T) {
	var weight atomic.Int64
	var restarted atomic.Bool
	weight.Store(3)
	address := dbtest.Serve(t, dbtest.ServeQueries(nil, func(f *dbtest.Fake, text string) bool {
		process := dbtest.Process
		if restarted.Load() {
			process = "3bfc01dd-ecea-11f1-b985-e75f3bc6f0db"
		}
		switch {
		case strings.Contains(text, "wsrep_provider"):
			f.Table(dbtest.More, 2, dbtest.Row("wsrep_provider_pc_weight", fmt.Sprint(weight.Load())), dbtest.Row("wsrep_provider_evs_suspect_timeout", "PT5S"),
				dbtest.Row("wsrep_provider_evs_inactive_check_period", "PT0.5S"), dbtest.Row("wsrep_provider_evs_join_retrans_period", "PT1S"))
			f.Table(dbtest.End, 1, dbtest.Row(""))
		default:
			f.SyncedAs(text, process)
		}
		return true
	}))
	p := startProber(t, Config{Account: conn.Account{User: "u", PasswordFile: dbtest.PasswordFile(t, "")}, Interval: 20 * time.Millisecond}, address)
	await(t, p, dbtest.Soon, "its weight", func(s NodeStatus) bool { return s.Sight.UUID == dbtest.Process && s.Options.Weight == 3 })
	weight.Store(5)
	time.Sleep(200 * time.Millisecond)
	if s := p.Status()[0]; s.Options.Weight != 3 {
		t.Fatalf("it is asked all the time: %+v", s.Options)
	}
	before := time.Now()
	restarted.Store(true)
	await(t, p, dbtest.Soon, "the weight of the next", func(s NodeStatus) bool {
		if s.Sight.UUID != dbtest.Process && s.Options.Weight == 3 {
			t.Errorf("the next process is said to have the weight of the one before: %+v", s.Options)
		}
		return s.Sight.UUID != dbtest.Process && s.Options.Weight == 5 && s.OptionsAt.After(before)
	})
}
