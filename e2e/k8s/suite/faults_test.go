package suite

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/k8s/cluster"
	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

// cutFor is how long a node is away: the control plane notices after 10 s in a cluster that the suite makes.
const cutFor = 25 * time.Second

// needs skips a scenario that the cluster cannot do.
func needs(t *testing.T, fault cluster.Fault) {
	if env != nil && !env.cluster.Supports(fault) {
		t.Skipf("%s: %v", fault, cluster.ErrUnsupported)
	}
}

// The active's node is cut off: the others go to another node; what was cut off joins again and takes no writes.
func TestCutNode(t *testing.T) {
	needs(t, cluster.Cut)
	each(t, "cut the active's node off", limits{twoWriters: strayCommits, path: 2}, (*scenario).cut)
}

// The active's node stops in place and goes on later, as a virtual machine does that is moved or starved.
func TestFreezeNode(t *testing.T) {
	needs(t, cluster.Freeze)
	each(t, "freeze the active's node", limits{twoWriters: strayCommits, path: 2}, (*scenario).freeze)
}

func (s *scenario) cut() {
	s.t.Helper()
	s.away("cut", (*cluster.Cluster).CutNode, (*cluster.Cluster).HealNode)
}

func (s *scenario) freeze() {
	s.t.Helper()
	s.away("freeze", (*cluster.Cluster).FreezeNode, (*cluster.Cluster).ThawNode)
}

func (s *scenario) away(what string, begin, end func(*cluster.Cluster, context.Context, string) error) {
	s.t.Helper()
	node := s.nodeOf(s.active)
	over := false
	s.t.Cleanup(func() {
		if !over {
			if err := end(s.cluster, context.WithoutCancel(s.ctx), node); err != nil {
				s.t.Error(err)
			}
		}
	})
	s.fault("%s %s", what, node)
	began := time.Now()
	s.must(begin(s.cluster, s.ctx, node))
	s.must(s.tail.WaitFlowing(s.within(time.Minute), ""))
	s.must(Until(s.within(time.Minute), node+" to be not ready for the control plane", 200*time.Millisecond, func() (bool, string) {
		ready, err := s.NodeReady(s.ctx, node)
		return err == nil && !ready, fmt.Sprint(ready, err)
	}))
	s.mark("%s is not ready", node)
	lab.Sleep(s.ctx, cutFor-time.Since(began))
	s.fault("end of %s", what)
	s.must(end(s.cluster, s.ctx, node))
	over = true
	s.must(Until(s.within(2*time.Minute), node+" to be ready again", 500*time.Millisecond, func() (bool, string) {
		ready, err := s.NodeReady(s.ctx, node)
		return ready, fmt.Sprint(err)
	}))
}

// unnoticed is what the end of daemons must keep to: HAProxy carries on in the service.
var unnoticed = limits{twoWriters: strayCommits, path: 1, tested: true, outage: 3 * time.Second}

// Daemons are killed: nobody notices, however often and how many. A HAProxy is killed: its own sessions are lost, nothing else, and it comes back to
// the agreed node.
func TestKill9(t *testing.T) {
	needs(t, cluster.Kill)
	each(t, "kill -9 a daemon", unnoticed, func(s *scenario) { s.killDaemons(1, s.proxies()[1]) })
	each(t, "kill -9 all daemons, 3 times", unnoticed, func(s *scenario) { s.killDaemons(3, s.proxies()...) })
	once(t, "kill -9 a daemon's container", unnoticed, false, func(s *scenario) { s.kill("haproxyd", "haproxyd", s.proxies()[1]) })
	each(t, "kill -9 a HAProxy", limits{twoWriters: strayCommits, path: 1}, func(s *scenario) {
		s.kill("haproxy", "haproxy", s.proxies()[1])
	})
	each(t, "kill -9 the active's database", limits{twoWriters: strayCommits, path: 2}, func(s *scenario) {
		s.kill(s.databaseContainer(), "mariadbd", s.active)
	})
}

// killDaemons kills the daemons of these pods, so many times one after the other, and waits until others run in their
// place. No pod may have been taken out of the service for it.
func (s *scenario) killDaemons(times int, pods ...string) {
	s.t.Helper()
	before := map[string]int32{}
	for _, pod := range pods {
		before[pod] = s.restarts(pod, "haproxyd")
	}
	for range times {
		s.fault("kill -9 the daemons of %s", strings.Join(pods, ", "))
		killed := map[string]int{}
		for _, pod := range pods {
			s.must(Until(s.within(time.Minute), pod+" to have a daemon", 100*time.Millisecond, func() (bool, string) {
				killed[pod] = s.daemon(pod)
				return killed[pod] > 0, ""
			}))
			s.must(syscall.Kill(killed[pod], syscall.SIGKILL))
		}
		for _, pod := range pods {
			s.must(Until(s.within(time.Minute), pod+" to have another daemon that answers", 200*time.Millisecond, func() (bool, string) {
				if s.daemon(pod) == killed[pod] {
					return false, "the killed one is still there"
				}
				_, err := s.Status(s.ctx, pod)
				return err == nil, fmt.Sprint(err)
			}))
		}
	}
	for _, pod := range pods {
		p, err := s.Pod(s.ctx, pod)
		s.must(err)
		if now := s.restarts(pod, "haproxyd"); now != before[pod] || !Ready(p) {
			s.t.Errorf("%s: its daemon's container was started %d times more, ready: %v", pod, now-before[pod], Ready(p))
		}
	}
}

// daemon is the process of a pod's daemon, the child of its container's first process; 0 between two of them.
func (s *scenario) daemon(pod string) int {
	s.t.Helper()
	found, err := s.cluster.Processes(s.ctx, s.Namespace, pod, "haproxyd")
	s.must(err)
	for _, p := range found {
		if p.Name == "haproxyd" && slices.Contains(p.Args, "--supervise=") {
			return p.PID
		}
	}
	return 0
}

// databaseContainer is the first container of the database pods.
func (s *scenario) databaseContainer() string {
	s.t.Helper()
	p, err := s.Pod(s.ctx, s.active)
	s.must(err)
	return p.Spec.Containers[0].Name
}

// kill ends a program in each of these pods, at once, and waits until their containers run again.
func (s *scenario) kill(container, program string, pods ...string) {
	s.t.Helper()
	before := map[string]int32{}
	for _, pod := range pods {
		before[pod] = s.restarts(pod, container)
	}
	s.fault("kill -9 %s of %s", program, strings.Join(pods, ", "))
	for _, pod := range pods {
		s.must(s.cluster.Kill9(s.ctx, s.Namespace, pod, container, program))
	}
	for _, pod := range pods {
		s.must(Until(s.within(recoverWithin), pod+" to start "+container+" again", 200*time.Millisecond, func() (bool, string) {
			now := s.restarts(pod, container)
			return now > before[pod], fmt.Sprintf("%d restarts, before %d", now, before[pod])
		}))
	}
}

func (s *scenario) restarts(pod, container string) int32 {
	s.t.Helper()
	p, err := s.Pod(s.ctx, pod)
	s.must(err)
	for _, c := range append(p.Status.ContainerStatuses, p.Status.InitContainerStatuses...) {
		if c.Name == container {
			return c.RestartCount
		}
	}
	s.t.Fatalf("%s has no container %s", pod, container)
	return 0
}

// A majority of the voters lose their disks at once: what is there works natively and says so, and one command brings
// the record back without a move.
func TestMajorityLost(t *testing.T) {
	needs(t, cluster.Kill)
	once(t, "two of three disks lost, recover", limits{twoWriters: strayCommits, path: 1}, false, func(s *scenario) {
		s.loseDisks("haproxy-1", "haproxy-2")
		s.must(Until(s.within(time.Minute), "haproxy-0 to say that the majority is gone", 500*time.Millisecond, func() (bool, string) {
			status, err := s.Status(s.ctx, "haproxy-0")
			return err == nil && !status.Active.Agreed && len(status.Problems) > 0, fmt.Sprint(status.Problems, err)
		}))
		status, err := s.Status(s.ctx, "haproxy-0")
		s.must(err)
		s.t.Logf("the survivor says: %q", status.Problems)
		s.must(s.tail.WaitFlowing(s.within(30*time.Second), s.active))
		s.fault("register recover")
		out, err := s.Ctl(s.ctx, "haproxy-0", "register", "recover", "--voters", "haproxy-0,haproxy-1,haproxy-2")
		s.t.Logf("register recover: %s", strings.TrimSpace(out))
		s.must(err)
	})
	once(t, "all disks lost, a first start", limits{twoWriters: strayCommits}, false, func(s *scenario) {
		s.loseDisks("haproxy-0", "haproxy-1", "haproxy-2")
	})
}

// freezeDaemons stops daemons in place, so that they cannot take leave of the others: that is what a pod's ordinary end
// does, and then nothing would be lost.
func (s *scenario) freezeDaemons(pods ...string) {
	s.t.Helper()
	for _, pod := range pods {
		processes, err := s.cluster.Processes(s.ctx, s.Namespace, pod, "haproxyd")
		s.must(err)
		for _, p := range processes {
			s.must(syscall.Kill(p.PID, syscall.SIGSTOP))
		}
	}
}

// loseDisks ends pods together with their volumes.
func (s *scenario) loseDisks(pods ...string) {
	s.t.Helper()
	s.freezeDaemons(pods...)
	uids := map[string]string{}
	s.fault("lose the disks of %s", strings.Join(pods, ", "))
	for _, pod := range pods {
		_, err := s.Kubectl(s.ctx, "delete", "pvc", "data-"+pod, "--wait=false")
		s.must(err)
		uids[pod], err = s.Delete(s.ctx, pod, new(int64))
		s.must(err)
	}
	s.t.Cleanup(func() {
		if err := s.cluster.RecycleVolumes(context.WithoutCancel(s.ctx)); err != nil {
			s.t.Error(err)
		}
	})
	for pod, uid := range uids {
		s.must(Until(s.within(recoverWithin), pod+" to run with a new disk", 500*time.Millisecond, func() (bool, string) {
			p, err := s.Pod(s.ctx, pod)
			if err != nil {
				return false, err.Error()
			}
			return string(p.UID) != uid && p.Status.Phase == "Running", string(p.Status.Phase)
		}))
	}
}
