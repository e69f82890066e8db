package donor

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// steadily are commits of one node, every 100 ms.
func steadily(node string, from, to int) (out []lab.Commit) {
	for at := from; at <= to; at += 100 {
		out = append(out, lab.Commit{Via: "px0", Seq: int64(at), Node: node, Start: ms(at - 50), Got: ms(at - 50), Ack: ms(at)})
	}
	return out
}

// failing is a transaction that failed at a time.
func failing(stage lab.Stage, node string, got, at int) lab.Commit {
	return lab.Commit{Via: "px0", Seq: int64(at), Node: node, Start: ms(got), Got: ms(got), Ack: ms(at), Err: "broken", Failed: stage}
}

// logOf is a log of one rejoin: killed at 1 s, back at 3 s, over at 8 s.
func logOf(commits ...[]lab.Commit) *lab.Log {
	log := &lab.Log{Vias: []string{"px0"}, End: ms(8000), Commits: slices.Concat(commits...),
		Marks: []lab.Mark{{Name: "killed 0", At: ms(1000)}, {Name: "returned 0", At: ms(3000)}, {Name: "over 0", At: ms(8000)}}}
	slices.SortFunc(log.Commits, func(a, b lab.Commit) int { return int(a.Ack - b.Ack) })
	return log
}

func TestJudge(t *testing.T) {
	crash := []api.Decision{{From: "db1", Active: "db0", Kind: model.KindFailover}}
	to := func(kind, node string) []api.Decision { return []api.Decision{{From: "db0", Active: node, Kind: kind}} }
	stayed := [][]lab.Commit{steadily("db1", 0, 950), steadily("db0", 1500, 8000)}
	moved := [][]lab.Commit{steadily("db1", 0, 950), steadily("db0", 1500, 4000), steadily("db2", 4400, 8000)}
	for _, c := range []struct {
		name    string
		commits [][]lab.Commit
		crash   []api.Decision
		donor   []api.Decision
		lost    int
		wrong   []string // a part of each
	}{
		{"stays", stayed, crash, nil, 0, nil},
		{"drained", moved, crash, to(model.KindDeparture, "db2"), 0, nil},
		{"planned", moved, crash, to(model.KindPlanned, "db2"), 0, nil},
		{"a second failover", moved, crash, to(model.KindFailover, "db2"), 0, []string{"a second failover"}},
		{"an adopted second failover", moved, crash, to(model.KindNative, "db2"), 0, []string{"a second failover"}},
		{"HAProxy alone goes elsewhere", moved, crash, nil, 0, []string{"the commits went db1 > db0 > db2"}},
		{"two moves", stayed, crash, append(to(model.KindDeparture, "db2"), to(model.KindDeparture, "db0")...), 0,
			[]string{"2 moves for the donor", "the commits went"}},
		{"no move for the crash", stayed, nil, to(model.KindDeparture, "db0"), 0, []string{"0 moves for the crash"}},
		{"a drained move for the crash", stayed, to(model.KindPlanned, "db0"), nil, 0, []string{"1 moves for the crash"}},
		{"two writers", append(moved, steadily("db0", 4100, 4700)), crash, to(model.KindDeparture, "db2"), 0,
			[]string{"two nodes took commits for 300ms"}},
		{"lost", stayed, crash, nil, 3, []string{"3 acknowledged commits"}},
		{"an open transaction is cut", append(moved, []lab.Commit{failing(lab.AtStatement, "db0", 4000, 4100)}), crash,
			to(model.KindDeparture, "db2"), 0, []string{"1 transactions failed at the donor's time"}},
		{"a COMMIT stood still while rsync copied", append(moved, []lab.Commit{failing(lab.AtCommit, "db0", 4000, 4100)}), crash,
			to(model.KindDeparture, "db2"), 0, nil},
		{"no connection", append(moved, []lab.Commit{failing(lab.AtConnect, "", 0, 4100)}), crash,
			to(model.KindDeparture, "db2"), 0, []string{"1 transactions failed at the donor's time"}},
		{"a close meets a BEGIN", append(moved, []lab.Commit{failing(lab.AtBegin, "", 4000, 4100)}), crash,
			to(model.KindDeparture, "db2"), 0, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := judge(Core, logOf(c.commits...), []round{{killed: "db1", donor: "db0", atCrash: c.crash, atDonor: c.donor}}, c.lost)
			if len(r.Wrong) != len(c.wrong) {
				t.Fatalf("%q, expected %q", r.Wrong, c.wrong)
			}
			for i, part := range c.wrong {
				if !strings.Contains(r.Wrong[i], part) {
					t.Errorf("%q, expected %q", r.Wrong, c.wrong)
				}
			}
		})
	}
}

// What had begun when the crash was noticed could not be saved; what was begun after that could. Each part has its
// own failures and its own longest gap, from its beginning to its end.
func TestFigures(t *testing.T) {
	log := logOf(steadily("db1", 0, 950), steadily("db0", 1500, 4000), steadily("db0", 5200, 8000), []lab.Commit{
		failing(lab.AtCommit, "db1", 900, 1010), failing(lab.AtBegin, "", 1100, 1190), failing(lab.AtBegin, "", 1210, 1300),
		failing(lab.AtBegin, "", 4000, 4100), failing(lab.AtStatement, "db0", 4000, 4200),
	})
	r := judge(Core, log, []round{{killed: "db1", donor: "db0"}}, 0)
	if r.Crash.Failed != 3 || r.Crash.Avoidable != 1 || r.Crash.Gap != ms(500) {
		t.Errorf("crash: %+v", r.Crash)
	}
	if r.Donor.Failed != 2 || r.Donor.Avoidable != 1 || r.Donor.Gap != ms(1200) {
		t.Errorf("donor: %+v", r.Donor)
	}
	other := Core
	other.Transfer = lab.MariaBackup
	cut := logOf(steadily("db0", 0, 8000), []lab.Commit{failing(lab.AtCommit, "db0", 4000, 4050)})
	if got := judge(other, cut, []round{{killed: "db1", donor: "db0"}}, 0); got.Donor.Avoidable != 1 {
		t.Errorf("mariabackup stops no COMMIT for long: %+v", got.Donor)
	}
	silent := logOf(steadily("db1", 0, 950))
	if got := judge(Core, silent, []round{{killed: "db1"}}, 0); got.Crash.Gap != ms(2000) || got.Donor.Gap != ms(5000) {
		t.Errorf("nobody commits any more: %v and %v", got.Crash.Gap, got.Donor.Gap)
	}
}

// Header and rows have the same columns.
func TestRow(t *testing.T) {
	head := strings.Split(Header, "\n")
	row := judge(Core, logOf(), nil, 0).Row()
	if n := strings.Count(head[0], "|"); strings.Count(head[1], "|") != n || strings.Count(row, "|") != n {
		t.Errorf("columns differ:\n%s\n%s", Header, row)
	}
}
