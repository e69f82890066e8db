package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
	"github.com/haproxy-peers/haproxy-peers/e2e/stack"
)

const (
	// groupPort is where the nodes talk to each other: a check there says nothing of whether a node takes commits.
	groupPort = 4567
	// keptWithin bounds how long a proxy whose check fails waits for the vote (control.voteWithin), and a look more.
	keptWithin = 300*time.Millisecond + 100*time.Millisecond
)

// The check of one proxy alone begins to refuse the active, which serves and stays the active: not one of its clients
// reaches another node between the check's verdict and the fence, and none is refused before the vote has had its time.
func TestCheckRefusesWhatServes(t *testing.T) {
	s := begin(t, stack.Options{CheckInterval: 200 * time.Millisecond, CheckPort: groupPort})
	px, before := s.PX[0], s.active(s.PX[1])
	for range 3 {
		s.must(until(s.within(10*time.Second), "connections to be kept", func() (bool, string) {
			keys := s.runtime(px, "show table "+private)
			return strings.Contains(keys, "key="+keepKey+" "), keys
		}))
		counts := s.counted("db1")
		s.start(lab.LoadConfig{ReconnectEvery: 5})
		s.must(s.load.WaitFlowing(s.within(10 * time.Second)))
		fault, err := s.Refuse(s.ctx, px.Host, s.DB[1].Host, groupPort)
		s.must(err)
		s.must(until(s.within(5*time.Second), "the check's verdict", func() (bool, string) {
			return s.serverState(px, "galera-nodes", "db1") == "0", ""
		}))
		down := s.load.Mark("down")
		s.waitFenced(px, 5*time.Second)
		fenced := s.load.Mark("fenced")
		s.waitProblem(px, 5*time.Second, "fenced", "db1")
		s.unchangedOn(s.PX[1], before)
		s.load.Mark("healed")
		s.must(fault.Undo(s.ctx))
		s.waitServing(px, 10*time.Second)
		s.must(s.load.WaitFlowing(s.within(10 * time.Second)))
		log := s.finish(expect{path: []string{"db1"}, twoWriters: 0})
		s.allRight(log.Wrong(0, "db1"), "a check that fails")
		s.sameCount(counts, "db1")
		served := 0
		for _, c := range log.Commits {
			if c.Via == px.Name && c.Start > down && c.Start < fenced && c.Acked() {
				served++
			}
		}
		t.Logf("fenced %v after the verdict, %d commits between", fenced-down, served)
		if served == 0 || fenced-down > keptWithin+slack {
			t.Errorf("fenced %v after the verdict, %d commits between", fenced-down, served)
		}
	}
}
