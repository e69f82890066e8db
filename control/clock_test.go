package control

import (
	"bufio"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"pgregory.net/rapid"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/haproxycfg"
	"github.com/haproxy-peers/haproxy-peers/control/journal"
	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/published"
	"github.com/haproxy-peers/haproxy-peers/control/walltest"
	"github.com/haproxy-peers/haproxy-peers/runtimeapi"
)

// machine is a daemon whose machine's clock the test sets.
type machine struct {
	*Daemon
	cluster *fakeCluster
	clock   *walltest.Clock
}

func newMachine(t *testing.T) *machine {
	d, f := newTestDaemon(t)
	c := walltest.New()
	d.clock, d.born = c.Now, c.Now()
	d.mandate.rules = mandate.New(mandate.Policy{Name: "px0"}, d.born)
	d.cfg.Policy = decide.Policy{
		MaxAutoMoves: 2, MinStay: 10 * time.Minute, Leave: []string{"maintenance"}, LeaveTimeout: time.Minute,
		FenceAfter: 5 * time.Second,
	}
	f.set(func(ag *cluster.Agreement) { ag.IsLeader, ag.Leader, ag.Term = true, "px0", 3 })
	return &machine{Daemon: d, cluster: f, clock: c}
}

// pass lets time pass, and turns the vote loop at its pace for the last while of it.
func (m *machine) pass(t *rapid.T, d time.Duration) {
	const turns = 12
	m.clock.Pass(d)
	for range turns {
		m.clock.Pass(200 * time.Millisecond)
		m.voteTurn(t.Context(), m.started.Load(), m.clock.Now())
		m.proposed()
	}
}

// proposed waits for the answer to a proposal, which the fake register gives at once.
func (m *machine) proposed() {
	for {
		m.votes.mu.Lock()
		busy := m.votes.proposing
		m.votes.mu.Unlock()
		if !busy {
			return
		}
		time.Sleep(10 * time.Microsecond)
	}
}

// everybody has the voters say the same of the nodes.
func (m *machine) everybody(down, leaving string) {
	v := healthyView()
	for i := range v.Nodes {
		switch n := &v.Nodes[i]; n.Name {
		case down:
			n.Verdict, n.Eligible = model.Down, false
		case leaving:
			n.Class, n.Avoid, n.Eligible = "maintenance", true, false
		}
	}
	ag := m.cluster.Agreement()
	v.Epoch = ag.Record.Epoch
	for _, name := range []string{"px1", "px2"} {
		m.cluster.say(name, 0, v)
	}
}

// decided is the record without what is written down for people.
func (m *machine) decided() (model.Record, cluster.Version) {
	ag := m.cluster.Agreement()
	r, err := model.DecodeRecord(ag.Record.Value)
	if err != nil {
		panic(err)
	}
	out := *r
	out.AutoMoves = make([]time.Time, len(r.AutoMoves)) // how many, not when
	for i := range out.History {
		out.History[i].At = time.Time{}
	}
	return out, ag.Record.Version
}

// Whoever sets the machine's clock, by an hour in either direction and at any
// moment, changes nothing that is decided, nor when.
func TestStepsOfTheClockDecideNothing(t *testing.T) {
	base := t
	moved, froze := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		steady, stepped := newMachine(base), newMachine(base)
		nodes := []string{"", "pxc-0", "pxc-1", "pxc-2"}
		for i := range rapid.IntRange(4, 12).Draw(t, "events") {
			down, leaving := rapid.SampledFrom(nodes).Draw(t, "down"), rapid.SampledFrom(nodes).Draw(t, "leaving")
			passes := rapid.SampledFrom([]time.Duration{0, time.Second, 5 * time.Minute, 25 * time.Minute}).Draw(t, "passes")
			leads := rapid.IntRange(0, 9).Draw(t, "leads anew") == 0
			unfreezes := rapid.IntRange(0, 5).Draw(t, "unfreezes") == 0
			step := rapid.SampledFrom([]time.Duration{0, time.Hour, -time.Hour, 3 * time.Second, -3 * time.Second}).Draw(t, "step")
			for _, m := range []*machine{steady, stepped} {
				if m == stepped {
					m.clock.Set(step)
				}
				if leads {
					m.cluster.set(func(ag *cluster.Agreement) { ag.Term++ })
				}
				m.everybody(down, leaving)
				if unfreezes {
					if _, err := m.freeze(t.Context(), false, ""); err != nil {
						t.Fatal(err)
					}
				}
				m.pass(t, passes)
			}
			a, av := steady.decided()
			b, bv := stepped.decided()
			if !reflect.DeepEqual(a, b) || av != bv {
				t.Fatalf("event %d: with steps %+v %v\nwithout %+v %v", i, b, bv, a, av)
			}
			moved += int(av.Epoch) - 4 //nolint:gosec // a few
			if a.Frozen {
				froze++
			}
		}
	})
	if moved == 0 || froze == 0 {
		t.Errorf("nothing happened: %d moves, %d freezes", moved, froze)
	}
}

// Automatic moves count for an hour by the leader's own clock, whatever times the
// record has, and then leave the record.
func TestAutoMovesOfAnHour(t *testing.T) {
	now := walltest.New()
	moves := []time.Time{time.Now().Add(-48 * time.Hour).UTC(), time.Now().Add(48 * time.Hour).UTC()}
	ag := &cluster.Agreement{IsLeader: true, Term: 3}
	var a autoMoves
	old := func(ag *cluster.Agreement, moves []time.Time, now time.Time) int {
		a.look(ag, moves, now)
		return a.old(ag, moves, now)
	}
	if old(ag, moves, now.Now()) != 0 {
		t.Error("a new leader calls a move old")
	}
	now.Pass(59 * time.Minute)
	now.Set(24 * time.Hour)
	moves = append(moves, time.Now().Add(-10*time.Hour).UTC())
	if old(ag, moves, now.Now()) != 0 {
		t.Error("within the hour one is old")
	}
	now.Pass(time.Minute)
	if got := old(ag, moves, now.Now()); got != 2 {
		t.Errorf("after an hour %d are old", got)
	}
	if got := old(ag, moves[2:], now.Now()); got != 0 {
		t.Errorf("without the old ones %d are old", got)
	}
	ag.Term = 4
	now.Pass(59 * time.Minute) // the last one is an hour old to the leader of term 3
	if got := old(ag, moves[2:], now.Now()); got != 0 {
		t.Errorf("in a new term %d are old", got)
	}
	ag.IsLeader = false
	now.Pass(2 * time.Hour)
	if got := old(ag, moves[2:], now.Now()); got != 0 {
		t.Errorf("a follower calls %d old", got)
	}
	ag.IsLeader = true
	if got := old(ag, moves[2:], now.Now()); got != 0 {
		t.Errorf("leading again in the same term it calls %d old", got)
	}
}

// info is what a HAProxy answers, with its own start or, "", without.
func info(t *testing.T, pid int, uptime time.Duration, start string) runtimeapi.Info {
	t.Helper()
	path := filepath.Join(t.TempDir(), "haproxy.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		_, _ = bufio.NewReader(c).ReadString('\n')
		_, _ = fmt.Fprintf(c, "Name: HAProxy\nVersion: 2.6.12\nPid: %d\nUptime_sec: %d\n", pid, int(uptime.Seconds()))
		if start != "" {
			_, _ = fmt.Fprintf(c, "Start_time_sec: %s\n", start)
		}
		_, _ = fmt.Fprint(c, "\n")
	}()
	c, err := runtimeapi.New(runtimeapi.Config{Socket: path, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	snap, err := c.Snapshot(t.Context(), runtimeapi.SnapshotQuery{Info: true})
	if err != nil {
		t.Fatal(err)
	}
	return snap.Info
}

// A step of the clock is no restart of HAProxy: it drops no hold, and the failed
// checks that HAProxy counted before are not new. A restart is one all the same.
func TestStepsOfTheClockRestartNothing(t *testing.T) {
	for _, start := range []string{"", "1795378508"} {
		for _, step := range []time.Duration{4 * time.Second, time.Hour, -time.Hour} {
			t.Run(fmt.Sprintf("start %q, step %v", start, step), func(t *testing.T) {
				clock := walltest.New()
				dir := t.TempDir()
				log := slog.New(slog.DiscardHandler)
				u := newUndo(filepath.Join(dir, "u.json"), log)
				near, far := net.Pipe()
				defer func() { _ = far.Close() }()
				p := &proxy{
					log: log, now: clock.Now, events: journal.New(10), m: newMetrics(nil), undo: u, hold: hold{undo: u}, files: &haproxycfg.Files{Log: log},
					memory: newMemory(filepath.Join(dir, "seen.json"), log),
				}
				nodes := map[string]published.Node{"pxc-0": {State: model.ServerUp, Downs: 3}}
				look := func(pid int, uptime time.Duration, start string) {
					p.sameProcess(clock.Now(), info(t, pid, uptime, start))
					p.memory.look(p.proc, nodes)
				}
				look(7, time.Hour, start)
				p.memory.steered()
				p.memory.save()
				p.hold.conns = map[string]net.Conn{"galera-nodes": near}
				clock.Set(step)
				clock.Pass(10 * time.Second)
				look(7, time.Hour+10*time.Second, start)
				if len(p.hold.conns) == 0 || testutil.ToFloat64(p.m.restarts) != 0 || len(p.events.NewestFirst()) != 0 {
					t.Errorf("a step is a restart: %v", p.events.NewestFirst())
				}
				if down := p.memory.wentDown(); len(down) != 0 {
					t.Errorf("%v went down by the clock", down)
				}
				p.memory = newMemory(filepath.Join(dir, "seen.json"), log) // the daemon starts again meanwhile
				p.proc, p.began = process{}, time.Time{}
				look(7, time.Hour+10*time.Second, start)
				if down := p.memory.wentDown(); len(down) != 0 {
					t.Errorf("%v went down by the clock, after a start of the daemon", down)
				}
				p.hold.conns = map[string]net.Conn{"galera-nodes": near}
				again := ""
				if start != "" {
					again = "1795378999"
				}
				look(7, time.Second, again) // a container's HAProxy, with the same pid
				if len(p.hold.conns) != 0 || testutil.ToFloat64(p.m.restarts) != 1 {
					t.Error("a restart was not noticed")
				}
				look(8, time.Second, again)
				if testutil.ToFloat64(p.m.restarts) != 2 {
					t.Error("another pid was not noticed")
				}
			})
		}
	}
}
