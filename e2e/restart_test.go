package e2e

import (
	"sync"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
	"github.com/haproxy-peers/haproxy-peers/e2e/stack"
)

// unsteered bounds, after a HAProxy's new process has begun to serve from a file whose first server is not the active,
// how long connections may go wrong before the daemon has noticed and written, and strayed how long two nodes may take
// commits then: the same, and the closing of what went wrong. Where the daemon has rewritten the file both are 0.
const (
	unsteered = 400 * time.Millisecond
	strayed   = 600 * time.Millisecond
)

// One HAProxy is restarted or reloaded under load. The others do not notice. With the rewritten file nothing goes
// wrong; with a file that still lists another node first (a ConfigMap) what goes wrong is bounded and put right.
func TestHAProxyRestart(t *testing.T) {
	for _, how := range []struct {
		name string
		do   func(*scenario, *lab.Proxy) error
		core bool
	}{
		{"restarted", func(s *scenario, p *lab.Proxy) error { return p.Restart(s.ctx) }, true},
		{"reloaded", func(s *scenario, p *lab.Proxy) error { return p.Reload(s.ctx, "") }, false},
		{"reloaded twice", func(s *scenario, p *lab.Proxy) error {
			if err := p.Reload(s.ctx, ""); err != nil {
				return err
			}
			wait(s.ctx, 500*time.Millisecond) // the case: within a second
			return p.Reload(s.ctx, "")
		}, false},
	} {
		for _, file := range files {
			t.Run(how.name+" "+file.name, func(t *testing.T) {
				if !how.core {
					full(t)
				}
				s := begin(t, stack.Options{DaemonArgs: file.args})
				restart(s, file.rewritten, s.PX[1:2], func() error { return how.do(s, s.PX[1]) })
			})
		}
	}
}

// All HAProxies are restarted at once: no table is left anywhere from which one could learn.
func TestAllHAProxiesRestarted(t *testing.T) {
	for _, file := range files {
		t.Run(file.name, func(t *testing.T) {
			s := begin(t, stack.Options{DaemonArgs: file.args})
			restart(s, file.rewritten, s.PX, func() error {
				errs := make([]error, len(s.PX))
				var all sync.WaitGroup
				for i, p := range s.PX {
					all.Go(func() { errs[i] = p.Restart(s.ctx) })
				}
				all.Wait()
				for _, err := range errs {
					if err != nil {
						return err
					}
				}
				return nil
			})
		})
	}
}

// files are the two kinds of configuration: one that the daemon may rewrite, one that it may not.
var files = []struct {
	name      string
	args      []string
	rewritten bool
}{
	{"file rewritten", nil, true},
	{"file not ours", []string{"--rewrite-config=false"}, false},
}

// restart runs a load while something is done to some HAProxies, and judges what went wrong.
func restart(s *scenario, rewritten bool, proxies []*lab.Proxy, do func() error) {
	t := s.t
	t.Helper()
	want := "db0"
	if rewritten {
		want = "db1"
		s.waitFirst(want)
	}
	for _, p := range proxies {
		if first := s.firstServer(p); first != want {
			t.Fatalf("%s lists %s first, not %s: the scenario proves nothing", p.ConfigFile, first, want)
		}
	}
	before := s.active(s.PX[0])
	s.start(lab.LoadConfig{ReconnectEvery: 2})
	s.must(s.load.WaitFlowing(s.within(10 * time.Second)))
	at := s.load.Mark("restart")
	s.must(do())
	back := s.load.Mark("back")
	wait(s.ctx, 2*time.Second) // what the peers teach each other after a start would show now
	s.must(s.WaitSteering(s.within(20*time.Second), len(s.PX)))
	s.must(s.load.WaitFlowing(s.within(10 * time.Second)))

	bound := expect{path: []string{"db1"}, after: "restart", outage: 2 * time.Second}
	if !rewritten {
		// Where all pause for longer than a run may, the strays are a run of their own:
		// they are bounded below, and nobody stays with them.
		bound.twoWriters, bound.path = strayed, nil
	}
	log := s.finish(bound)
	if path := log.SettledPath(""); path[len(path)-1] != "db1" {
		t.Errorf("the commits end on %v, want db1", path)
	}
	strays := log.Wrong(at, "db1")
	last := time.Duration(0)
	for _, c := range strays {
		last = max(last, c.Start-back)
	}
	two := log.TwoWriters()
	t.Logf("serving again after %v; %d connections went wrong, the last %v after that; two writers for %v",
		back-at, len(strays), last, two.Total)
	if rewritten {
		s.allRight(strays, "the file lists the active first")
	}
	s.allRight(log.Wrong(back+unsteered, "db1"), "later than the bound")
	untouched := []*lab.Proxy{}
	for _, p := range s.PX {
		if len(proxies) == 1 && p != proxies[0] {
			untouched = append(untouched, p)
		}
	}
	s.allRight(through(strays, untouched...), "a proxy that was not touched")
	s.unchanged(before)
}
