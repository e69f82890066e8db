package lab

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// at makes a commit begun and acknowledged at times in ms.
func at(node string, start, ack int, seqno int64) Commit {
	return Commit{Via: "px0", Node: node, Start: ms2(start), Ack: ms2(ack), Seqno: seqno}
}

// broken makes a transaction that failed at a stage.
func broken(node string, start, end int, stage Stage) Commit {
	c := at(node, start, end, 0)
	c.Err, c.Failed = "broken", stage
	return c
}

func TestHandOver(t *testing.T) {
	direct := at("b", 0, 1, 1)
	direct.Via = "direct:b"
	for _, test := range []struct {
		name    string
		commits []Commit
		want    HandOver
		inOrder bool
	}{
		{"in order", []Commit{at("a", 0, 10, 5), at("a", 10, 20, 6), at("b", 40, 50, 7), at("b", 50, 60, 8)},
			HandOver{ms2(20), ms2(50), 6, 7, 0}, true},
		{"acknowledged the wrong way round, committed in order",
			[]Commit{at("a", 0, 20, 5), at("b", 5, 15, 6)}, HandOver{ms2(20), ms2(15), 5, 6, 0}, true},
		{"acknowledged in order, committed the wrong way round",
			[]Commit{at("a", 0, 20, 6), at("b", 5, 25, 5)}, HandOver{ms2(20), ms2(25), 6, 5, 0}, false},
		{"a direct client", []Commit{direct, at("a", 0, 10, 5), at("b", 20, 30, 7)},
			HandOver{ms2(10), ms2(30), 5, 7, 0}, true},
		{"a session that was closed before its seqno was read, placed by time",
			[]Commit{at("a", 0, 10, 5), at("a", 5, 18, 0), at("b", 20, 30, 7)}, HandOver{ms2(18), ms2(30), 5, 7, 0}, true},
		{"not placed by time", []Commit{at("a", 0, 10, 5), at("a", 5, 22, 0), at("b", 20, 30, 7)},
			HandOver{ms2(22), ms2(30), 5, 7, 1}, false},
		{"on the new node, placed by time", []Commit{at("a", 0, 10, 5), at("b", 11, 14, 0), at("b", 20, 30, 7)},
			HandOver{ms2(10), ms2(14), 5, 7, 0}, true},
		{"on the new node, not placed", []Commit{at("a", 0, 10, 5), at("b", 9, 14, 0), at("b", 20, 30, 7)},
			HandOver{ms2(10), ms2(14), 5, 7, 1}, false},
		{"a commit without an answer may come late",
			[]Commit{at("a", 0, 10, 5), broken("a", 1, 12, AtCommit), at("b", 20, 30, 7)},
			HandOver{ms2(10), ms2(30), 5, 7, 1}, false},
		{"a packet without an answer, too",
			[]Commit{at("a", 0, 10, 5), broken("", 1, 12, ""), at("b", 20, 30, 7)}, HandOver{ms2(10), ms2(30), 5, 7, 1}, false},
		{"a transaction that was lost before its commit was rolled back",
			[]Commit{at("a", 0, 10, 5), broken("a", 1, 12, AtStatement), broken("", 1, 12, AtConnect), at("b", 20, 30, 7)},
			HandOver{ms2(10), ms2(30), 5, 7, 0}, true},
		{"no seqnos", []Commit{at("a", 0, 10, 0), at("b", 20, 30, 0)}, HandOver{ms2(10), ms2(30), 0, 0, 2}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := &Log{Commits: test.commits, End: time.Second}
			got, ok := l.HandOver("a", "b")
			if diff := cmp.Diff(test.want, got); !ok || diff != "" {
				t.Errorf("found %v: %s", ok, diff)
			}
			if got.InOrder() != test.inOrder || got.Pause() != test.want.FirstNew-test.want.LastOld {
				t.Errorf("in order %v, pause %v", got.InOrder(), got.Pause())
			}
		})
	}
	if _, ok := (&Log{Commits: []Commit{at("a", 0, 1, 1)}}).HandOver("a", "b"); ok {
		t.Error("a hand-over to a node without a commit")
	}
}

func TestBetweenAndFailures(t *testing.T) {
	back := broken("", 90, 95, AtConnect)
	l := &Log{
		End:   ms2(1000),
		Marks: []Mark{{"move", ms2(100)}, {"moved", ms2(200)}},
		Commits: []Commit{
			back, at("a", 90, 99, 1), broken("a", 90, 110, AtStatement), broken("", 100, 120, AtConnect),
			broken("", 100, 130, AtBegin), broken("a", 100, 140, AtCommit), broken("", 100, 150, ""),
			at("b", 150, 180, 2), at("a", 300, 400, 3),
		},
		Connections: []Connection{
			{Via: "px0", Start: ms2(10), Greeted: ms2(11)},
			{Via: "px0", Start: ms2(20), Greeted: ms2(21), End: ms2(50)},
			{Via: "px0", Start: ms2(95), Greeted: ms2(185), End: ms2(300)},
			{Via: "px0", Start: ms2(110), End: ms2(120), Err: "refused"},
			{Via: "direct:a", Start: ms2(110), End: ms2(199), Err: "refused"},
			{Via: "px0", Start: ms2(500), Greeted: ms2(700)},
		},
	}
	want := Failures{Connections: 1, NoConnection: 1, Begins: 1, Statements: 1, Commits: 1, Unknown: 1}
	if diff := cmp.Diff(want, l.Failures("move", "moved")); diff != "" || want.Transactions() != 4 {
		t.Errorf("%s %d", diff, want.Transactions())
	}
	if all := l.Failures("", ""); all.NoConnection != 2 {
		t.Errorf("whole run: %+v", all)
	}
	part := l.Between("move", "moved")
	if len(part.Commits) != 6 || len(part.Connections) != 4 || part.End != ms2(200) {
		t.Errorf("%d commits, %d connections, end %v", len(part.Commits), len(part.Connections), part.End)
	}
	if h, ok := l.Between("", "moved").HandOver("a", "b"); !ok || h.LastOld != ms2(99) || h.FirstNew != ms2(180) {
		t.Errorf("%+v %v", h, ok)
	}
	if wait, c := l.LongestGreeting("move", "moved"); wait != ms2(90) || c.Start != ms2(95) {
		t.Errorf("%v %+v", wait, c)
	}
	if wait, _ := l.LongestGreeting("", ""); wait != ms2(200) {
		t.Errorf("%v in the whole run", wait)
	}
	l.Commits[7].Got = ms2(175)
	if wait, c := l.LongestWait("move", "moved"); wait != ms2(25) || c.Seqno != 2 {
		t.Errorf("%v %+v", wait, c)
	}
}

func TestGTIDSeqno(t *testing.T) {
	for gtid, want := range map[string]int64{"0-1-1209": 1209, "": 0, "0-0-0": 0, "0-1-x": 0,
		"00000000-0000-0000-0000-000000000000:-1": 0} {
		if got := gtidSeqno(gtid); got != want {
			t.Errorf("%q: %d, want %d", gtid, got, want)
		}
	}
}
