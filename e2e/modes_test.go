package e2e

import (
	"os"
	"slices"
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

// Two proxies and a witness: with one daemon dead there is still a majority, and the death of the active is decided.
func TestWitness(t *testing.T) {
	full(t)
	l := theLab(t)
	s := &scenario{t: t, ctx: t.Context()}
	s.must(l.Reset(s.ctx))
	s.Stack = &stack.Stack{Lab: l, Options: stack.Options{CheckInterval: 10 * time.Second}, Password: l.Dir + "/probe-password"}
	s.must(s.WritePassword(lab.Password))
	two := s.PX[:2]
	for _, p := range s.PX {
		text, err := s.Config(p)
		s.must(err)
		lines := slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool { return strings.HasPrefix(line, "  peer px2 10.99") })
		text = strings.Join(lines, "\n")
		args := s.DaemonArgs(p)
		if p == s.PX[2] {
			s.must(os.WriteFile(p.ConfigFile, []byte(text), 0o600))
			args = append(args, "--witness")
		} else {
			s.must(p.Start(s.ctx, lab.HAProxyOptions{Config: text}))
		}
		s.must(p.Daemon.Start(lab.DaemonOptions{Args: args}))
	}
	s.must(s.waitOn(two, "two proxies to steer", func(a apiActive) bool {
		return a.Agreed && a.Proxies == 2 && a.Steering == 2 && a.Converged == 2
	}))
	s.must(until(s.within(20*time.Second), "the witness to vote", func() (bool, string) {
		r, err := client(s.PX[0]).Register(s.ctx)
		return err == nil && len(r.Voters) == 3, strings.Join(names(r.Voters), ", ")
	}))
	_, err := client(s.PX[0]).Set(s.ctx, api.SetRequest{Node: "db1"})
	s.must(err)
	s.must(s.waitOn(two, "two proxies on db1", func(a apiActive) bool { return a.Active == "db1" && a.Converged == 2 }))
	before := s.active(s.PX[0])

	s.PX[1].Daemon.Kill9()
	s.waitNative(s.PX[1])
	wait(s.ctx, 2*time.Second) // longer than an old word of px1 counts
	if a := s.active(s.PX[0]); !a.Agreed {
		t.Fatalf("px0 and the witness are a majority of three: %+v", a)
	}
	s.DB[1].Kill9()
	s.must(s.waitOn(s.PX[:1], "px0 to leave db1", func(a apiActive) bool {
		return a.Agreed && a.Epoch == before.Epoch+1 && a.Active != "db1" && a.Converged == 1
	}))
}

func names(voters []api.Voter) []string {
	var out []string
	for _, v := range voters {
		out = append(out, v.Name)
	}
	return out
}
