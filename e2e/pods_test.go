package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
	"github.com/haproxy-peers/haproxy-peers/e2e/stack"
)

// A pod is deleted and comes back: HAProxy and daemon die together, and are there again with the same name, another
// address, an empty disk and a freshly rendered file, while the others' files still name the old address. The new disk
// takes the old one's place among the voters, nothing is decided, and nobody goes elsewhere. In the full suite one pod
// after the other, as a rolling update does, the leader's among them.
func TestPodDeletedWithItsDisk(t *testing.T) {
	for _, c := range []struct {
		name string
		core bool
		pods func(s *scenario) []*lab.Proxy
	}{
		{"one", true, func(s *scenario) []*lab.Proxy { return s.PX[2:] }},
		{"one by one", false, func(s *scenario) []*lab.Proxy { return s.PX }},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !c.core {
				full(t)
			}
			s := begin(t, stack.Options{})
			s.Options.Order = []string{"db1", "db0", "db2"}
			s.start(lab.LoadConfig{ReconnectEvery: 2})
			before := s.active(s.PX[0])
			for _, p := range c.pods(s) {
				old := s.disk(p)
				s.load.Mark("deleted " + p.Name)
				s.newPod(p, true, s.PX...)
				began := time.Now()
				s.must(until(s.within(40*time.Second), p.Name+" to vote with a new disk", func() (bool, string) {
					r, err := client(p).Register(s.ctx)
					return err == nil && r.Agreed && r.Disk != old && len(r.Voters) == 3 &&
						slices.ContainsFunc(r.Voters, func(v api.Voter) bool { return v.Disk == r.Disk }), r.Reason + "; " + r.Membership
				}))
				took := time.Since(began)
				s.waitVoters(20*time.Second, s.PX...)
				s.steering(s.PX...)
				t.Logf("%s votes with a new disk %v after its start, at %s; all steer %v after it", p.Name, took, p.IP, time.Since(began))
				s.must(s.load.WaitFlowing(s.within(10 * time.Second)))
				s.sameDecision(before, s.PX...)
			}
			log := s.finish(expect{path: []string{"db1"}, after: "deleted " + c.pods(s)[0].Name, outage: 3 * time.Second})
			s.allRight(log.Wrong(0, "db1"), "pods deleted")
			s.sameDecision(before, s.PX...)
		})
	}
}

// The disks of a majority are lost at once: two of three pods come back empty, and one HAProxy has served all the time.
// All work natively and stay on the active; every daemon says that nothing is agreed and why, and an alert can be made
// of it. One command brings the record back, and moves nothing.
func TestMajorityOfDisksLost(t *testing.T) {
	full(t)
	s := begin(t, stack.Options{})
	s.Options.Order = []string{"db1", "db0", "db2"}
	s.start(lab.LoadConfig{ReconnectEvery: 2})
	survivor, lost := s.PX[0], s.PX[1:]
	before := s.active(survivor)
	s.load.Mark("lost")
	for _, p := range lost {
		s.killPod(p)
	}
	for _, p := range lost {
		s.startPod(p, s.PX...)
	}
	s.waitNative(s.PX...)
	for _, p := range s.PX {
		s.must(until(s.within(20*time.Second), p.Name+" to know no majority", func() (bool, string) {
			a := s.active(p)
			return !a.Agreed && strings.HasPrefix(a.Reason, "no majority: "), a.Reason
		}))
		s.must(until(s.within(5*time.Second), "haproxyd_agreed of "+p.Name, func() (bool, string) { return s.metric(p, "haproxyd_agreed") == 0, "" }))
	}
	s.must(until(s.within(5*time.Second), "the metrics of voters", func() (bool, string) {
		all, live := s.metric(survivor, "haproxyd_register_voters"), s.metric(survivor, "haproxyd_register_voters_live")
		return all == 3 && live == 1, fmt.Sprintf("%v voters, %v of them live", all, live)
	}))
	t.Log(s.waitProblem(survivor, 20*time.Second, "no majority", "px1, px2 are here with new disks", "register recover --voters"))
	if next := s.problem(survivor, api.ProblemNoMajority).Next; !strings.HasPrefix(next, "haproxyctl register recover --voters ") || strings.Contains(next, "only if") {
		t.Errorf("to be typed: %q", next)
	}
	s.must(until(s.within(20*time.Second), "the alert", func() (bool, string) { return s.metric(survivor, "haproxyd_alert") == 1, "" }))
	s.must(s.load.WaitFlowing(s.within(10 * time.Second)))
	for _, p := range s.PX {
		t.Logf("%s: %s", p.Name, s.active(p).Reason)
	}
	if a := s.active(survivor); a.Active != "db1" {
		t.Errorf("the survivor forgot the active: %+v", a)
	}
	_, err := s.remove(survivor, "px1")
	if no := s.refused(err); !strings.Contains(no, "register recover --voters") {
		t.Errorf("no way out is named: %q", no)
	}
	s.load.Mark("recover")
	began := time.Now()
	var r api.Register
	s.must(s.Ask(s.ctx, survivor, &r, "register", "recover", "--voters", "px0,px1,px2"))
	s.waitVoters(20*time.Second, s.PX...)
	took := time.Since(began)
	s.steering(s.PX...)
	t.Logf("recovered: three voters %v after the command, all steer %v after it", took, time.Since(began))
	s.sameDecision(before, s.PX...)
	if a := s.active(survivor); a.Recovery != before.Recovery+1 {
		t.Errorf("recovery %d, before %d", a.Recovery, before.Recovery)
	}
	s.must(s.load.WaitFlowing(s.within(10 * time.Second)))
	log := s.finish(expect{path: []string{"db1"}, after: "lost", outage: 5 * time.Second})
	if o := log.OutageAfter(survivor.Name, "lost"); o > time.Second {
		t.Errorf("%s noticed: no commit for %v", survivor.Name, o)
	}
	s.allRight(log.Wrong(0, "db1"), "a majority's disks lost")
}

// All members lose all disks at once. The HAProxies keep running, or all but one of them are new, too, and know nothing:
// their files name another node first, and nobody is there who could tell them. The first start finds what the HAProxies
// do and takes it over.
func TestAllDisksLost(t *testing.T) {
	for _, c := range []struct {
		how  string
		dies int // the HAProxies of the last so many die with their daemons
	}{{"the HAProxies keep running", 0}, {"one HAProxy still serves", 2}} {
		t.Run(c.how, func(t *testing.T) {
			full(t)
			s := begin(t, stack.Options{DaemonArgs: []string{"--rewrite-config=false", "--bootstrap-expect", "3"}})
			s.start(lab.LoadConfig{ReconnectEvery: 2})
			s.load.Mark("lost")
			kept, died := s.PX[:len(s.PX)-c.dies], s.PX[len(s.PX)-c.dies:]
			for _, p := range s.PX {
				p.Daemon.Kill9()
			}
			for _, p := range died {
				p.Kill9()
			}
			for _, p := range s.PX {
				s.must(p.Daemon.LoseDisk())
			}
			s.load.Mark("started")
			began := time.Now()
			for _, p := range died {
				s.startPod(p, s.PX...)
			}
			back := s.load.Mark("back")
			for _, p := range kept {
				s.must(p.Daemon.StartAgain())
			}
			s.waitVoters(30*time.Second, s.PX...)
			voters := time.Since(began)
			s.steering(s.PX...)
			t.Logf("three voters %v after the start, all steer %v after it", voters, time.Since(began))
			h, err := client(s.PX[0]).History(s.ctx)
			s.must(err)
			first := h.Decisions[len(h.Decisions)-1]
			t.Logf("the first decision: %s, %s (%s)", first.Active, first.Reason, first.Kind)
			if first.Active != "db1" || len(h.Decisions) != 1 {
				t.Errorf("not what the HAProxies did: %+v", h.Decisions)
			}
			s.must(s.load.WaitNode(s.within(10*time.Second), "db1"))
			// A HAProxy that starts from such a file may send its first clients to the file's first server, until the one
			// that still serves has taught it better: see TestHAProxyRestart.
			bound := expect{path: []string{"db1"}, after: "lost", outage: 10 * time.Second}
			if c.dies > 0 {
				bound.path, bound.twoWriters = nil, strayed
			}
			log := s.finish(bound)
			if path := log.SettledPath(""); path[len(path)-1] != "db1" {
				t.Errorf("the commits end on %v, want db1", path)
			}
			strays := log.Wrong(0, "db1")
			t.Logf("%d connections went elsewhere", len(strays))
			s.allRight(through(strays, kept...), "a HAProxy that kept running")
			s.allRight(log.Wrong(back+unsteered, "db1"), "later than the bound")
		})
	}
}

// remove runs `members remove`.
func (s *scenario) remove(p *lab.Proxy, name string) (api.RemoveResponse, error) {
	var r api.RemoveResponse
	err := s.Ask(s.ctx, p, &r, "members", "remove", name)
	return r, err
}

// A proxy dies for good. Until it is removed it counts: a move is refused because of it. It cannot be removed while it
// is alive, nor without a majority. Afterwards two voters are left, and a move is made. When it comes back all the
// same it is a voter again, with a new disk, and steered to where the others are.
func TestRemoveMember(t *testing.T) {
	full(t)
	s := begin(t, stack.Options{})
	two, dead := s.PX[:2], s.PX[2]
	old := s.disk(dead)
	_, err := s.remove(s.PX[0], "px2")
	if no := s.refused(err); !strings.Contains(no, "px2 is alive") || !strings.Contains(no, "stop its daemon cleanly") {
		t.Errorf("a living one: %q", no)
	}
	_, err = s.remove(s.PX[0], "px7")
	if no := s.refused(err); !strings.Contains(no, "px7 is no voter, and nobody knows it") {
		t.Errorf("a slip: %q", no)
	}
	dead.Kill9()
	dead.Daemon.Kill9()
	killed := time.Now()
	s.waitProblem(s.PX[0], 10*time.Second, "px2 is not heard")
	_, err = s.Set(s.ctx, s.PX[0], "db2")
	if no := s.refused(err); !strings.Contains(no, "px2 is not heard") {
		t.Errorf("a move beside a dead proxy: %q", no)
	}
	var r api.RemoveResponse
	s.must(until(s.within(20*time.Second), "px2 to be removed", func() (bool, string) {
		if r, err = s.remove(s.PX[1], "px2"); err != nil {
			return false, s.refused(err)
		}
		return true, ""
	}))
	t.Logf("removed %v after its death: %s", time.Since(killed), strings.Join(names(r.Register.Voters), ", "))
	if !r.Changed || !slices.Equal(names(r.Register.Voters), []string{"px0", "px1"}) {
		t.Errorf("%+v", r)
	}
	s.waitVoters(10*time.Second, two...)
	if r, err = s.remove(s.PX[0], "px2"); err != nil || r.Changed {
		t.Errorf("again: %+v, %v", r, err)
	}
	s.load, err = s.StartLoad(s.ctx, lab.LoadConfig{Proxies: two, ReconnectEvery: 2})
	s.must(err)
	s.must(s.load.WaitNode(s.within(20*time.Second), "db1"))
	_, err = s.Set(s.ctx, s.PX[0], "db2", "--drain", "immediate")
	s.must(err)
	s.must(s.load.WaitNode(s.within(20*time.Second), "db2"))
	began := time.Now()
	s.must(dead.StartAgain(s.ctx))
	s.must(dead.Daemon.StartAgain())
	took := s.waitVoters(40*time.Second, s.PX...)
	s.must(s.WaitActive(s.within(20*time.Second), "db2", len(s.PX)))
	t.Logf("a voter again %v after its start, and on db2 %v after it", took, time.Since(began))
	if now := s.disk(dead); now == old {
		t.Errorf("it votes with its old disk %s", now)
	}
	s.finish(expect{path: []string{"db1", "db2"}, twoWriters: 500 * time.Millisecond, after: "", outage: 5 * time.Second})

	s.PX[1].Daemon.Kill9()
	dead.Daemon.Kill9()
	s.must(s.waitOn(s.PX[:1], "no majority", func(a apiActive) bool { return !a.Agreed }))
	_, err = s.remove(s.PX[0], "px2")
	if no := s.refused(err); !strings.Contains(no, "no majority") || !strings.Contains(no, "register recover --voters") {
		t.Errorf("without a majority: %q", no)
	}
}
