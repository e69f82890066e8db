package load

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

func at(ms int) time.Duration { return time.Duration(ms) * time.Millisecond }

// book reads words like "conn-0:pxc-1@120" (acknowledged at 120 ms) and "pool-1:!statement@130" (failed there) as lines.
func book(t *testing.T, text string) *Book {
	t.Helper()
	b := &Book{}
	add := func(line Line) {
		data, err := json.Marshal(line)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Add(data); err != nil {
			t.Fatal(err)
		}
	}
	add(Line{Header: &Header{Run: "r", Begin: time.Unix(1, 0)}})
	for i, word := range strings.Fields(text) {
		who, rest, _ := strings.Cut(word, ":")
		node, when, _ := strings.Cut(rest, "@")
		c := lab.Commit{Seq: int64(i), Node: node}
		var ms int
		if _, err := fmt.Sscan(when, &ms); err != nil {
			t.Fatal(err)
		}
		via, number, _ := strings.Cut(who, "-")
		if _, err := fmt.Sscan(number, &c.Client); err != nil {
			t.Fatal(err)
		}
		c.Via, c.Ack, c.Start = via, at(ms), at(ms-1)
		if stage, failed := strings.CutPrefix(node, "!"); failed {
			c.Node, c.Err, c.Failed = "", "broken", lab.Stage(stage)
		}
		add(Line{Commit: &c})
	}
	return b
}

func TestJudge(t *testing.T) {
	for _, test := range []struct {
		name, log       string
		from, to        int
		outage, worst   int
		whose, path     string
		two             int
		conn, pool      string
		tested, commits int
	}{
		{name: "quiet", log: "conn-0:a@100 pool-0:a@150 conn-0:a@200 pool-1:a@250", to: 300,
			outage: 100, worst: 150, whose: "pool", path: "a", conn: "0", pool: "0", commits: 4},
		{name: "a failover", log: "conn-0:a@100 conn-0:!@110 pool-0:!statement@120 pool-0:!connect@130 conn-0:b@900 pool-0:b@950", to: 1000,
			outage: 800, worst: 950, whose: "pool", path: "a b",
			conn: "1 in one packet", pool: "1 no connection, 1 in the transaction", tested: 1, commits: 3},
		{name: "one client alone is silent", log: "conn-0:a@100 conn-1:a@200 conn-1:a@400 conn-1:a@600", to: 700,
			outage: 200, worst: 600, whose: "conn-0", path: "a", conn: "0", pool: "0", commits: 4},
		{name: "two writers", log: "conn-0:a@100 conn-1:b@150 conn-0:a@200 conn-1:b@250 conn-1:b@300", to: 300,
			outage: 100, worst: 150, whose: "conn-1", path: "a b", two: 50, conn: "0", pool: "0", commits: 5},
		{name: "what was before does not count", log: "conn-0:a@100 conn-0:b@800 conn-0:b@900", from: 700, to: 1000,
			outage: 100, worst: 100, whose: "conn-0", path: "b", conn: "0", pool: "0", commits: 2},
		{name: "long transactions are silent", log: "conn-0:a@100 long-0:a@900 conn-0:a@950", to: 1000,
			outage: 800, worst: 850, whose: "conn-0", path: "a", conn: "0", pool: "0", commits: 3},
		{name: "written down late", log: "conn-0:a@300 conn-1:a@200", to: 300,
			outage: 200, worst: 300, whose: "conn-0", path: "a", conn: "0", pool: "0", commits: 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := Judge(book(t, test.log).Cut(at(test.from), at(test.to), nil), at(test.from))
			got := fmt.Sprint(v.Outage, v.Worst, v.Whose, v.Path, v.Two.Total, Failed(v.Connections), Failed(v.Pool), v.Pool.Transactions(), v.Commits)
			want := fmt.Sprint(at(test.outage), at(test.worst), test.whose, strings.Fields(test.path), at(test.two), test.conn, test.pool, test.tested, test.commits)
			if got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestLost(t *testing.T) {
	log := book(t, "conn-0:a@100 conn-0:!@110 pool-0:b@120").Cut(0, at(200), nil)
	rows := map[lab.Key]bool{{Via: "conn", Client: 0, Seq: 0}: true}
	lost := Lost(log, rows)
	if len(lost) != 1 || lost[0].Via != "pool" {
		t.Errorf("lost %+v: the pool's commit alone is missing; the failed one was not promised", lost)
	}
	rows[lab.Key{Via: "pool", Client: 0, Seq: 2}] = true
	if lost := Lost(log, rows); len(lost) != 0 {
		t.Errorf("lost %+v", lost)
	}
}

func TestBookRefusesAnotherRun(t *testing.T) {
	b := book(t, "conn-0:a@100")
	err := b.Add([]byte(`{"header":{"run":"other","begin":"2026-01-01T00:00:00Z"}}`))
	if err == nil || !strings.Contains(err.Error(), "replaced") {
		t.Errorf("%v", err)
	}
	for _, bad := range []string{"{", "{}", `{"commit":1}`} {
		if b.Add([]byte(bad)) == nil {
			t.Errorf("%s was taken", bad)
		}
	}
	if n := len(b.Commits()); n != 1 {
		t.Errorf("%d commits", n)
	}
}

func TestConfigNamesEveryMistake(t *testing.T) {
	err := Config{Workers: -1}.Validate()
	for _, want := range []string{"--address", "--user", "--database", "--workers", "--rate", "--timeout"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not named in %v", want, err)
		}
	}
	good := Config{Address: "haproxy:3306", User: "app", Database: "lab", Workers: 1, Rate: 1, Reconnect: 1,
		ConnectTimeout: time.Second, Timeout: time.Second}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
}

func TestFailedWords(t *testing.T) {
	if got := Failed(lab.Failures{Begins: 1, Commits: 2}); got != "1 at begin, 2 at commit" {
		t.Error(got)
	}
	if got := Failed(lab.Failures{}); got != "0" {
		t.Error(got)
	}
}

func TestErrors(t *testing.T) {
	log := book(t, "conn-0:a@100 pool-0:!commit@110 pool-1:!commit@120").Cut(0, at(200), nil)
	for _, port := range []string{"50661", "50662"} {
		log.Connections = append(log.Connections, lab.Connection{Via: ViaConnections, Err: "read udp 10.0.0.1:" + port + "->10.0.0.2:53: refused"})
	}
	got := fmt.Sprint(Errors(log))
	if want := "map[conn: connecting: read udp 10.0.0.2:53: refused:2 pool: commit: broken:2]"; got != want {
		t.Error(got)
	}
}
