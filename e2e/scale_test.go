package e2e

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
	"github.com/haproxy-peers/haproxy-peers/e2e/stack"
)

// beginFive is begin in a lab of five proxies, of which three are started, with files that name three.
func beginFive(t *testing.T) *scenario {
	t.Helper()
	theLab(t) // what the machine needs, and the binaries
	five, err := lab.New(t.Context(), lab.Config{Proxies: 5, Haproxyd: filepath.Join(binaries, "haproxyd"), Haproxyctl: filepath.Join(binaries, "haproxyctl")})
	if err != nil {
		t.Fatal(err)
	}
	s := &scenario{t: t, ctx: t.Context()}
	t.Cleanup(func() {
		if t.Failed() {
			s.saveLogs(five)
		}
		if err := five.Close(); err != nil {
			t.Error(err)
		}
	})
	s.Stack, err = stack.New(five, stack.Options{})
	s.must(err)
	three := s.PX[:3]
	for _, p := range three {
		s.startPod(p, three...)
	}
	s.steering(three...)
	_, err = s.Set(s.ctx, s.PX[0], "db1", "--drain", "immediate")
	s.must(err)
	s.must(s.waitOn(three, "three proxies on db1", func(a apiActive) bool {
		return a.Agreed && a.Active == "db1" && a.Steering == 3 && a.Converged == 3
	}))
	return s
}

// loadOf starts a load through one proxy: its clients go before the proxy does, as those of a Service do.
func (s *scenario) loadOf(p *lab.Proxy) *lab.Load {
	s.t.Helper()
	load, err := s.StartLoad(s.ctx, lab.LoadConfig{Proxies: []*lab.Proxy{p}, ReconnectEvery: 2})
	s.must(err)
	s.must(load.WaitNode(s.within(20*time.Second), "db1"))
	return load
}

// Scaling 3 -> 5 -> 3 -> 1 -> 3 under load. The new proxies' files name five while those of the old ones still name three;
// the voters change one committed step at a time, by themselves; who stops cleanly leaves them. The files are rewritten
// afterwards, one HAProxy at a time. Nothing moves, nothing is lost, and there is a majority at every moment.
func TestScale(t *testing.T) {
	full(t)
	s := beginFive(t)
	before := s.active(s.PX[0])
	s.waitVoters(20*time.Second, s.PX[:3]...)
	// What an init container renders: the members name the active.
	s.Options.Order = []string{"db1", "db0", "db2"}
	loads := map[*lab.Proxy]*lab.Load{}
	for _, p := range s.PX[:3] {
		loads[p] = s.loadOf(p)
	}
	watch := s.watchMajority(s.PX[0])
	grow := func(n, to int) {
		for i := n; i < to; i++ {
			s.startPod(s.PX[i], s.PX[:to]...)
			took := s.waitVoters(30*time.Second, s.PX[:i+1]...)
			s.steering(s.PX[:i+1]...)
			t.Logf("%d -> %d: %s is a voter %v after its start", n, to, s.PX[i].Name, took)
			loads[s.PX[i]] = s.loadOf(s.PX[i])
			s.sameDecision(before, s.PX[:i+1]...)
		}
		s.rewriteFiles(s.PX[:to]...)
	}
	shrink := func(n, to int) {
		for i := n - 1; i >= to; i-- {
			p := s.PX[i]
			s.judge(p.Name, loads[p], "db1", time.Second)
			began := time.Now()
			s.must(p.Daemon.Stop())
			stopped := time.Since(began)
			took := s.waitVoters(20*time.Second, s.PX[:i]...)
			s.must(p.Stop())
			t.Logf("%d -> %d: %s stopped within %v, the others are the voters %v later", n, to, p.Name, stopped, took)
			s.sameDecision(before, s.PX[:i]...)
		}
		s.rewriteFiles(s.PX[:to]...)
	}
	grow(3, 5)
	shrink(5, 3)
	shrink(3, 1)
	// One comes back with its disk, the other without.
	s.must(s.PX[2].Daemon.LoseDisk())
	grow(1, 3)
	watch.end(t, time.Second)
	for _, p := range s.PX[:3] {
		s.judge(p.Name, loads[p], "db1", time.Second)
	}
	s.sameDecision(before, s.PX[:3]...)
}
