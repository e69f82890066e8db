package steer

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/plan"
	"github.com/haproxy-peers/haproxy-peers/control/published"
	"github.com/haproxy-peers/haproxy-peers/runtimeapi"
)

// judged is one HAProxy whose counters the test turns.
type judged struct {
	a     astray
	now   time.Time
	proc  process
	want  mandate.Want
	right bool
	total map[string]int64 // by server of backend db
	downs int64            // of the active
}

// downAfter is how long the checks take to call the active down.
const downAfter = 3 * time.Second

func newJudged() *judged {
	j := &judged{now: time.Unix(1000, 0), proc: process{Pid: 7}, right: true, total: map[string]int64{"oak": 40, "elm": 7, "fir": 0}}
	j.want = mandate.Want{Known: true, Active: "elm", Version: cluster.Version{Epoch: 3}}
	j.pass(0)
	j.pass(astrayAfter)
	return j
}

// pass lets time pass and takes a look.
func (j *judged) pass(d time.Duration) {
	j.now = j.now.Add(d)
	stats := []runtimeapi.ServerStat{{Backend: "web", Server: "oak", TotalSessions: j.now.UnixNano()}} // no sticky one
	for name, n := range j.total {
		s := runtimeapi.ServerStat{Backend: "db", Server: name, TotalSessions: n}
		if name == j.want.Active {
			s.CheckDowns = j.downs
		}
		stats = append(stats, s)
	}
	j.a.note(j.now, j.proc, &j.want, j.right, downAfter, func(b string) bool { return b == "db" }, stats)
}

func (j *judged) check(t *testing.T, want ...model.Astray) {
	t.Helper()
	if diff := cmp.Diff(want, j.a.told(), cmpopts.EquateEmpty(), cmpopts.SortSlices(func(a, b model.Astray) bool { return a.Server < b.Server })); diff != "" {
		t.Error(diff)
	}
}

// Only what grows on another server than the active while all has long been as agreed is
// told, and for as long as it is news.
func TestAstray(t *testing.T) {
	oak := func(n int64, since time.Duration) model.Astray {
		return model.Astray{Backend: "db", Server: "oak", Connections: n, Since: time.Unix(1000, 0).Add(since).UTC()}
	}
	j := newJudged()
	j.check(t) // of before
	j.total["elm"] += 100
	j.pass(time.Second)
	j.pass(time.Minute)
	j.check(t)
	j.total["oak"]++
	j.pass(time.Second) // 1064
	j.total["oak"]++
	j.pass(downAfter - 1)
	j.check(t) // elm may have died, and the checks may not have noticed yet
	j.pass(1)
	j.check(t, oak(2, 64*time.Second))
	j.total["oak"] += 2
	j.total["fir"]++
	j.pass(time.Second) // 1068
	j.pass(downAfter)
	fir := model.Astray{Backend: "db", Server: "fir", Connections: 1, Since: time.Unix(1068, 0).UTC()}
	j.check(t, oak(4, 64*time.Second), fir)
	j.pass(astrayFor - 1)
	j.check(t, oak(4, 64*time.Second), fir)
	j.pass(1)
	j.check(t)
	// Then it is news again, and counts from there.
	j.total["oak"]++
	j.pass(time.Second)
	if j.pass(downAfter); len(j.a.news) != 1 || j.a.news[0].Connections != 1 {
		t.Errorf("news %+v", j.a.news)
	}
	if j.pass(time.Second); len(j.a.news) != 0 {
		t.Errorf("told again: %+v", j.a.news)
	}
}

// Who was sent elsewhere with reason, or before all was as agreed, does not count.
func TestNotAstray(t *testing.T) {
	for name, do := range map[string]func(*judged){
		"within the first moments": func(j *judged) {
			j.right = false
			j.pass(time.Second)
			j.right = true
			j.pass(time.Second)
			j.total["oak"]++
			j.pass(astrayAfter - 1)
			j.total["oak"]++ // the last try of one who came before
			j.pass(1)
		},
		"while it was not as agreed": func(j *judged) {
			j.right = false
			j.total["oak"]++
			j.pass(time.Second)
			j.right = true
			j.pass(time.Second)
			j.pass(astrayAfter)
		},
		"the active was down for a moment": func(j *judged) {
			j.total["oak"] += 3
			j.downs++
			j.pass(time.Second)
			j.pass(astrayAfter)
		},
		"the active died, and the checks say so later": func(j *judged) {
			j.total["oak"] += 3
			j.pass(time.Second)
			j.total["oak"]++
			j.pass(downAfter - 1)
			j.right = false
			j.pass(1)
			j.right, j.downs = true, 1
			j.pass(time.Hour)
			j.pass(astrayAfter)
		},
		"another decision": func(j *judged) {
			j.total["oak"]++
			j.want.Active, j.want.Version.Epoch = "oak", 4
			j.pass(time.Second)
			j.pass(astrayAfter)
			j.total["oak"]++
			j.pass(time.Second)
		},
		"another process": func(j *judged) {
			j.proc.Pid, j.total["oak"] = 8, 50
			j.pass(time.Second)
			j.pass(astrayAfter)
		},
		"a server that is new": func(j *judged) {
			j.total["ash"] = 9
			j.pass(time.Second)
		},
		"counters that were cleared": func(j *judged) {
			j.total["oak"] = 0
			j.pass(time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			j := newJudged()
			do(j)
			j.pass(downAfter)
			j.check(t)
			if j.want.Active == "elm" {
				j.total["oak"]++
				j.pass(time.Second)
				if j.pass(downAfter); len(j.a.told()) != 1 {
					t.Error("and what comes later is not told either: this test shows nothing")
				}
			}
		})
	}
}

// What was told goes with the decision and with the process.
func TestAstrayIsForgotten(t *testing.T) {
	for name, do := range map[string]func(*judged){
		"another decision": func(j *judged) { j.want.Version.Epoch++ },
		"another process":  func(j *judged) { j.proc.Pid++ },
		"a forced node":    func(j *judged) { j.want.Active = "fir" },
	} {
		j := newJudged()
		j.total["oak"]++
		j.pass(time.Second)
		j.pass(downAfter)
		if len(j.a.told()) == 0 {
			t.Fatal("not told")
		}
		do(j)
		if j.pass(time.Second); len(j.a.told()) != 0 {
			t.Errorf("%s: told still", name)
		}
	}
}

// Where the tables are written back again and again while this daemon corrects them, what
// connections do is judged all the same; where it corrects nothing, HAProxy is right to do
// what it does.
func TestAstrayInADuel(t *testing.T) {
	for _, corrects := range []bool{true, false} {
		p := newTestProxy(t)
		now := time.Unix(1000, 0)
		p.pace.wrong = now.Add(-time.Hour)
		total := int64(0)
		var l *published.Look
		for range 20 {
			now, total = now.Add(time.Second), total+1
			l = &published.Look{}
			p.judge(&turn{
				now: now, full: true, look: l, want: mandate.Want{Known: true, Active: "pxc-1", MayWrite: corrects},
				obs:  plan.Observed{Servers: map[string]map[string]plan.ServerNow{"galera-nodes": {}}},
				snap: &runtimeapi.Snapshot{Stats: []runtimeapi.ServerStat{{Backend: "galera-nodes", Server: "pxc-0", TotalSessions: total}}},
			})
		}
		if told := len(l.Astray) > 0; told != corrects {
			t.Errorf("it corrects %v: %+v", corrects, l.Astray)
		}
	}
}
