package e2e

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
	"github.com/haproxy-peers/haproxy-peers/e2e/stack"
)

// adopting is a scenario of HAProxies with files of somebody's own.
type adopting struct {
	*scenario
	// args are given to `config adopt`, files are all but the last one of every proxy, by its name.
	args  []string
	files map[string][]string
	// oneWay ends it when the daemons steer.
	oneWay bool
}

// A haproxy.cfg of somebody's own gets what the daemon needs by `config adopt`, one HAProxy after the other and under load,
// and loses it again. What the HAProxies do is taken over, and not one connection goes elsewhere on either way.
func TestAdopt(t *testing.T) {
	for i, shape := range adoptShapes {
		t.Run(shape.name, func(t *testing.T) {
			if i > 0 {
				full(t)
			}
			s := adopting{scenario: bare(t, t.Context(), stack.Options{DaemonArgs: []string{"--bootstrap-expect", "3"}}), args: shape.args, files: map[string][]string{}, oneWay: shape.balances}
			if shape.proxies {
				var all []string
				for _, p := range s.PX {
					all = append(all, p.Name+"="+p.IP)
				}
				s.args = append(slices.Clone(s.args), "--proxies", strings.Join(all, ","))
			}
			for _, p := range s.PX {
				text, first, firstText := shape.write(s.scenario, p)
				if first != "" {
					s.must(os.WriteFile(first, []byte(firstText), 0o600))
					s.files[p.Name] = []string{first}
				}
				s.must(p.Start(s.ctx, lab.HAProxyOptions{Config: text, MoreFiles: s.files[p.Name], MasterWorker: shape.master}))
			}
			s.thereAndBack("db0")
		})
	}
}

// The same after a failover, so that the writers are not on the first server: adopt says so, and wants to be told where they are.
func TestAdoptAfterFailover(t *testing.T) {
	s := adopting{scenario: beginPredecessor(t, "100k"), args: []string{"--active", "db2"}}
	s.startMany("db2")
	p := s.PX[0]
	before := s.file(p)
	r, err := p.Daemon.Ctl(s.ctx, "config", "adopt", "--local", p.Name, "--write", p.ConfigFile)
	s.must(err)
	if r.Exit != 1 || !strings.Contains(r.Stderr, "connections of galera-nodes go to db2") || s.file(p) != before {
		t.Errorf("exit %d, %q", r.Exit, r.Stderr)
	}
	s.load.Stop()
	s.thereAndBack("db2")
}

// thereAndBack adopts the files while the writers are on node, and takes it back on db0, the first server of the files.
func (s *adopting) thereAndBack(node string) {
	t := s.t
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			s.saveLogs(s.Lab)
		}
	})
	s.startMany(node)
	before := map[string]string{}
	s.oneByOne(func(p *lab.Proxy) {
		before[p.Name] = s.file(p)
		s.adopt(p, append([]string{"--local", p.Name, "--write"}, s.args...)...)
		s.reload(p, node)
	})
	for _, p := range s.PX {
		args := s.DaemonArgs(p)
		for _, f := range s.files[p.Name] {
			args = append([]string{"--haproxy-cfg", f}, args...)
		}
		s.must(p.Daemon.Start(lab.DaemonOptions{Args: args}))
		s.must(p.Daemon.WaitSocket(s.ctx))
	}
	s.steering(s.PX...)
	if a := s.active(s.PX[0]); a.Active != node || a.Epoch > 1 {
		t.Errorf("%s at epoch %d (%s), want %s taken over", a.Active, a.Epoch, a.Reason, node)
	}
	log := s.finish(expect{path: []string{node}})
	s.allRight(log.Wrong(0, node), "on the way in")

	if s.oneWay {
		return
	}
	if node != "db0" {
		_, err := s.Set(s.ctx, s.PX[0], "db0", "--drain", "transactions")
		s.must(err)
	}
	s.startMany("db0")
	s.oneByOne(func(p *lab.Proxy) {
		s.must(p.Daemon.Stop())
		s.adopt(p, "--revert", "--write")
		s.reload(p, "db0")
		if now := s.file(p); now != before[p.Name] {
			t.Errorf("%s is not what it was:\n%s", p.ConfigFile, now)
		}
		if _, err := os.Stat(p.ConfigFile + ".before-haproxyd"); !os.IsNotExist(err) {
			t.Errorf("a copy of %s is left: %v", p.ConfigFile, err)
		}
	})
	log = s.finish(expect{path: []string{"db0"}})
	s.allRight(log.Wrong(0, "db0"), "on the way back")
}

// startMany starts a load of so many connections that the milliseconds in which a reloaded HAProxy knows no table are hit:
// at 900 a second, nine reloads with the writers on another node than the file's first had 8 stray commits.
func (s *adopting) startMany(node string) {
	s.t.Helper()
	load, err := s.StartLoad(s.ctx, lab.LoadConfig{ReconnectEvery: 1, Rate: 600})
	s.must(err)
	s.load = load
	s.must(load.WaitNode(s.within(20*time.Second), node))
}

// adopt runs `config adopt` on a proxy's files.
func (s *adopting) adopt(p *lab.Proxy, args ...string) {
	s.t.Helper()
	args = append([]string{"config", "adopt"}, args...)
	r, err := p.Daemon.Ctl(s.ctx, append(append(args, s.files[p.Name]...), p.ConfigFile)...)
	s.must(err)
	if r.Exit != 0 {
		s.t.Fatalf("config adopt: exit %d: %s", r.Exit, r.Stderr)
	}
}

// reload is as adopt says: where the process that ends has another first server than node, it must not go there.
func (s *adopting) reload(p *lab.Proxy, node string) {
	s.t.Helper()
	if slices.Contains(s.args, "--active") || s.oneWay {
		for _, n := range s.DB {
			if n.Name != node {
				s.write(p, "set server galera-nodes/"+n.Name+" state maint")
			}
		}
	}
	s.must(p.Reload(s.ctx, ""))
}

// file is the text of a proxy's haproxy.cfg.
func (s *scenario) file(p *lab.Proxy) string {
	s.t.Helper()
	text, err := os.ReadFile(p.ConfigFile)
	s.must(err)
	return string(text)
}
