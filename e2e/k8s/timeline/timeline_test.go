package timeline

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

// sample is a failover from pxc-1 to pxc-2 after 30 s, and a lane longer than a line.
func sample() Picture {
	one := &lab.Log{End: 60 * time.Second, Marks: []lab.Mark{{Name: "delete <pxc-1>", At: 30 * time.Second}, {Name: "pxc-1 is back", At: 31 * time.Second}}}
	for ms := 0; ms < 60000; ms += 50 {
		c := lab.Commit{Node: "pxc-1", Ack: time.Duration(ms) * time.Millisecond}
		if ms > 30000 {
			c.Node = "pxc-2"
		}
		if ms > 30000 && ms < 33000 {
			c.Err = "refused"
		}
		one.Commits = append(one.Commits, c)
	}
	long := &lab.Log{End: 250 * time.Second}
	for s := range 250 {
		node := "pxc-0"
		if s/40%2 == 1 {
			node = "pxc-2"
		}
		long.Commits = append(long.Commits, lab.Commit{Node: node, Ack: time.Duration(s)*time.Second + 500*time.Millisecond})
		if s%40 == 0 {
			long.Marks = append(long.Marks, lab.Mark{Name: "delete it", At: time.Duration(s) * time.Second})
		}
	}
	return Picture{Title: "A & B", Lanes: []Lane{{Title: "failover", Note: "3.0 s", Log: one}, {Title: "random", Log: long}}}
}

func TestPicture(t *testing.T) {
	var b strings.Builder
	if err := sample().Write(&b); err != nil {
		t.Fatal(err)
	}
	if path := os.Getenv("TIMELINE_OUT"); path != "" {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	elements := map[string]int{}
	d := xml.NewDecoder(strings.NewReader(b.String()))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok {
			elements[e.Name.Local]++
		}
	}
	// The ground, three nodes in the legend; 58 seconds of the failover have commits (31 and 32 have none), 250 of the other.
	if want := 1 + 3 + 58 + 250; elements["rect"] != want {
		t.Errorf("%d rectangles, want %d", elements["rect"], want)
	}
	for _, text := range []string{"delete &lt;pxc-1&gt;", "A &amp; B", "240 s", "20/s"} {
		if !strings.Contains(b.String(), text) {
			t.Errorf("no %q", text)
		}
	}
	if strings.Count(b.String(), ">delete it<") != 7 {
		t.Errorf("a mark is missing or drawn twice")
	}
}
