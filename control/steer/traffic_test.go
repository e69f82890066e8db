package steer

import (
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/published"
)

func TestTraffic(t *testing.T) {
	var tr traffic
	start := time.Now()
	proc := process{Pid: 7, Started: start}
	used := func(after time.Duration, proc process, n published.Node) bool {
		t.Helper()
		nodes := map[string]published.Node{"pxc-0": n}
		tr.note(start.Add(after), proc, nodes)
		return nodes["pxc-0"].Used
	}
	for _, step := range []struct {
		what  string
		after time.Duration
		proc  process
		now   published.Node
		want  bool
	}{
		{"connections of before the first look", 0, proc, published.Node{Total: 5}, false},
		{"nothing came", 100 * time.Millisecond, proc, published.Node{Total: 5}, false},
		{"one came and went between two looks", 200 * time.Millisecond, proc, published.Node{Total: 6}, true},
		{"lately", 2100 * time.Millisecond, proc, published.Node{Total: 6}, true},
		{"not lately any more", 2300 * time.Millisecond, proc, published.Node{Total: 6}, false},
		{"a session is open", 2400 * time.Millisecond, proc, published.Node{Total: 6, Sessions: 1}, true},
		{"and was closed", 2500 * time.Millisecond, proc, published.Node{Total: 6}, false},
		{"some came while nobody looked", 20 * time.Second, proc, published.Node{Total: 60}, false},
		{"another process counts from zero", 20100 * time.Millisecond, process{Pid: 8, Started: start.Add(20 * time.Second)}, published.Node{Total: 70}, false},
	} {
		if got := used(step.after, step.proc, step.now); got != step.want {
			t.Errorf("%s: used %t", step.what, got)
		}
	}
}
