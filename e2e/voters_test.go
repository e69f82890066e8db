package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

// waitVoters waits until these proxies' daemons, and no others, are the voters by the word of each of them, all are
// live, and nothing is left to be changed; it returns how long that took.
func (s *scenario) waitVoters(within time.Duration, proxies ...*lab.Proxy) time.Duration {
	s.t.Helper()
	want := proxyNames(proxies)
	began := time.Now()
	s.must(until(s.within(within), "the voters "+strings.Join(want, ", "), func() (bool, string) {
		for _, p := range proxies {
			r, err := client(p).Register(s.ctx)
			if err != nil {
				return false, err.Error()
			}
			dead := slices.ContainsFunc(r.Voters, func(v api.Voter) bool { return !v.Live })
			if !r.Agreed || dead || !slices.Equal(names(r.Voters), want) {
				return false, fmt.Sprintf("%s: agreed %v (%s), voters %+v; %s", p.Name, r.Agreed, r.Reason, r.Voters, r.Membership)
			}
		}
		return true, ""
	}))
	return time.Since(began)
}

func proxyNames(proxies []*lab.Proxy) []string {
	var out []string
	for _, p := range proxies {
		out = append(out, p.Name)
	}
	slices.Sort(out)
	return out
}

// steering waits until these proxies steer, all by the word of each of their daemons.
func (s *scenario) steering(proxies ...*lab.Proxy) {
	s.t.Helper()
	s.must(s.waitOn(proxies, fmt.Sprintf("%d proxies to steer", len(proxies)), func(a apiActive) bool {
		return a.Agreed && a.Steering == len(proxies) && a.Converged == len(proxies)
	}))
}

// majorityWatch asks one proxy's daemon all the time how many of the voters live, and whether there is a majority.
type majorityWatch struct {
	stop func()
	mu   sync.Mutex
	// without is the longest time without a majority, minority what was seen of fewer live voters than a majority.
	without  time.Duration
	minority []string
	asked    int
}

func (s *scenario) watchMajority(p *lab.Proxy) *majorityWatch {
	ctx, cancel := context.WithCancel(s.ctx)
	w := &majorityWatch{}
	var done sync.WaitGroup
	w.stop = func() { cancel(); done.Wait() }
	s.t.Cleanup(w.stop)
	done.Go(func() {
		var since time.Time
		for ctx.Err() == nil {
			r, err := client(p).Register(ctx)
			now := time.Now()
			w.mu.Lock()
			if err == nil {
				w.asked++
				live := 0
				for _, v := range r.Voters {
					if v.Live {
						live++
					}
				}
				if 2*live <= len(r.Voters) {
					w.minority = append(w.minority, fmt.Sprintf("%+v", r.Voters))
				}
				switch {
				case r.Agreed:
					since = time.Time{}
				case since.IsZero():
					since = now
				default:
					w.without = max(w.without, now.Sub(since))
				}
			}
			w.mu.Unlock()
			wait(ctx, 20*time.Millisecond)
		}
	})
	return w
}

// end stops the watch and judges it.
func (w *majorityWatch) end(t *testing.T, bound time.Duration) {
	t.Helper()
	w.stop()
	t.Logf("asked %d times for the voters: without a majority for %v at most", w.asked, w.without)
	if len(w.minority) > 0 || w.without > bound || w.asked < 20 {
		t.Errorf("%d times fewer live voters than a majority, without one for %v, at most %v: %v", len(w.minority), w.without, bound, w.minority)
	}
}

// newPod is a pod that was deleted and comes back: HAProxy and daemon are killed, the disk is gone, the address is
// another one if moved, and the file is rendered afresh, naming these proxies.
func (s *scenario) newPod(p *lab.Proxy, moved bool, peers ...*lab.Proxy) {
	s.t.Helper()
	s.killPod(p)
	if moved {
		s.must(p.Readdress())
	}
	s.startPod(p, peers...)
}

// killPod kills HAProxy and daemon, and takes the disk away.
func (s *scenario) killPod(p *lab.Proxy) {
	s.t.Helper()
	p.Daemon.Kill9()
	p.Kill9()
	s.must(p.Daemon.LoseDisk())
}

// startPod starts HAProxy and daemon of a proxy with a file that names these proxies.
func (s *scenario) startPod(p *lab.Proxy, peers ...*lab.Proxy) {
	s.t.Helper()
	text, err := s.ConfigNaming(p, peers)
	s.must(err)
	s.must(p.Start(s.ctx, lab.HAProxyOptions{Config: text, MasterWorker: s.Options.MasterWorker}))
	s.must(p.Daemon.Start(lab.DaemonOptions{Args: s.DaemonArgs(p)}))
	s.must(p.Daemon.WaitSocket(s.ctx))
}

// rewriteFiles gives these proxies files that name just them, and reloads their HAProxies one by one.
func (s *scenario) rewriteFiles(proxies ...*lab.Proxy) {
	s.t.Helper()
	for _, p := range proxies {
		text, err := s.ConfigNaming(p, proxies)
		s.must(err)
		s.must(p.Reload(s.ctx, text))
		s.steering(proxies...)
	}
}

// judge asserts that a load that has ended committed on the active alone, and that nothing of it is lost.
func (s *scenario) judge(name string, load *lab.Load, node string, outage time.Duration) *lab.Log {
	s.t.Helper()
	log := load.Stop()
	s.samePath(log, []string{node})
	s.allRight(log.Wrong(0, node), name)
	via, worst := log.Worst("")
	s.t.Logf("%s: %d commits, longest outage %v (%s)", name, len(log.Commits), worst, via)
	if worst > outage {
		s.t.Errorf("%s: %s could not commit for %v, at most %v", name, via, worst, outage)
	}
	s.nothingLost(log)
	return log
}

// sameDecision asserts that epoch and active are as before.
func (s *scenario) sameDecision(before apiActive, proxies ...*lab.Proxy) {
	s.t.Helper()
	for _, p := range proxies {
		if now := s.active(p); !now.Agreed || now.Epoch != before.Epoch || now.Active != before.Active {
			s.t.Errorf("%s: %+v, before %+v", p.Name, now, before)
		}
	}
}
