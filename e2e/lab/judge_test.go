package lab

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// parse makes a log out of words like "px0:db1@10" (acknowledged at 10 ms, begun 1 ms before) and "px0:!@12" (failed).
func parse(text string) *Log {
	l := &Log{End: 10 * time.Second}
	for i, word := range strings.Fields(text) {
		at := strings.LastIndexByte(word, '@')
		colon := strings.LastIndexByte(word[:at], ':')
		ms, err := strconv.Atoi(word[at+1:])
		if err != nil {
			panic(err)
		}
		c := Commit{Via: word[:colon], Node: word[colon+1 : at], Seq: int64(i), Ack: ms2(ms), Start: ms2(ms - 1)}
		if c.Node == "!" {
			c.Node, c.Err = "", "broken"
		}
		l.Commits = append(l.Commits, c)
		if !slices.Contains(l.Vias, c.Via) {
			l.Vias = append(l.Vias, c.Via)
		}
	}
	l.sorted()
	return l
}

func ms2(n int) time.Duration { return time.Duration(n) * time.Millisecond }

func TestOutage(t *testing.T) {
	for _, test := range []struct {
		name, log string
		end       int
		mark      int
		want      int
	}{
		{"between two commits", "px0:a@100 px0:a@150 px0:b@950 px0:b@960", 970, 0, 800},
		{"failures do not count", "px0:a@100 px0:!@300 px0:!@600 px0:b@700", 700, 0, 600},
		{"other proxies do not count", "px0:a@100 px1:a@300 px0:a@500", 500, 0, 400},
		{"before the first commit is no outage", "px0:a@900 px0:a@910", 920, 0, 10},
		{"to the end", "px0:a@100 px0:a@110", 5000, 0, 4890},
		{"nothing at all", "px1:a@100", 700, 0, 700},
		{"the gap that spans the mark counts in full", "px0:a@100 px0:a@1000", 1000, 500, 900},
		{"gaps before the mark do not count", "px0:a@100 px0:a@1000 px0:a@1010 px0:a@1030", 1030, 1005, 20},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := parse(test.log)
			l.End = ms2(test.end)
			l.Marks = []Mark{{"event", ms2(test.mark)}}
			if got := l.OutageAfter("px0", "event"); got != ms2(test.want) {
				t.Errorf("outage %v, want %v", got, ms2(test.want))
			}
		})
	}
}

func TestFloorAndWorst(t *testing.T) {
	l := parse("px0:a@0 px1:a@0 direct:b:b@0 direct:c:c@0 direct:c:c@300 direct:b:b@400 px0:b@500 px1:b@800")
	l.End = ms2(800)
	for _, via := range []string{"px0", "direct:b", "direct:c"} { // no gap at the end, which is not meant here
		l.Commits = append(l.Commits, Commit{Via: via, Node: "b", Ack: ms2(800)})
	}
	l.Commits = slices.DeleteFunc(l.Commits, func(c Commit) bool { return c.Ack == 0 && c.Via == "" })
	if floor, ok := l.Floor(""); !ok || floor != ms2(400) {
		t.Errorf("floor %v %v", floor, ok)
	}
	if via, worst := l.Worst(""); via != "px1" || worst != ms2(800) {
		t.Errorf("worst %s %v", via, worst)
	}
	if _, ok := parse("px0:a@1").Floor(""); ok {
		t.Error("a floor without a direct client")
	}
}

func TestTwoWritersAndPaths(t *testing.T) {
	// run is a node's commits every 10 ms.
	run := func(via, node string, from, to int) string {
		var b strings.Builder
		for ms := from; ms <= to; ms += 10 {
			fmt.Fprintf(&b, "%s:%s@%d ", via, node, ms)
		}
		return b.String()
	}
	for _, test := range []struct {
		name, log string
		total     int
		longest   int
		strays    int
		path      string
		settled   string
	}{
		{"one node", run("px0", "a", 0, 500), 0, 0, 0, "a", "a"},
		{"a failover with a pause", run("px0", "a", 0, 500) + run("px0", "b", 3000, 3500), 0, 0, 0, "a b", "a b"},
		{"a clean move", run("px0", "a", 0, 500) + run("px0", "b", 505, 900), 0, 0, 0, "a b", "a b"},
		{"a move with 23 ms of both", run("px0", "a", 0, 500) + run("px1", "b", 477, 900),
			23, 23, 3, "a b a b a b a b", "a b"},
		{"there and back", run("px0", "a", 0, 500) + run("px0", "b", 510, 1000) + run("px0", "a", 1010, 1500),
			0, 0, 0, "a b a", "a b a"},
		{"one stray commit", run("px0", "b", 0, 500) + "px1:a@255 ", 0, 0, 1, "b a b", "b"},
		{"one proxy stays behind", run("px0", "a", 0, 900) + run("px1", "b", 405, 905),
			495, 495, 50, "", "a b"},
		{"direct clients never count", run("px0", "a", 0, 500) + run("direct:b", "b", 0, 500), 0, 0, 0, "a", "a"},
		{"two separate overlaps", run("px0", "a", 0, 100) + run("px0", "b", 95, 700) + run("px0", "c", 690, 900),
			5 + 5, 5, 1 + 1, "", "a b c"},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := parse(test.log)
			two := l.TwoWriters()
			if two.Total != ms2(test.total) || two.Longest != ms2(test.longest) || two.Strays != test.strays {
				t.Errorf("two writers %v, longest %v, %d strays; want %v, %v, %d",
					two.Total, two.Longest, two.Strays, ms2(test.total), ms2(test.longest), test.strays)
			}
			if got := strings.Join(l.Path(""), " "); test.path != "" && got != test.path {
				t.Errorf("path %q, want %q", got, test.path)
			}
			if got := strings.Join(l.SettledPath(""), " "); got != test.settled {
				t.Errorf("settled path %q, want %q", got, test.settled)
			}
		})
	}
}

// TestTwoWritersAgainstSampling compares the sweep with a dumb second implementation: count the milliseconds in whose
// middle runs of two nodes are open.
func TestTwoWritersAgainstSampling(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &Log{}
		for i := range rapid.IntRange(0, 60).Draw(t, "commits") {
			l.Commits = append(l.Commits, Commit{
				Via: "px0", Seq: int64(i),
				Node: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "node"),
				Ack:  ms2(rapid.IntRange(0, 3000).Draw(t, "ack")),
			})
		}
		l.sorted()
		want := 0
		for ms := range 3000 {
			middle := ms2(ms) + time.Millisecond/2
			nodes := map[string]bool{}
			for _, a := range l.Commits {
				for _, b := range l.Commits {
					// Both sides of this moment, at most a gap apart from one commit of the node to its next.
					if a.Node == b.Node && a.Ack < middle && b.Ack > middle && b.Ack-a.Ack <= writerGap {
						nodes[a.Node] = true
					}
				}
			}
			if len(nodes) > 1 {
				want++
			}
		}
		if got := l.TwoWriters().Total; got != ms2(want) {
			t.Fatalf("two writers for %v, sampled %v", got, ms2(want))
		}
	})
}

func TestWrongAndMissing(t *testing.T) {
	l := &Log{Connections: []Connection{
		{Via: "px0", Start: ms2(1), Node: "a"},
		{Via: "px0", Start: ms2(10), Node: "a"},
		{Via: "px1", Start: ms2(11), Node: "b"},
		{Via: "px1", Start: ms2(12), Err: "refused"},
		{Via: "direct:a", Start: ms2(13), Node: "a"},
	}}
	want := []Connection{{Via: "px0", Start: ms2(10), Node: "a"}}
	if diff := cmp.Diff(want, l.Wrong(ms2(10), "b")); diff != "" {
		t.Error(diff)
	}

	l = parse("px0:a@1 px0:!@2 px1:b@3 direct:c:c@4")
	rows := map[Key]string{}
	for _, c := range l.Commits {
		if c.Acked() {
			rows[c.Key()] = c.Node
		}
	}
	if missing := l.Missing(rows); len(missing) != 0 {
		t.Errorf("missing %v", missing)
	}
	delete(rows, Key{"px1", 0, 2})
	delete(rows, Key{"direct:c", 0, 3})
	if missing := l.Missing(rows); len(missing) != 2 {
		t.Errorf("missing %v", missing)
	}
	if wrong := l.WrongCommits(ms2(1), "b"); len(wrong) != 0 {
		t.Errorf("wrong %v", wrong)
	}
	if wrong := l.WrongCommits(0, "b"); len(wrong) != 1 || wrong[0].Node != "a" {
		t.Errorf("wrong %v", wrong)
	}
}

func TestNodeOfGreeting(t *testing.T) {
	version := "5.5.5-10.11.19-MariaDB-0+deb12u1-db2"
	greeting := append([]byte{byte(len(version) + 12), 0, 0, 0, 10}, version...)
	greeting = append(greeting, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
	end := 5 + len(version) + 1
	for n := range len(greeting) {
		node, complete := nodeOfGreeting(greeting[:n])
		if complete != (n >= end) || complete && node != "db2" {
			t.Fatalf("after %d bytes: %q %v", n, node, complete)
		}
	}
	if node, complete := nodeOfGreeting([]byte{9, 0, 0, 0, 0xff, 0x10, 4, 'T', 'o', 'o'}); node != "" || !complete {
		t.Errorf("an error packet gave %q %v", node, complete)
	}
}

func TestValidate(t *testing.T) {
	for _, good := range []Config{{}, {ID: "ab12", Nodes: 3, Proxies: 9}} {
		if err := good.Validate(); err != nil {
			t.Errorf("%+v: %v", good, err)
		}
	}
	bad := Config{ID: "a-b", Nodes: 10, Proxies: -1, MaxConnections: 3, Parent: "/nowhere"}
	err := bad.Validate()
	for _, word := range []string{"ID", "Nodes", "Proxies", "MaxConnections", "Parent"} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%v does not name %s", err, word)
		}
	}
	if err := (LoadConfig{}).Validate(); err != nil {
		t.Error(err)
	}
	err = LoadConfig{Clients: -1, Rate: 5000, ReconnectEvery: -1, Hold: -1}.Validate()
	for _, word := range []string{"Clients", "Rate", "ReconnectEvery", "Hold"} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%v does not name %s", err, word)
		}
	}
}
