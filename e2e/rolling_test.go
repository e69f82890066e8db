package e2e

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/kube/kubetest"
	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
	"github.com/haproxy-peers/haproxy-peers/e2e/stack"
)

// preStop is for how long the manifests' database containers sleep before they are told to end.
const preStop = 12 * time.Second

// beginKube starts an API server in the lab, a pod object for every node, and a stack whose daemons watch them. There is
// no kubelet: the test ends the nodes and takes the objects away.
func beginKube(t *testing.T, grace time.Duration, args ...string) (*scenario, *kubetest.Server) {
	t.Helper()
	if _, err := kubetest.Find(); err != nil {
		t.Skip(err)
	}
	l := theLab(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	k, err := kubetest.Start(ctx, kubetest.Machine{
		IP: l.Client.IP,
		Start: func(name string, args ...string) (func(), error) {
			p, err := l.Client.Start(lab.Spec{Name: name, Args: args})
			if err != nil {
				return nil, err
			}
			return p.Kill9, nil
		},
		Run: func(ctx context.Context, stdin, name string, args ...string) (string, error) {
			r, err := l.Client.Command(ctx, stdin, name, args...)
			if err == nil && r.Exit != 0 {
				err = fmt.Errorf("%v: exit %d: %s", args, r.Exit, r.Stderr)
			}
			return r.Stdout, err
		},
	}, t.TempDir())
	t.Cleanup(k.Close)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range l.DB {
		if err := k.Create(ctx, n.Name, "old", grace); err != nil {
			t.Fatal(err)
		}
	}
	s := beginDrain(t, stack.Options{DaemonArgs: append([]string{
		"--kubernetes-pods", "app.kubernetes.io/name=pxc", "--kubernetes-api", k.URL, "--kubernetes-account", k.Account,
	}, args...)})
	// Three nodes end and start again, on a machine that may have much else to do.
	sctx, scancel := context.WithTimeout(context.Background(), 6*time.Minute)
	t.Cleanup(scancel)
	s.ctx = sctx
	for _, p := range s.PX {
		s.must(until(s.within(20*time.Second), p.Name+" to watch the pods", func() (bool, string) {
			return s.metric(p, "haproxyd_kubernetes_watch_up", "") == 1, "no watch"
		}))
	}
	return s, k
}

// appSessions is how many sessions of the load a node has, by its own word.
func (s *scenario) appSessions(n *lab.Node) int {
	s.t.Helper()
	rows, err := n.Query(s.ctx, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = ?", lab.AppUser)
	s.must(err)
	count, err := strconv.Atoi(rows[0][0])
	s.must(err)
	return count
}

// leaves waits until nobody writes to a node any more, for as long as a container's preStop lasts.
func (s *scenario) leaves(n *lab.Node) time.Duration {
	s.t.Helper()
	start := time.Now()
	s.must(until(s.within(preStop), "the writer to leave "+n.Name, func() (bool, string) {
		for _, p := range s.PX {
			if a := s.active(p); a.Active == n.Name || a.Move != nil {
				return false, fmt.Sprintf("%s says %+v", p.Name, a)
			}
		}
		left := s.appSessions(n)
		return left == 0, fmt.Sprintf("%d sessions", left)
	}))
	return time.Since(start)
}

// A rolling update of the database, highest name first as a StatefulSet does it, under pools that test their
// connections: nobody writes to a node that is told to end, and no transaction fails but by the documented race of a
// close with a BEGIN. Neither --min-stay nor the count of automatic moves is in the way.
func TestRollingDatabase(t *testing.T) {
	for _, c := range []struct {
		active string
		// moves is how often the writer moves: it goes to a node of the new template where there is one.
		moves uint64
		core  bool
	}{
		{active: "db1", moves: 1, core: true},
		{active: "db2", moves: 2},
	} {
		t.Run("active "+c.active, func(t *testing.T) {
			if !c.core {
				full(t)
			}
			s, k := beginKube(t, 30*time.Second, "--min-stay", "1h", "--max-auto-moves", "1")
			if c.active != "db1" {
				_, err := s.Set(s.ctx, s.PX[0], c.active, "--drain", "immediate")
				s.must(err)
				s.must(s.WaitActive(s.ctx, c.active, len(s.PX)))
			}
			pool, err := s.StartPool(s.ctx, lab.PoolConfig{Think: pause, Apart: true})
			s.must(err)
			s.load = pool
			s.must(pool.WaitNode(s.within(20*time.Second), c.active))
			before := s.active(s.PX[0])
			for i := len(s.DB) - 1; i >= 0; i-- {
				n := s.DB[i]
				was := s.active(s.PX[0])
				pool.Mark("delete " + n.Name)
				s.must(k.Delete(s.ctx, n.Name))
				s.must(s.waitNode(n.Name, "going", func(n apiNode) bool {
					return strings.HasPrefix(n.Going, "is being deleted (pod, until ") && !n.Eligible
				}))
				took := s.leaves(n)
				now := s.active(s.PX[0])
				t.Logf("%s: left %v after it was known to go, the active was %s and is %s (epoch %d: %s)", n.Name, took.Round(time.Millisecond), was.Active, now.Active, now.Epoch, now.Reason)
				if took > preStop/2 {
					t.Errorf("the writer left %s only %v after its deletion was known", n.Name, took)
				}
				if was.Active != n.Name && now.Epoch != was.Epoch {
					t.Errorf("the end of %s, which is not the active, moved something", n.Name)
				}
				s.must(n.Stop()) // SIGTERM
				s.must(k.Release(s.ctx, n.Name))
				s.must(k.Create(s.ctx, n.Name, "new", 30*time.Second))
				s.must(n.Start(s.ctx))
				s.waitServerUp(n.Name, s.PX...)
				s.must(s.waitNode(n.Name, "back", func(n apiNode) bool { return n.Eligible && n.Going == "" && n.Healthy == len(s.PX) }))
			}
			after := s.active(s.PX[0])
			// A view may be older than HAProxy's check: then the node before is chosen, and left in its turn.
			if moves := after.Epoch - before.Epoch; moves < c.moves || moves > 2 || after.Frozen {
				t.Errorf("%d moves, want %d, at most 2; frozen: %t", moves, c.moves, after.Frozen)
			}
			log := s.finish(expect{twoWriters: 500 * time.Millisecond})
			f := log.Failures("", "")
			t.Logf("%d moves, %d transactions, failures %+v, two writers %v", after.Epoch-before.Epoch, len(log.Commits), f, log.TwoWriters().Total)
			s.onlyTheRace(log, raceAllowed)
			h, err := client(s.PX[0]).History(s.ctx)
			s.must(err)
			for _, d := range h.Decisions[:c.moves] {
				if d.Kind != "departure" || !strings.Contains(d.Reason, d.From+" is being deleted (pod, until ") {
					t.Errorf("the history says %+v", d)
				}
			}
			if st := s.status(s.PX[0]); st.State != api.StateOK {
				t.Errorf("%s: %s: %q", st.State, st.Headline, st.Problems)
			}
			k.StopAPI()
			for _, p := range s.PX {
				s.waitProblem(p, 10*time.Second, "kubernetes: ", "a pod's deletion is not seen meanwhile")
			}
			s.must(s.WaitSteering(s.ctx, len(s.PX)))
			s.unchanged(after)
		})
	}
}

// A transaction that is longer than its node has is cut, by the end of the pod's time or by the node's own end before
// that, and every daemon says so. The others' pools do not notice.
func TestEndCutsTransaction(t *testing.T) {
	for _, c := range []struct {
		how   string
		grace time.Duration
		// end: the node is told to end while the transaction runs.
		end  bool
		says string
	}{
		{how: "its time is over", grace: 8 * time.Second, says: "db1 is about to end and 1 session was in a transaction when the time was over: cut"},
		{how: "it ends", grace: 30 * time.Second, end: true, says: "db1 has ended and 1 session was in a transaction: cut"},
	} {
		t.Run(c.how, func(t *testing.T) {
			full(t)
			s, k := beginKube(t, c.grace)
			pool := s.startPool(lab.PoolConfig{Think: pause, Apart: true})
			long := s.open(lab.InTransaction)[0]
			start := time.Now()
			s.must(k.Delete(s.ctx, "db1"))
			s.must(pool.WaitNode(s.within(10*time.Second), s.otherThan("db1")))
			s.must(until(s.within(5*time.Second), "only the long transaction to be left", func() (bool, string) {
				m, err := client(s.PX[0]).Move(s.ctx)
				return err == nil && m.Left == 1 && m.InTransaction == 1 && m.Drained > 0, fmt.Sprintf("%+v, %v", m, err)
			}))
			if !long.Alive() {
				t.Fatal("the long transaction was cut before its time")
			}
			if c.end {
				s.must(s.DB[1].Stop())
			}
			for _, p := range s.PX {
				m := s.report(p, 15*time.Second, p.Name+" to say what was cut", func(m api.Move) bool { return m.Cut != "" && m.State == api.MoveDone })
				h, err := client(p).History(s.ctx)
				s.must(err)
				if m.Cut != c.says || !slices.ContainsFunc(h.Events, func(e api.Event) bool { return e.Message == c.says }) {
					t.Errorf("%s says %q, events %+v", p.Name, m.Cut, h.Events)
				}
			}
			took := time.Since(start)
			if long.Alive() {
				t.Error("the long transaction is not cut")
			}
			if !c.end && (took < c.grace-3*time.Second || took > c.grace) {
				t.Errorf("cut %v after the deletion, with %v of grace", took, c.grace)
			}
			log := pool.Stop()
			t.Logf("after %v; failures %+v", took, log.Failures("", ""))
			s.onlyTheRace(log, raceAllowed)
			s.nothingLost(log)
		})
	}
}
