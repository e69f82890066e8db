package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/haproxy-peers/haproxy-peers/cluster/gossip/memnet"
)

// TestMain looks for goroutines that are left, longer than goleak does by
// itself: a probe of memberlist's in flight ends only with its interval.
func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(child())
	}
	code := m.Run()
	if code == 0 {
		var err error
		for range 8 {
			if err = goleak.Find(); err == nil {
				break
			}
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// site runs clusters on a network in memory, in virtual time.
type site struct {
	t       *testing.T
	network memnet.Network
	dir     string
	running []*daemon
}

type daemon struct {
	*Cluster
	name, address string
	cancel        context.CancelFunc
	done          chan error
}

// inBubble runs f in a bubble of virtual time and stops what it left running.
func inBubble(t *testing.T, f func(s *site)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := &site{t: t, dir: dir}
		s.network.Delay = func(_, _ string) time.Duration { return 300 * time.Microsecond }
		defer func() {
			for _, d := range s.running {
				d.crash()
			}
			// memberlist's probes in flight end by themselves.
			time.Sleep(10 * time.Second)
		}()
		f(s)
	})
}

func hosts(n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("10.0.0.%d:7946", i+1))
	}
	return out
}

// start runs a daemon named name at address, with the disk of that name.
func (s *site) start(name, address string, change func(*Config)) *daemon {
	s.t.Helper()
	transport, err := s.network.Listen(address)
	if err != nil {
		s.t.Fatal(err)
	}
	cfg := Config{
		Name: name, DataDir: filepath.Join(s.dir, name), GossipBind: address, Join: hosts(3),
		InitialVoters: []string{"px0", "px1", "px2"}, Version: "test", Transport: transport,
		Logger: slog.New(slog.NewTextHandler(testWriter{s.t, name}, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if change != nil {
		change(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	d := &daemon{Cluster: c, name: name, address: address, cancel: cancel, done: make(chan error, 1)}
	go func() { d.done <- c.Run(ctx); close(d.done) }()
	s.running = append(s.running, d)
	return d
}

type testWriter struct {
	t    *testing.T
	name string
}

func (w testWriter) Write(b []byte) (int, error) {
	if os.Getenv("CLUSTER_TEST_LOG") != "" {
		w.t.Logf("%s %s", w.name, strings.TrimSpace(string(b)))
	}
	return len(b), nil
}

// crash ends a daemon without a word to the others.
func (d *daemon) crash() {
	d.cancel()
	<-d.done
}

// trio starts px0, px1 and px2 and waits until all are voters of one cluster.
func (s *site) trio() []*daemon { return s.trioOf(nil) }

// trioOf is a trio with another configuration. With MaxVoters 3 its leader admits no fourth
// voter, so that a member that comes later follows.
func (s *site) trioOf(change func(*Config)) []*daemon {
	s.t.Helper()
	var all []*daemon
	for i, address := range hosts(3) {
		all = append(all, s.start(fmt.Sprintf("px%d", i), address, change))
	}
	s.eventually(10*time.Second, "three voters that hear each other", func() bool { return allVote(all) })
	return all
}

func allVote(all []*daemon) bool {
	for _, d := range all {
		if a := d.Agreement(); !a.Fresh || !a.Voting || len(a.Voters) != len(all) || a.Leader == "" {
			return false
		}
	}
	return true
}

// eventually waits in virtual time and returns how long it took.
func (s *site) eventually(within time.Duration, what string, ok func() bool) time.Duration {
	s.t.Helper()
	start := time.Now()
	for !ok() {
		if time.Since(start) > within {
			for _, d := range s.running {
				a := d.Agreement()
				s.t.Logf("%s: state %s, fresh %v (%s), leader %q, voters %v, record %s", d.name, a.State, a.Fresh, a.Reason, a.Leader, a.Voters, a.Record.Version)
			}
			s.t.Fatalf("not within %s: %s", within, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(start)
}

// propose asks d for value on top of what d knows.
func (d *daemon) propose(id, value string) (Record, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	return d.Propose(ctx, Command{ID: id, Expect: d.Agreement().Record.Version, NewEpoch: true, Value: []byte(value)})
}

func (s *site) mustPropose(d *daemon, id, value string) Record {
	s.t.Helper()
	r, err := d.propose(id, value)
	if err != nil {
		s.t.Fatalf("%s proposes %q: %v", d.name, value, err)
	}
	return r
}

// knows reports whether all have the value and, unless they lost the majority, are fresh.
func knows(value string, all ...*daemon) bool {
	for _, d := range all {
		if a := d.Agreement(); !a.Known || !a.Fresh || string(a.Record.Value) != value {
			return false
		}
	}
	return true
}

func (d *daemon) diskOf(name string) uint64 {
	for _, v := range d.Agreement().Voters {
		if v.Name == name {
			return v.Disk
		}
	}
	return 0
}

func refused(err error) *RefusedError {
	var r *RefusedError
	if errors.As(err, &r) {
		return r
	}
	return nil
}
