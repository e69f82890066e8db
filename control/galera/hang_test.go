package galera

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
	"github.com/haproxy-peers/haproxy-peers/e2e/dbtest"
	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

// startLab is a real cluster of three nodes with a way to each of them from here, or
// skips the test with the reason why this machine cannot.
func startLab(t *testing.T) (context.Context, *lab.Lab, []Target) {
	t.Helper()
	if testing.Short() {
		t.Skip("a real cluster takes seconds to start")
	}
	cfg := lab.Config{Proxies: 1, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}
	if err := lab.Requirements(cfg); err != nil {
		t.Skip(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	l, err := lab.New(ctx, cfg)
	dbtest.Must(t, err)
	t.Cleanup(func() { dbtest.Must(t, l.Close()) })
	var targets []Target
	for _, n := range l.DB {
		way := startMiddleTo(t, func() (net.Conn, error) { return l.Client.Dial(ctx, "tcp", n.Address()) }, 0)
		targets = append(targets, Target{n.Name, way.listener.Addr().String()})
	}
	return ctx, l, targets
}

// lackBook is a test's log that remembers what the canary was last said to lack on each node.
type lackBook struct {
	log io.Writer

	mu   sync.Mutex
	said map[string]string
}

func newLackBook(t *testing.T) *lackBook {
	return &lackBook{log: t.Output(), said: map[string]string{}}
}

// Write takes a line.
func (b *lackBook) Write(line []byte) (int, error) {
	var l struct{ Msg, Node, Reason string }
	if err := json.Unmarshal(line, &l); err != nil {
		return 0, err
	}
	if l.Msg == "the canary cannot commit" {
		b.mu.Lock()
		b.said[l.Node] = l.Reason
		b.mu.Unlock()
	}
	return b.log.Write(line)
}

// of is what is lacking on a node, "" for nothing.
func (b *lackBook) of(node string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.said[node]
}

// startProbers runs a prober of the lab's nodes until the test ends.
func startProbers(t *testing.T, targets []Target, canary *CanaryConfig, log io.Writer) *Prober {
	t.Helper()
	p, err := New(Config{
		Account: conn.Account{User: lab.ProbeUser, PasswordFile: dbtest.PasswordFile(t, lab.Password)}, Nodes: targets, Canary: canary,
		Logger: slog.New(slog.NewJSONHandler(log, nil)),
	})
	dbtest.Must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		dbtest.Must(t, <-done)
	})
	return p
}

// awaitAll waits for the nodes' statuses to be so, and returns how long that took.
func awaitAll(t *testing.T, p *Prober, bound time.Duration, what string, so func([]NodeStatus) bool) time.Duration {
	t.Helper()
	began := time.Now()
	timeout := time.After(bound)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !so(p.Status()) {
		select {
		case <-p.Changed():
		case <-tick.C:
		case <-timeout:
			t.Fatalf("not %s within %v: %s", what, bound, told(p.Status()))
		}
	}
	return time.Since(began)
}

func told(all []NodeStatus) (text string) {
	for _, s := range all {
		text += fmt.Sprintf("\n%s: %s, commits %t, stuck %q alone %t, paused %t, replicated %d",
			s.Node, s.Reason, commits(s), s.Stuck, s.StuckAlone, s.FlowPaused, s.Replicated)
	}
	return text
}

// commits tells whether the canary has just committed on a node and does not hang now.
func commits(s NodeStatus) bool {
	return s.Verdict == Healthy && s.Stuck == "" && time.Since(s.CanaryAt) <= CanaryConfig{}.withDefaults().fresh()
}

// hangsSince is when the first commit on the first node began that did not come back.
func hangsSince(p *Prober) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.records[0].hang.since
}

func allCommit(all []NodeStatus) bool {
	return !slices.ContainsFunc(all, func(s NodeStatus) bool {
		return !commits(s) || s.StuckAlone || s.FlowPaused
	})
}

// onlyStuck is for one node that is stuck while the others commit.
func onlyStuck(node string) func([]NodeStatus) bool {
	return func(all []NodeStatus) bool {
		return !slices.ContainsFunc(all, func(s NodeStatus) bool {
			return (s.Stuck != "") != (s.Node == node) || s.StuckAlone != (s.Node == node) ||
				s.Node != node && !commits(s)
		})
	}
}

// TestCanary tells, on a real cluster, a node whose own commits hang from a cluster
// that is paused.
func TestCanary(t *testing.T) {
	ctx, l, targets := startLab(t)
	book := newLackBook(t)
	p := startProbers(t, targets, &CanaryConfig{Member: "px0"}, book)
	startProbers(t, targets, &CanaryConfig{Member: "px1"}, t.Output()) // beside it: they must not disturb each other

	t.Run("privileges", func(t *testing.T) {
		awaitAll(t, p, dbtest.Soon, "without privileges", func(all []NodeStatus) bool {
			return !slices.ContainsFunc(all, func(s NodeStatus) bool { return book.of(s.Node) == "" })
		})
		s, lacks := p.Status()[0], book.of("db0")
		t.Log(lacks)
		if s.Stuck != "" || commits(s) || !healthy(s) {
			t.Error(told(p.Status()))
		}
		// What it asks for helps.
		grant := regexp.MustCompile("GRANT .* TO '[^']*'@'[^']*'").FindString(lacks)
		dbtest.Must(t, l.DB[0].Exec(ctx, grant))
		took := awaitAll(t, p, dbtest.Soon, "committing", allCommit)
		t.Logf("committing after %v", took)
	})

	t.Run("counters", func(t *testing.T) {
		// counted are all members' canaries' commits through each node.
		counted := func() (out []int64) {
			for _, n := range l.DB {
				rows, err := n.Query(ctx, "SELECT SUM(seq) FROM haproxyd.canary WHERE node=?", n.Name)
				dbtest.Must(t, err)
				sum, err := strconv.ParseInt(rows[0][0], 10, 64)
				dbtest.Must(t, err)
				out = append(out, sum)
			}
			return out
		}
		awaitAll(t, p, dbtest.Soon, "counting", func([]NodeStatus) bool {
			return !slices.ContainsFunc(counted(), func(n int64) bool { return n < 4 })
		})
		before, canariesBefore := p.Status(), counted()
		const writes = 50
		for range writes {
			dbtest.Must(t, l.DB[1].Exec(ctx, "INSERT INTO lab.commits VALUES ('x','x',1,UUID_SHORT(),'x')"))
		}
		last := before[1].CanaryAt
		awaitAll(t, p, dbtest.Soon, "counted", func(all []NodeStatus) bool {
			return !slices.ContainsFunc(all, func(s NodeStatus) bool { return s.CanaryAt.Sub(last) < 1500*time.Millisecond })
		})
		canaries := counted()
		for i, s := range p.Status() {
			others := s.Replicated - before[i].Replicated - (canaries[i] - canariesBefore[i])
			want := int64(0)
			if i == 1 {
				want = writes
			}
			// Each member's latest commit may be in one of the two, and where this one's own was late, the other's two.
			if others < want-3 || others > want+3 {
				t.Errorf("%s wrote %d, want %d: %s", s.Node, others, want, told([]NodeStatus{before[i], s}))
			}
		}
	})

	t.Run("own commits hang", func(t *testing.T) {
		for _, inject := range []func(context.Context) (*lab.Fault, error){l.DB[0].BlockCommits, l.DB[0].Lag} {
			fault, err := inject(ctx)
			dbtest.Must(t, err)
			took := awaitAll(t, p, 4*time.Second, "stuck", onlyStuck("db0"))
			t.Logf("stuck after %v: %s", took, told(p.Status()[:1]))
			if s, since := p.Status()[0], hangsSince(p); s.Verdict != Healthy || time.Since(since) < DefaultCanaryDeadline {
				t.Errorf("stuck since %v: %+v", time.Since(since), s.State)
			}
			// It stays so, and no more than one commit of each member waits there.
			since := time.Now()
			awaitAll(t, p, dbtest.Soon, "stuck for long", func(all []NodeStatus) bool {
				if !onlyStuck("db0")(all) {
					t.Fatalf("no longer: %s", told(all))
				}
				return time.Since(since) > 4*time.Second
			})
			rows, err := l.DB[0].Query(ctx, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER=? AND COMMAND<>'Sleep'", lab.ProbeUser)
			dbtest.Must(t, err)
			if n, _ := strconv.Atoi(rows[0][0]); n > 4 { // two probes may be there too
				t.Errorf("%d statements wait", n)
			}
			dbtest.Must(t, fault.Undo(ctx))
			t.Logf("committing %v after the end", awaitAll(t, p, dbtest.Soon, "committing", allCommit))
		}
	})

	t.Run("slow for everybody", func(t *testing.T) {
		// What db0 has not committed until just now would be its own fault.
		steady := time.Now()
		awaitAll(t, p, dbtest.Soon, "committing for a while", func(all []NodeStatus) bool {
			if !allCommit(all) {
				steady = time.Now()
			}
			return time.Since(steady) > 3*time.Second
		})
		fault, err := l.DB[2].SlowEverybody(ctx)
		dbtest.Must(t, err)
		alone := func(all []NodeStatus) bool {
			return slices.ContainsFunc(all, func(s NodeStatus) bool { return s.StuckAlone })
		}
		took := awaitAll(t, p, 4*time.Second, "all stuck", func(all []NodeStatus) bool {
			if alone(all) {
				t.Fatalf("alone: %s", told(all))
			}
			return !slices.ContainsFunc(all, func(s NodeStatus) bool { return s.Stuck == "" || !s.FlowPaused || s.Verdict != Healthy })
		})
		t.Logf("all stuck after %v: %s", took, told(p.Status()))
		began := time.Now()
		awaitAll(t, p, dbtest.Soon, "all stuck for long", func(all []NodeStatus) bool {
			if alone(all) || slices.ContainsFunc(all, func(s NodeStatus) bool { return s.Stuck == "" }) {
				t.Fatalf("no longer all: %s", told(all))
			}
			return time.Since(began) > 2500*time.Millisecond
		})
		dbtest.Must(t, fault.Undo(ctx))
		awaitAll(t, p, dbtest.Soon, "committing", func(all []NodeStatus) bool {
			if alone(all) {
				t.Fatalf("alone at the end: %s", told(all))
			}
			return allCommit(all)
		})
	})
}

// TestCanaryTable is about an account that may write and not create.
func TestCanaryTable(t *testing.T) {
	m := dbtest.StartMariaDB(t)
	m.Do(t, "GRANT SELECT, INSERT, UPDATE ON `my_own`.* TO "+dbtest.ProbeUser)
	book := newLackBook(t)
	p := startProber(t, Config{
		Canary: &CanaryConfig{Schema: "my_own", Member: `it's "me" \`}, Logger: slog.New(slog.NewJSONHandler(book, nil)),
	}, m.Address)
	await(t, p, dbtest.Soon, "without a table", func(NodeStatus) bool { return book.of("n") != "" })
	lacks := book.of("n")
	t.Log(lacks)
	// In a GRANT an underscore stands for any character, unless it is escaped.
	dbtest.Contains(t, lacks, "GRANT CREATE, SELECT, INSERT, UPDATE ON `my\\_own`.* TO '"+dbtest.ProbeUser+"'@'%'")
	for _, create := range []string{"CREATE SCHEMA IF NOT EXISTS [^;]*", "CREATE TABLE IF NOT EXISTS [^;]*"} {
		m.Do(t, regexp.MustCompile(create).FindString(lacks))
	}
	await(t, p, dbtest.Soon, "committing", commits)
	var node, member string
	dbtest.Must(t, m.Admin.QueryRow("SELECT node, member FROM my_own.canary").Scan(&node, &member))
	if node != "n" || member != `it's "me" \` {
		t.Errorf("the row is %q, %q", node, member)
	}
	m.Do(t, "SET GLOBAL read_only=ON")
	s, _ := await(t, p, dbtest.Soon, "read-only", func(NodeStatus) bool { return strings.Contains(book.of("n"), "error 1290") })
	if s.Stuck != "" {
		t.Error(s.Stuck)
	}
}

// TestStuckByReadings is about what can be read without a canary.
func TestStuckByReadings(t *testing.T) {
	ctx, l, targets := startLab(t)
	p := startProbers(t, targets, nil, t.Output())
	load := func(t *testing.T) (stop func()) {
		t.Helper()
		wctx, cancel := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for wctx.Err() == nil {
				_ = l.DB[1].Exec(wctx, "INSERT INTO lab.commits VALUES ('x','x',1,UUID_SHORT(),'x')")
				select {
				case <-wctx.Done():
				case <-tick.C:
				}
			}
		}()
		return func() { cancel(); <-done }
	}
	stuck := func(all []NodeStatus) (nodes []string) {
		for _, s := range all {
			if s.Stuck != "" && s.StuckAlone {
				nodes = append(nodes, s.Node)
			}
		}
		return nodes
	}
	for name, c := range map[string]struct {
		make func(context.Context) (*lab.Fault, error)
		want []string
	}{
		"lag":            {l.DB[2].Lag, []string{"db2"}},
		"block commits":  {l.DB[2].BlockCommits, []string{"db2"}},
		"slow everybody": {l.DB[2].SlowEverybody, nil},
	} {
		t.Run(name, func(t *testing.T) {
			stop := load(t)
			defer stop()
			began := time.Now()
			awaitAll(t, p, dbtest.Soon, "watched under load", func(all []NodeStatus) bool {
				if len(stuck(all)) > 0 {
					t.Fatalf("stuck: %s", told(all))
				}
				return all[0].Verdict == Healthy && time.Since(began) > stuckAfter+time.Second
			})
			fault, err := c.make(ctx)
			dbtest.Must(t, err)
			began = time.Now()
			took := awaitAll(t, p, dbtest.Soon, "as it should be", func(all []NodeStatus) bool {
				if c.want == nil {
					if len(stuck(all)) > 0 {
						t.Fatalf("stuck: %s", told(all))
					}
					return time.Since(began) > 2*stuckAfter
				}
				return slices.Equal(stuck(all), c.want)
			})
			t.Logf("after %v: %s", took, told(p.Status()))
			dbtest.Must(t, fault.Undo(ctx))
			awaitAll(t, p, dbtest.Soon, "not stuck", func(all []NodeStatus) bool {
				return len(stuck(all)) == 0 && !slices.ContainsFunc(all, func(s NodeStatus) bool { return s.FlowPaused || !healthy(s) })
			})
		})
	}
}
