package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
	"github.com/haproxy-peers/haproxy-peers/e2e/stack"
)

// Daemons that count on three initial voters, with files that name two, and a third one whose file names three: nobody
// begins a record, and each says why. Either the files are put right, which needs no restart, or an operator forces it.
func TestBootstrapExpect(t *testing.T) {
	for _, forced := range []bool{false, true} {
		t.Run(map[bool]string{false: "files put right", true: "forced"}[forced], func(t *testing.T) {
			s := bare(t, t.Context(), stack.Options{DaemonArgs: []string{"--bootstrap-expect", "3"}})
			two := s.PX[:2]
			for _, p := range two {
				s.startPod(p, two...)
			}
			s.waitWaiting(two, "waits for 3 initial voters, named are 2 (px0, px1)")
			if forced {
				var r api.Register
				s.must(s.Ask(s.ctx, s.PX[0], &r, "register", "init", "--force"))
				s.waitVoters(20*time.Second, two...)
				s.steering(two...)
				return
			}
			s.startPod(s.PX[2], s.PX...)
			s.waitWaiting(s.PX[2:], "other initial voters are configured on px0, px1")
			began := time.Now()
			for _, p := range two {
				text, err := s.ConfigNaming(p, s.PX)
				s.must(err)
				s.must(p.Reload(s.ctx, text))
			}
			took := s.waitVoters(20*time.Second, s.PX...)
			s.steering(s.PX...)
			t.Logf("three voters %v after the files were put right, all steer %v after it", took, time.Since(began))
		})
	}
}

// waitWaiting waits until `register status` of these daemons says what they wait for.
func (s *scenario) waitWaiting(proxies []*lab.Proxy, why string) {
	s.t.Helper()
	for _, p := range proxies {
		s.must(until(s.within(20*time.Second), p.Name+" to wait", func() (bool, string) {
			r, err := p.Daemon.Ctl(s.ctx, "register", "status")
			return err == nil && strings.Contains(r.Stdout, why) && strings.Contains(r.Stdout, "State      waiting"), r.Stdout + r.Stderr
		}))
	}
}
