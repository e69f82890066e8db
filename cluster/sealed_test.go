package cluster

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/haproxy-peers/haproxy-peers/cluster/gossip"
)

// Three voters that take nothing unsealed stay fresh while the tokens change
// several times, through restarts, and drop nothing of each other.
func TestSealedVotersStayFresh(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(file, []byte(gossip.NewKey()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	inBubble(t, func(s *site) {
		registries := map[string]*prometheus.Registry{}
		start := func(name, address string) *daemon {
			d := s.start(name, address, func(c *Config) {
				c.KeyFile, c.Registerer = file, prometheus.NewRegistry()
				registries[name] = c.Registerer.(*prometheus.Registry)
			})
			d.SetLowest(gossip.ReadsSealed)
			return d
		}
		var all []*daemon
		for i, address := range hosts(3) {
			all = append(all, start([]string{"px0", "px1", "px2"}[i], address))
		}
		s.eventually(10*time.Second, "three voters", func() bool { return allVote(all) })
		s.mustPropose(all[0], "1", "a")
		fresh := func(what string, d time.Duration, daemons ...*daemon) {
			t.Helper()
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
				for _, d := range daemons {
					if a := d.Agreement(); !a.Fresh {
						t.Fatalf("%s: %s is not fresh: %s", what, d.name, a.Reason)
					}
				}
			}
		}
		fresh("at rest", time.Minute, all...)
		for name, r := range registries {
			for _, reason := range []string{gossip.ReasonOld, gossip.ReasonReplayed, gossip.ReasonStale, gossip.ReasonKey} {
				if n := dropped(t, r, reason); n > 0 {
					t.Errorf("%s dropped %v as %s", name, n, reason)
				}
			}
		}
		for _, m := range all[0].Members() {
			if m.Reads != gossip.Reads {
				t.Errorf("%s reads %d", m.Name, m.Reads)
			}
		}
		if sec := all[0].Security(); !sec.ReplayProtected || sec.Mode != gossip.EncryptRequire {
			t.Errorf("%+v", sec)
		}
		leader := 0
		for i, d := range all {
			if d.Agreement().IsLeader {
				leader = i
			}
		}
		all[leader].crash()
		all[leader] = start(all[leader].name, all[leader].address)
		s.eventually(10*time.Second, "the crashed leader's return", func() bool { return allVote(all) })
		s.mustPropose(all[leader], "2", "b")
		s.eventually(5*time.Second, "the new value", func() bool { return knows("b", all...) })
		fresh("after it", 30*time.Second, all...)
	})
}

func dropped(t *testing.T, r *prometheus.Registry, reason string) (n float64) {
	t.Helper()
	all, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() != "gossip_dropped_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			if m.GetLabel()[0].GetValue() == reason {
				n += m.GetCounter().GetValue()
			}
		}
	}
	return n
}

// A daemon that is open to everybody is refused, and its supervisor can tell.
func TestOpenGossipIsRefused(t *testing.T) {
	cfg := Config{Name: "px0", DataDir: t.TempDir(), GossipBind: "0.0.0.0:7946"}
	_, err := New(cfg)
	var refused *gossip.SecurityError
	if !errors.As(err, &refused) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v", err)
	}
	cfg.Insecure = true
	if err := cfg.Validate(); err != nil {
		t.Error(err)
	}
	cfg.Encrypt = gossip.EncryptAccept
	if err := cfg.Validate(); err == nil {
		t.Error("encryption without a key is taken")
	}
}
