package e2e

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
)

// A daemon dies in a hold and its list of changes is cut in half: it starts all
// the same, says so, sets the list aside and guesses nothing from it. A reload of
// HAProxy ends what is left.
func TestUndoFileCutInHalf(t *testing.T) {
	full(t)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	scenarioOf = t.Name()
	defer func() { scenarioOf = "" }()
	s := beginSteps(t, ctx)
	defer func() {
		if t.Failed() {
			s.saveLogs(s.Lab)
		}
	}()
	leader, others := s.leader()
	p := others[0]
	c := &cell{scenario: s, step: moveStep{name: "held"}, leader: leader, follower: p}
	c.asConfigured = c.limits()
	target := s.DB[1].Name
	if s.active(leader).Active == target {
		target = s.DB[2].Name
	}
	s.must(s.StopAt("held"))
	_, err := leader.Daemon.StartCtl("active", "set", target, "--drain", "transactions", "--hold", "--max-hold", "1s")
	s.must(err)
	s.must(s.WaitReached(s.within(10*time.Second), "held", s.PX[0].Name, s.PX[1].Name, s.PX[2].Name))
	p.Daemon.Kill9()
	file := p.Daemon.File("haproxy-changes.json")
	list, err := os.ReadFile(file)
	s.must(err)
	if !strings.Contains(string(list), target) {
		t.Fatalf("the hold is not on the list: %s", list)
	}
	half := list[:len(list)/2]
	s.must(os.WriteFile(file, half, 0o600))
	s.must(s.LetGo("held"))
	text := s.waitProblem(p, 10*time.Second, file+".bad", "reload")
	t.Log(text)
	if kept, err := os.ReadFile(file + ".bad"); err != nil || string(kept) != string(half) {
		t.Errorf("kept aside: %q, %v", kept, err)
	}
	if words := p.Daemon.Process().LogTail(1 << 20); !strings.Contains(words, "cannot read what this daemon had changed") {
		t.Errorf("the log does not say so: %s", words)
	}
	// The others' holds have ended; nothing was guessed here.
	s.must(until(s.within(10*time.Second), "the move's end", func() (bool, string) {
		a := s.active(leader)
		return a.Move == nil, fmt.Sprintf("%+v", a)
	}))
	rows, err := statOf(ctx, p)
	s.must(err)
	for _, r := range rows {
		if r["svname"] == target && r["slim"] != "1" {
			t.Errorf("the limit of %s is %q: who said that it was this daemon's?", target, r["slim"])
		}
	}
	s.must(p.Reload(ctx, ""))
	s.must(until(s.within(15*time.Second), "the reload to end all", func() (bool, string) {
		why, unsteered := c.unclean()
		if st := s.status(p); why == "" && unsteered == "" && st.State != api.StateOK {
			why = st.Headline
		}
		return orFirst(why, unsteered) == "", orFirst(why, unsteered)
	}))
}
