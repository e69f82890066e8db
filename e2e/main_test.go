package e2e

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
	"github.com/haproxy-peers/haproxy-peers/e2e/stack"
)

// The suite shares one lab: a Galera cluster takes seconds to start, a reset
// less than one.
var (
	shared     *lab.Lab
	sharedErr  error
	binaries   string
	scenarioOf string // the scenario that uses the lab
)

func TestMain(m *testing.M) {
	if os.Getenv(lab.ClockWatchdog) != "" {
		os.Exit(lab.WatchClock())
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "haproxy-peers-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binaries = dir
	defer func() {
		if shared != nil {
			if err := shared.Close(); err != nil {
				fmt.Fprintln(os.Stderr, "close the lab:", err)
			}
		}
	}()
	return m.Run()
}

// theLab returns the shared lab, started on first use.
func theLab(t *testing.T) *lab.Lab {
	t.Helper()
	if err := lab.Requirements(lab.Config{}); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	if shared == nil && sharedErr == nil {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
		defer cancel()
		haproxyd, haproxyctl, err := lab.Build(ctx, binaries)
		if err != nil {
			t.Fatal(err)
		}
		cfg := lab.Config{Haproxyd: haproxyd, Haproxyctl: haproxyctl}
		if os.Getenv("E2E_VERBOSE") != "" {
			cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
		}
		shared, sharedErr = lab.New(context.Background(), cfg)
	}
	if sharedErr != nil {
		t.Fatal(sharedErr)
	}
	return shared
}

// full skips a scenario that only the full suite runs.
func full(t *testing.T) {
	t.Helper()
	if os.Getenv("E2E_FULL") == "" {
		t.Skip("in the full suite only: E2E_FULL=1, or make e2e")
	}
}

// scenario is one test's stack and load.
type scenario struct {
	*stack.Stack
	t    *testing.T
	ctx  context.Context
	load *lab.Load
	logs int // how many there were before it
}

// bare resets the lab for a scenario that starts the HAProxies and daemons by itself.
func bare(t *testing.T, ctx context.Context, o stack.Options) *scenario {
	t.Helper()
	l := theLab(t)
	s := &scenario{t: t, ctx: ctx, logs: len(l.Logs())}
	s.must(l.Reset(ctx))
	empty, err := stack.New(l, o)
	s.must(err)
	s.Stack = empty
	return s
}

// begin resets the lab, brings the stack up, and moves the active to db1, which
// is not the first server of the running configuration.
func begin(t *testing.T, o stack.Options) *scenario {
	t.Helper()
	l := theLab(t)
	if scenarioOf != "" {
		t.Fatalf("%s still uses the lab: scenarios do not run in parallel", scenarioOf)
	}
	scenarioOf = t.Name()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	s := &scenario{t: t, ctx: ctx, logs: len(l.Logs())}
	t.Cleanup(func() {
		if t.Failed() {
			s.saveLogs(l)
		}
		cancel()
		scenarioOf = ""
	})
	s.must(l.Reset(ctx))
	up, err := stack.Up(ctx, l, o)
	s.must(err)
	s.Stack = up
	_, err = s.Set(ctx, s.PX[0], "db1", "--drain", "immediate")
	s.must(err)
	s.must(s.WaitActive(ctx, "db1", len(s.PX)))
	s.must(s.WaitSteering(ctx, len(s.PX)))
	keys := []string{"1"}
	if o.Key == "fe_name" {
		keys = []string{"galera-in", "galera-in-2"}
	}
	s.must(s.waitNativeTables("db1", keys...))
	return s
}

// saveLogs keeps what the processes said, where E2E_LOGS names a folder.
func (s *scenario) saveLogs(l *lab.Lab) {
	dir := os.Getenv("E2E_LOGS")
	if dir == "" {
		s.t.Log("set E2E_LOGS to a folder to keep the logs of failed scenarios")
		return
	}
	dir = filepath.Join(dir, strings.ReplaceAll(s.t.Name(), "/", "-"))
	if err := l.SaveLogs(dir); err != nil {
		s.t.Log(err)
		return
	}
	s.t.Log("logs:", dir)
}

func (s *scenario) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// within returns a context for one wait.
func (s *scenario) within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(s.ctx, d)
	s.t.Cleanup(cancel)
	return ctx
}

// start starts the load and waits until every proxy commits on db1.
func (s *scenario) start(cfg lab.LoadConfig) {
	s.t.Helper()
	load, err := s.StartLoad(s.ctx, cfg)
	s.must(err)
	s.load = load
	s.must(load.WaitNode(s.within(20*time.Second), "db1"))
}

// expect is what a scenario promises.
type expect struct {
	// path is the settled path of all commits, e.g. db1, db2; nil for any.
	path []string
	// twoWriters bounds the time in which two nodes take commits.
	twoWriters time.Duration
	// after and outage bound the longest outage of any proxy after a mark; no
	// bound if outage is 0.
	after  string
	outage time.Duration
	// astray: a daemon may say that connections went astray, because some do.
	astray bool
}

// finish stops the load and judges it.
func (s *scenario) finish(want expect) *lab.Log {
	s.t.Helper()
	log := s.load.Stop()
	s.t.Logf("\n%s", log)
	if want.path != nil {
		s.samePath(log, want.path)
	}
	if two := log.TwoWriters(); two.Total > want.twoWriters {
		s.t.Errorf("two nodes took commits for %v, at most %v: %+v", two.Total, want.twoWriters, two.Overlaps)
	}
	if want.outage > 0 {
		if via, got := log.Worst(want.after); got > want.outage {
			s.t.Errorf("%s could not commit for %v after %q, at most %v", via, got, want.after, want.outage)
		}
	}
	s.nothingLost(log)
	if !want.astray {
		s.noFalseAlarm()
	}
	return log
}

// noFalseAlarm fails where a daemon has said that connections went astray.
func (s *scenario) noFalseAlarm() {
	s.t.Helper()
	for _, path := range s.Logs()[s.logs:] {
		text, err := os.ReadFile(path)
		s.must(err)
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, "connections go astray") {
				s.t.Errorf("%s: %s", filepath.Base(path), line)
			}
		}
	}
}

// samePath compares the nodes in the order in which they took the commits.
func (s *scenario) samePath(log *lab.Log, want []string) {
	s.t.Helper()
	if got := log.SettledPath(""); !slices.Equal(got, want) {
		s.t.Errorf("path of the commits: %s, want %s", strings.Join(got, " > "), strings.Join(want, " > "))
	}
}

// nothingLost compares the acknowledged commits with every synced node's rows.
func (s *scenario) nothingLost(log *lab.Log) {
	s.t.Helper()
	lost, err := s.Lost(s.within(30*time.Second), log)
	s.must(err)
	for node, commits := range lost {
		if len(commits) > 0 {
			s.t.Errorf("%s lacks %d acknowledged commits, the first is %+v", node, len(commits), commits[0])
		}
	}
}

// floorFactor is how much longer than Galera's own floor an outage may be
// (DESIGN section 8), and slack what this machine's scheduling may add.
const (
	floorFactor = 1.15
	slack       = 150 * time.Millisecond
)

// withinFloor compares the worst outage with what a client connected straight
// to a surviving node saw in the same run, or with the daemon's own bound if
// that is longer.
func (s *scenario) withinFloor(log *lab.Log, mark string, detect time.Duration) {
	s.t.Helper()
	floor, ok := log.Floor(mark)
	if !ok {
		s.t.Fatal("no direct client: the floor is not known")
	}
	via, worst := log.Worst(mark)
	s.t.Logf("outage after %s: worst %v (%s), Galera's floor %v, ratio %.2f", mark, worst, via, floor, float64(worst)/float64(floor))
	bound := max(time.Duration(float64(floor)*floorFactor), detect) + slack
	if worst > bound {
		s.t.Errorf("outage of %v through %s; Galera's own floor was %v, so at most %v", worst, via, floor, bound)
	}
}

// refused asserts that haproxyctl said no with exit status 1, and returns its line.
func (s *scenario) refused(err error) string {
	s.t.Helper()
	var e *stack.CtlError
	if !errors.As(err, &e) || e.Exit != 1 {
		s.t.Fatalf("expected a refusal (exit 1), got %v", err)
	}
	if strings.Contains(e.Stderr, "\n") {
		s.t.Errorf("the refusal has more than one line: %q", e.Stderr)
	}
	return e.Stderr
}

// wait lets the load run for a while: here time is what is tested, not a
// stand-in for a condition.
func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
