package suite

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/e2e/k8s/load"
	"github.com/haproxy-peers/haproxy-peers/e2e/k8s/timeline"
	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

// limits are what a scenario's log must keep to.
type limits struct {
	// twoWriters is how long two nodes may take commits at once.
	twoWriters time.Duration
	// outage is how long nobody's commit may be acknowledged; 0: it is only reported.
	outage time.Duration
	// tested: no transaction of the pool may break that was begun on a connection tested just before. A BEGIN that is
	// refused is only reported: a session that is closed between two transactions may be so between its test and BEGIN.
	tested bool
	// path, if it is not 0, is how many nodes the path has.
	path int
}

// scenario is one disturbance under load.
type scenario struct {
	*environment
	t      *testing.T
	ctx    context.Context
	limits limits
	// active is the node that takes the writes when it begins; never the first server of the first configuration.
	active string
	// haproxies is how many HAProxies there are at the end.
	haproxies int

	from     time.Duration
	operates bool
	operator sync.WaitGroup

	mu       sync.Mutex
	marks    []lab.Mark
	last     time.Time // the last fault
	outcomes []string  // of the operator
}

// each runs a disturbance by itself, and again with an operator who sets the active in the middle of it.
func each(t *testing.T, name string, l limits, body func(*scenario)) {
	if env == nil {
		t.Skip("E2E_K8S=1 runs it, on a cluster that is made for it: make e2e-k8s")
	}
	t.Run(name, func(t *testing.T) { play(t, name, l, false, body) })
	t.Run(name+" + active set", func(t *testing.T) {
		// He may choose the node that is about to go, or come in the middle of a failover.
		l.path, l.tested = 0, false
		play(t, name+" + active set", l, true, body)
	})
}

// once runs a disturbance one time, with an operator or without.
func once(t *testing.T, name string, l limits, operates bool, body func(*scenario)) {
	if env == nil {
		t.Skip("E2E_K8S=1 runs it, on a cluster that is made for it: make e2e-k8s")
	}
	t.Run(name, func(t *testing.T) { play(t, name, l, operates, body) })
}

func play(t *testing.T, name string, l limits, operates bool, body func(*scenario)) {
	s := newScenario(t, name, l)
	s.operates = operates
	s.begin()
	body(s)
	s.finish(name)
}

// newScenario is one that has not begun. When it fails, what one needs to understand it is kept.
func newScenario(t *testing.T, name string, l limits) *scenario {
	s := &scenario{environment: env, t: t, ctx: env.ctx, limits: l, haproxies: env.haproxies}
	t.Cleanup(func() {
		if t.Failed() {
			dir := filepath.Join(s.report.Dir, strings.NewReplacer(" ", "-", "/", "-", ":", "").Replace(name))
			t.Logf("what there was is in %s (%v)", dir, s.Dump(context.WithoutCancel(s.ctx), dir))
		}
	})
	return s
}

func (s *scenario) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// proxies are the names of the HAProxies' pods.
func (s *scenario) proxies() []string {
	s.t.Helper()
	pods, err := s.Proxies(s.ctx)
	s.must(err)
	return pods
}

func (s *scenario) within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(s.ctx, d)
	s.t.Cleanup(cancel)
	return ctx
}

// begin waits until everything is well and the active is a node on which a fault shows.
func (s *scenario) begin() {
	s.t.Helper()
	s.must(s.WaitReady(s.within(recoverWithin), pxcApp, 3))
	record, err := s.WaitAgreed(s.within(recoverWithin), s.haproxies)
	s.must(err)
	want := s.suitable()
	if !slices.Contains(want, record.Active) {
		out, err := s.Ctl(s.ctx, s.proxies()[0], "active", "set", want[0], "--drain", "transactions")
		if err != nil {
			s.t.Fatalf("before the scenario: %v: %s", err, out)
		}
		record, err = s.WaitAgreed(s.within(time.Minute), s.haproxies)
		s.must(err)
	}
	s.start(record.Active)
}

// start begins the log with an active that everybody uses.
func (s *scenario) start(active string) {
	s.t.Helper()
	s.active = active
	s.must(s.tail.WaitFlowing(s.within(time.Minute), s.active))
	s.from = s.tail.Now()
	s.last = time.Now()
	s.must(s.tail.WaitFlowing(s.within(time.Minute), s.active))
}

// suitable are the nodes with which a scenario may begin: not the first server, and not on the load's node.
func (s *scenario) suitable() []string {
	s.t.Helper()
	pods, err := s.Pods(s.ctx, pxcApp)
	s.must(err)
	var names []string
	for _, p := range pods {
		if p.Name != "pxc-0" && p.Spec.NodeName != s.cluster.Nodes()[0] {
			names = append(names, p.Name)
		}
	}
	if len(names) == 0 {
		s.t.Fatal("no database pod but pxc-0 is on another node than the load: are there three nodes?")
	}
	return names
}

// mark gives this moment a name in the log.
func (s *scenario) mark(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.marks = append(s.marks, lab.Mark{Name: fmt.Sprintf(format, args...), At: s.tail.Now()})
}

// call makes the operator come with the next fault.
func (s *scenario) call() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.operates = true
}

// fault marks a fault; the first one calls the operator, if there is one.
func (s *scenario) fault(format string, args ...any) {
	s.mark(format, args...)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = time.Now()
	if s.operates {
		s.operates = false
		s.operator.Go(s.operate)
	}
}

// operatorAfter is how long after the first fault the operator comes: a failover is under way then or just over.
const operatorAfter = 1500 * time.Millisecond

// operate is somebody who moves the writes meanwhile. An honest refusal is an answer, and so is a pod that is not there;
// what matters is that the record, the proxies and the clients agree afterwards.
func (s *scenario) operate() {
	lab.Sleep(s.ctx, operatorAfter)
	outcome := s.set()
	s.t.Logf("active set: %s", outcome)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outcomes = append(s.outcomes, outcome)
}

// operated sums up what became of the operator's orders.
func (s *scenario) operated() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.outcomes) < 2 {
		return strings.Join(s.outcomes, "")
	}
	moved := 0
	for _, o := range s.outcomes {
		if strings.HasPrefix(o, "moved") {
			moved++
		}
	}
	return fmt.Sprintf("%d times: %d moved, %d refused or broken off", len(s.outcomes), moved, len(s.outcomes)-moved)
}

func (s *scenario) set() string {
	pods, err := s.Proxies(s.ctx)
	if err != nil {
		return err.Error()
	}
	for _, pod := range pods {
		ctx, cancel := context.WithTimeout(s.ctx, 20*time.Second)
		defer cancel()
		status, err := s.Status(ctx, pod)
		if err != nil {
			continue
		}
		to := other(status)
		if to == "" {
			return "there was no other usable node"
		}
		s.mark("active set %s", to)
		started := time.Now()
		_, err = s.Ctl(ctx, pod, "active", "set", to, "--drain", "immediate")
		if err == nil {
			return fmt.Sprintf("moved to %s in %s", to, seconds(time.Since(started)))
		}
		return "refused or broken off: " + refusal(err)
	}
	return "no HAProxy's daemon answered"
}

// refusal is what haproxyctl said of an error, without how it was run.
func refusal(err error) string {
	text := err.Error()
	if _, said, ok := strings.Cut(text, "exit code "); ok {
		text = "exit " + said
	}
	return text[:min(len(text), 160)]
}

// other is a node that may be made the active.
func other(status api.Status) string {
	for _, n := range status.Nodes {
		if !n.Active && n.Eligible && n.Down == 0 {
			return n.Name
		}
	}
	return ""
}

// steadyLooks is how often, a second apart, everything must be as agreed at the end.
const steadyLooks = 3

// finish waits until all is well again, judges, and reports.
func (s *scenario) finish(name string) {
	s.t.Helper()
	s.operator.Wait()
	readyErr := s.WaitReady(s.within(recoverWithin), pxcApp, 3)
	record, agreedErr := s.WaitAgreed(s.within(recoverWithin), s.haproxies)
	agreed := time.Since(s.last)
	s.mark("as agreed")
	flowErr := s.tail.WaitFlowing(s.within(time.Minute), record.Active)
	for i := 0; i < steadyLooks && agreedErr == nil; i++ {
		lab.Sleep(s.ctx, time.Second)
		now, wrong := s.stillAgreed()
		if wrong != "" || now.Epoch != record.Epoch || now.Recovery != record.Recovery {
			s.t.Errorf("it was as agreed at epoch %d and did not stay so: epoch %d, %s", record.Epoch, now.Epoch, wrong)
		}
	}
	if err := errors.Join(readyErr, agreedErr, flowErr); err != nil {
		s.t.Error(err)
	}
	s.conclude(name, agreed)
}

// electionTakes is how long a daemon may be without a leader: on a busy machine a heartbeat that is late by 0.4 s is an
// election, which changes nothing else.
const electionTakes = 2 * time.Second

// stillAgreed is AsAgreed, but for an election that is just under way.
func (s *scenario) stillAgreed() (record api.Active, wrong string) {
	for end := time.Now().Add(electionTakes); ; {
		record, wrong = s.AsAgreed(s.ctx)
		if wrong == "" || time.Now().After(end) || !lab.Sleep(s.ctx, 100*time.Millisecond) {
			return record, wrong
		}
	}
}

// conclude judges the log up to now, and reports. agreed is how long it took until all was as agreed.
func (s *scenario) conclude(name string, agreed time.Duration) {
	s.t.Helper()
	to := s.tail.Now()
	if err := errors.Join(s.tail.CaughtUp(s.within(time.Minute), to), s.tail.Err()); err != nil {
		s.t.Error(err)
	}
	log := s.tail.Cut(s.from, to, s.marks)
	row := Row{Scenario: name, Verdict: load.Judge(log, s.from), Agreed: agreed, Operator: s.operated()}
	row.Lost = s.lost()
	s.judge(row)
	row.Failed = s.t.Failed()
	s.t.Log(row)
	for text, n := range load.Errors(log) {
		s.t.Logf("%d times %s", n, text)
	}
	for _, o := range row.Two.Overlaps {
		s.t.Logf("two writers: %v from %v to %v", o.Nodes, o.From-s.from, o.To-s.from)
	}
	s.must(s.report.Add(row, timeline.Lane{Log: log, From: s.from}))
}

// lost counts what was acknowledged and is not on every database node.
func (s *scenario) lost() int {
	s.t.Helper()
	pods, err := s.Pods(s.ctx, pxcApp)
	s.must(err)
	most := 0
	for _, p := range pods {
		missing, err := s.tail.Lost(s.within(time.Minute), s.Kube, p.Name)
		if err != nil {
			s.t.Errorf("whether commits were lost is not known of %s: %v", p.Name, err)
			continue
		}
		if len(missing) > 0 {
			s.t.Errorf("%s lacks %d acknowledged commits, the first is %+v", p.Name, len(missing), missing[0])
		}
		most = max(most, len(missing))
	}
	return most
}

func (s *scenario) judge(row Row) {
	s.t.Helper()
	if row.Two.Total > s.limits.twoWriters {
		s.t.Errorf("two nodes took commits at once for %v, at most %v are allowed", row.Two.Total, s.limits.twoWriters)
	}
	if s.limits.outage > 0 && row.Outage > s.limits.outage {
		s.t.Errorf("nobody could commit for %v, at most %v are allowed", row.Outage, s.limits.outage)
	}
	if n := row.Pool.Statements + row.Pool.Commits; s.limits.tested && n > 0 {
		s.t.Errorf("%d transactions of the pool broke that had been begun on a tested connection", n)
	}
	if s.limits.path > 0 && len(row.Path) != s.limits.path {
		s.t.Errorf("the writes went over %v, want %d nodes", row.Path, s.limits.path)
	}
}
