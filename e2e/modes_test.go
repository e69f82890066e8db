package e2e

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
	"github.com/haproxy-peers/haproxy-peers/e2e/stack"
)

// A daemon with --observe sees, votes and reports, and writes nothing: a move is refused because of it, a forced one
// leaves its HAProxy's private table as it was, and a poisoned entry stays.
func TestObserve(t *testing.T) {
	full(t)
	s := begin(t, stack.Options{})
	p := s.PX[2]
	s.must(p.Daemon.Stop())
	s.must(p.Daemon.Start(lab.DaemonOptions{Args: append(s.DaemonArgs(p), "--observe")}))
	s.must(s.WaitAll(s.within(20*time.Second), "px2 to observe", func(a apiActive) bool {
		return a.Agreed && a.Proxies == 3 && a.Steering == 2
	}))
	steer, err := p.Runtime(s.ctx, "show table haproxyd-steer")
	s.must(err)
	_, err = s.Set(s.ctx, s.PX[0], "db2")
	if line := s.refused(err); !strings.Contains(line, "px2 only observes") {
		t.Errorf("refused with %q", line)
	}
	if _, err := client(s.PX[0]).Set(s.ctx, forced("db2")); err != nil {
		t.Fatal(err)
	}
	s.must(s.waitOn(s.PX[:2], "two proxies on db2", func(a apiActive) bool { return a.Active == "db2" && a.Converged >= 2 }))
	if _, err := p.Runtime(s.ctx, "set table haproxyd-steer key 2 data.server_id 1"); err != nil {
		t.Fatal(err)
	}
	wait(s.ctx, 2*time.Second) // twenty looks
	out, err := p.Runtime(s.ctx, "show table haproxyd-steer")
	s.must(err)
	if !strings.Contains(out, "key=2 ") || !strings.Contains(out, "key=1 use=0 exp=0 server_id=2") {
		t.Errorf("an observing daemon wrote:\n%s\nbefore:\n%s", out, steer)
	}
	if st := s.status(p); st.Mode != "observe" {
		t.Errorf("it says %q", st.Mode)
	}
}

// Two proxies and a witness: with either of the proxies dead, HAProxy and daemon, there is still a majority, and the
// death of the active is decided.
func TestWitness(t *testing.T) {
	for i, name := range []string{"px1 dies", "px0 dies"} {
		t.Run(name, func(t *testing.T) {
			full(t)
			s := beginWitness(t)
			dead, left := s.PX[1-i], s.PX[i]
			before := s.active(left)
			load, err := s.StartLoad(s.ctx, lab.LoadConfig{Proxies: []*lab.Proxy{left}, ReconnectEvery: 2})
			s.must(err)
			s.load = load
			s.must(load.WaitNode(s.within(20*time.Second), "db1"))
			dead.Daemon.Kill9()
			dead.Kill9()
			wait(s.ctx, 4*time.Second) // longer than an old word of the dead one counts, and an election takes
			if a := s.active(left); !a.Agreed || a.Epoch != before.Epoch || a.Steering != 1 {
				t.Fatalf("%s and the witness are a majority of three: %+v", left.Name, a)
			}
			load.Mark("killed")
			s.DB[1].Kill9()
			s.must(s.waitOn([]*lab.Proxy{left}, left.Name+" to leave db1", func(a apiActive) bool {
				return a.Agreed && a.Epoch == before.Epoch+1 && a.Active != "db1" && a.Converged == 1
			}))
			to := s.active(left).Active
			s.must(load.WaitNode(s.within(20*time.Second), to))
			s.finish(expect{path: []string{"db1", to}, after: "killed", outage: 10 * time.Second})
		})
	}
}

// beginWitness starts two proxies and a witness, whose files name two peers, and moves the active to db1.
func beginWitness(t *testing.T) *scenario {
	t.Helper()
	s := bare(t, t.Context(), stack.Options{CheckInterval: 10 * time.Second})
	two := s.PX[:2]
	for _, p := range two {
		s.startPod(p, two...)
	}
	s.steering(two...)
	s.toldOfTwo(true)
	text, err := s.ConfigNaming(s.PX[0], two)
	s.must(err)
	s.must(os.WriteFile(s.PX[2].ConfigFile, []byte(text), 0o600))
	s.must(s.PX[2].Daemon.Start(lab.DaemonOptions{Args: append(s.DaemonArgs(s.PX[2]), "--witness")}))
	s.steering(two...)
	s.must(until(s.within(20*time.Second), "the witness to vote", func() (bool, string) {
		r, err := client(s.PX[0]).Register(s.ctx)
		return err == nil && len(r.Voters) == 3, strings.Join(names(r.Voters), ", ")
	}))
	s.toldOfTwo(false)
	_, err = client(s.PX[0]).Set(s.ctx, api.SetRequest{Node: "db1", Drain: "immediate"})
	s.must(err)
	s.must(s.waitOn(two, "two proxies on db1", func(a apiActive) bool { return a.Active == "db1" && a.Steering == 2 && a.Converged == 2 }))
	return s
}

// toldOfTwo: status says of two voters, and of two alone, what one death means.
func (s *scenario) toldOfTwo(want bool) {
	s.t.Helper()
	warnings := strings.Join(s.status(s.PX[0]).Warnings, "; ")
	if strings.Contains(warnings, "px0 and px1 are the only voters") != want {
		s.t.Errorf("told of two voters: want %v, warnings %q", want, warnings)
	}
}

func names(voters []api.Voter) []string {
	var out []string
	for _, v := range voters {
		out = append(out, v.Name)
	}
	return out
}
