package e2e

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
	"github.com/haproxy-peers/haproxy-peers/e2e/stack"
)

const (
	// restartAfter is how long a supervisor waits.
	restartAfter = time.Second
	// cleanWithin bounds how long after the restart the cluster may be unclean, and
	// steersWithin when all proxies must steer again: a beacon that was off answers
	// 200 only after 2 s of everything being right.
	cleanWithin  = 3 * time.Second
	steersWithin = cleanWithin + 2*time.Second
	// cleanFor is how long it must stay clean: longer than a failover takes.
	cleanFor = time.Second
)

// victim is what dies at a step.
type victim struct {
	name string
	// twoWriters bounds how long two nodes may take commits.
	twoWriters time.Duration
	node       bool
	kill       func(*cell)
}

// victims are all that take part in a move. The bounds are those of the
// documentation: a move with --hold has no second writer, unless what dies is
// what kept new connections waiting.
var victims = []victim{
	{name: "operator", twoWriters: ackApart, kill: func(c *cell) { c.operator.Kill9() }},
	{name: "leader", twoWriters: deadDaemon, kill: func(c *cell) { c.leader.Daemon.Kill9() }},
	{name: "follower", twoWriters: deadDaemon, kill: func(c *cell) { c.follower.Daemon.Kill9() }},
	{name: "leader-haproxy", twoWriters: deadHAProxy, kill: func(c *cell) { c.leader.Kill9() }},
	{name: "follower-haproxy", twoWriters: deadHAProxy, kill: func(c *cell) { c.follower.Kill9() }},
	{name: "old-node", node: true, twoWriters: ackApart, kill: func(c *cell) { c.old.Kill9() }},
	{name: "new-node", node: true, twoWriters: ackApart, kill: func(c *cell) { c.new.Kill9() }},
	{name: "leader+new-node", node: true, twoWriters: deadDaemon, kill: func(c *cell) {
		c.leader.Daemon.Kill9()
		c.new.Kill9()
	}},
}

const (
	// ackApart is how much later than it was given an acknowledgement may be
	// written down on a loaded machine; a hold has no more than that.
	ackApart = 50 * time.Millisecond
	// deadDaemon: until a daemon is back (1 s) and has the leader's word again (1 s),
	// its HAProxy lets one new connection at a time pass to the new node, and nobody
	// closes its sessions to the old one.
	deadDaemon = 2 * time.Second
	// deadHAProxy: a new process serves its first clients by its file, which names
	// the old node first until the move is over, before any daemon can write.
	deadHAProxy = 500 * time.Millisecond
	// plainDrain is what a move without a hold has itself: new connections go to the
	// new node while the old ones end.
	plainDrain = 500 * time.Millisecond
)

// moveStep is a step of a move, in the order in which they come.
type moveStep struct {
	name string
	// leads: only the leader comes to it.
	leads bool
	// plain: a move without a hold has it, too.
	plain bool
	// over: it is reached only when the time is over and something is left.
	over bool
}

var moveSteps = []moveStep{
	{name: "agreed", plain: true},
	{name: "holding"},
	{name: "held"},
	{name: "draining", plain: true},
	{name: "closing", plain: true, over: true},
	{name: "drained", leads: true},
	{name: "ending", plain: true, leads: true},
	{name: "releasing"},
}

// cell is one victim at one step.
type cell struct {
	*scenario
	step             moveStep
	operator         *lab.Process
	leader, follower *lab.Proxy
	old, new         *lab.Node
	asConfigured     map[string]string
}

// stepsBinary is a daemon with the step hook.
func stepsBinary(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(binaries, "steps")
	path := filepath.Join(dir, "haproxyd")
	if _, err := os.Stat(path); err == nil {
		return path
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path, _, err := lab.BuildWith(t.Context(), dir, lab.StepsTag)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// beginSteps is begin with daemons that have the step hook, and with everything
// supervised.
func beginSteps(t *testing.T, ctx context.Context) *scenario {
	t.Helper()
	theLab(t) // what the machine needs
	binary := stepsBinary(t)
	// No limit of automatic moves: the matrix makes more than an hour's.
	s := bare(t, ctx, stack.Options{DaemonArgs: []string{"--max-auto-moves", "0"}})
	s.must(s.StartHAProxies(ctx))
	for _, p := range s.PX {
		s.must(p.Daemon.Start(lab.DaemonOptions{Args: s.DaemonArgs(p), Binary: binary}))
	}
	for _, p := range s.PX {
		s.must(p.Daemon.WaitSocket(ctx))
		p.Daemon.Supervise(restartAfter)
		p.Supervise(restartAfter)
	}
	for _, n := range s.DB {
		n.Supervise(restartAfter)
	}
	s.must(s.WaitSteering(s.within(30*time.Second), len(s.PX)))
	return s
}

// matrix runs cells over one stack, which is made anew only after one that failed.
type matrix struct {
	t     *testing.T
	ctx   context.Context
	stack *stack.Stack
	seen  map[string][]outcome // by victim
	// cells counts them. Mostly the new node is the next one, sometimes the one
	// after: so in each step other nodes are the old and the new one.
	cells int
}

func newMatrix(t *testing.T) *matrix {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	t.Cleanup(cancel)
	scenarioOf = t.Name()
	t.Cleanup(func() { scenarioOf = "" })
	m := &matrix{t: t, ctx: ctx, seen: map[string][]outcome{}}
	t.Cleanup(func() {
		for _, name := range slices.Sorted(maps.Keys(m.seen)) {
			all := m.seen[name]
			t.Logf("%-18s %2d cells; min, median, max: clean after the kill %s, all steer %s, two writers %s", name, len(all),
				spread(all, func(o outcome) time.Duration { return o.clean }),
				spread(all, func(o outcome) time.Duration { return o.steers }),
				spread(all, func(o outcome) time.Duration { return o.twoWriters }))
		}
	})
	return m
}

// outcome is what came of one cell. The times are from the kill.
type outcome struct{ clean, steers, twoWriters time.Duration }

// spread is the least, the middle and the greatest of a figure.
func spread(all []outcome, of func(outcome) time.Duration) string {
	var figures []time.Duration
	for _, o := range all {
		figures = append(figures, of(o).Round(time.Millisecond))
	}
	slices.Sort(figures)
	return fmt.Sprintf("%v %v %v", figures[0], figures[len(figures)/2], figures[len(figures)-1])
}

// run runs one victim at one step.
func (m *matrix) run(step moveStep, v victim, args ...string) {
	m.t.Run(step.name+"/"+v.name, func(t *testing.T) {
		s := &scenario{Stack: m.stack, t: t, ctx: m.ctx}
		if m.stack == nil {
			s = beginSteps(t, m.ctx)
		}
		m.stack = nil
		m.cells++
		far := 1
		if m.cells%4 == 0 {
			far = 2
		}
		got := (&cell{scenario: s, step: step}).run(v, far, args)
		if t.Failed() {
			s.saveLogs(s.Lab)
			return
		}
		m.stack = s.Stack
		m.seen[v.name] = append(m.seen[v.name], got)
	})
}

// run moves the active and kills at the step.
func (c *cell) run(v victim, far int, args []string) outcome {
	s := c.scenario
	s.must(s.WaitSynced(s.within(30 * time.Second)))
	for _, n := range s.DB {
		// Every daemon must have heard that every HAProxy calls it up, or it refuses the move.
		s.must(s.waitNode(n.Name, "up everywhere", func(n apiNode) bool {
			return n.Healthy == len(s.PX) && !slices.ContainsFunc(n.Opinions, func(o api.Opinion) bool { return o.HAProxy != "up" })
		}))
	}
	s.must(s.WaitSteering(s.within(20*time.Second), len(s.PX)))
	leader, others := s.leader()
	c.leader, c.follower = leader, others[0]
	c.old = s.Node(s.active(leader).Active)
	c.new = s.DB[(slices.Index(s.DB, c.old)+far)%len(s.DB)]
	if v.node {
		s.must(s.FastFloor(s.ctx))
	}
	c.asConfigured = c.limits()
	s.mustStart(c.old.Name)
	if c.step.over {
		// A transaction that does not end: the time must be over.
		for _, p := range s.PX {
			session, err := s.OpenSession(s.ctx, p, lab.InTransaction)
			s.must(err)
			s.t.Cleanup(session.Close)
		}
	}
	s.must(s.StopAt(c.step.name))
	operator, err := others[1].Daemon.StartCtl(append([]string{"active", "set", c.new.Name, "--drain", "transactions"}, args...)...)
	s.must(err)
	c.operator = operator
	who := []string{leader.Name}
	if !c.step.leads {
		who = append(who, others[0].Name, others[1].Name)
	}
	if err := s.WaitReached(s.within(10*time.Second), c.step.name, who...); err != nil {
		s.t.Fatalf("%v; haproxyctl: %s", err, operator.LogTail(500))
	}
	s.load.Mark("kill")
	killed := time.Now()
	v.kill(c)
	s.must(s.LetGo(c.step.name))
	clean, steers := c.waitClean(v, killed)
	log := s.load.Stop()
	writers := log.TwoWriters()
	via, outage := log.Worst("kill")
	s.t.Logf("%s > %s, leader %s: clean %v after the kill, all steer after %v, two writers for %v (%d strays), the longest outage %v through %s, now %s",
		c.old.Name, c.new.Name, leader.Name, clean.Round(time.Millisecond), steers.Round(time.Millisecond), writers.Total.Round(time.Millisecond), writers.Strays, outage.Round(time.Millisecond), via, s.active(leader).Active)
	bound := v.twoWriters
	if !slices.Contains(args, "--hold") {
		bound += plainDrain
	}
	if writers.Total > bound {
		s.t.Errorf("two nodes took commits for %v, at most %v: %+v", writers.Total, bound, writers.Overlaps)
	}
	s.nothingLost(log)
	return outcome{clean: clean, steers: steers, twoWriters: writers.Total}
}

// mustStart starts the load and waits until every proxy commits on the node.
func (s *scenario) mustStart(node string) {
	s.t.Helper()
	load, err := s.StartLoad(s.ctx, lab.LoadConfig{Clients: 3, Rate: 40, Hold: 20 * time.Millisecond, ReconnectEvery: 10})
	s.must(err)
	s.load = load
	s.must(load.WaitNode(s.within(20*time.Second), node))
}

// holdFor is the hold's bound of a step: short where it must be over.
func holdFor(step moveStep) []string {
	if step.over {
		return []string{"--hold", "--max-hold", "800ms"}
	}
	return []string{"--hold", "--max-hold", "2s"}
}

// Whatever takes part in a planned move with drain and hold dies at each step of
// it, under load. Three telling ones are in the short suite.
func TestKillAtEveryStep(t *testing.T) {
	m := newMatrix(t)
	core := []string{"held/leader", "draining/follower", "releasing/new-node"}
	for _, step := range moveSteps {
		for _, v := range victims {
			if os.Getenv("E2E_FULL") != "" || slices.Contains(core, step.name+"/"+v.name) {
				m.run(step, v, holdFor(step)...)
			}
		}
	}
}

// The same without a hold, where the daemons that decide and carry out die.
func TestKillAtEveryStepOfADrain(t *testing.T) {
	full(t)
	m := newMatrix(t)
	for _, step := range moveSteps {
		if !step.plain {
			continue
		}
		timeout := "10s"
		if step.over {
			timeout = "800ms"
		}
		for _, v := range victims {
			if v.name == "operator" || v.name == "leader" {
				m.run(step, v, "--timeout", timeout)
			}
		}
	}
}
