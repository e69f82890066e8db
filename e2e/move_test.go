package e2e

import (
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
	"github.com/haproxy-peers/haproxy-peers/e2e/stack"
)

// Nothing happens: nothing moves, nothing is written, nothing is closed.
func TestSteady(t *testing.T) {
	s := begin(t, stack.Options{})
	before := s.active(s.PX[0])
	s.start(lab.LoadConfig{ReconnectEvery: 5})
	s.must(s.load.WaitFlowing(s.ctx))
	wait(s.ctx, 3*time.Second)
	log := s.finish(expect{path: []string{"db1"}, twoWriters: 0, after: "", outage: time.Second})
	s.allRight(log.Wrong(0, "db1"), "nothing happens")
	s.unchanged(before)
}

// A move at once under load: every proxy moves within the bound, and connections that start after haproxyctl has said
// that all have converged go to the new node, every one. Two writers for as long as the proxies differ in one move.
func TestActiveSetUnderLoad(t *testing.T) {
	const perMove = 150 * time.Millisecond
	s := begin(t, stack.Options{})
	s.start(lab.LoadConfig{ReconnectEvery: 1, Rate: 100})
	moves := []string{"db2", "db0", "db2"}
	for _, node := range moves {
		s.load.Mark("set")
		start := time.Now()
		r, err := s.Set(s.ctx, s.PX[1], node, "--drain", "immediate")
		s.must(err)
		took := time.Since(start)
		moved := s.load.Mark("moved")
		s.must(s.load.WaitNode(s.within(10*time.Second), node))
		wait(s.ctx, time.Second) // a connection that went elsewhere, or a bounce, would show now
		log := s.load.Snapshot()
		t.Logf("active set %s: epoch %d, %v until haproxyctl said converged, two writers so far %v", node, r.Epoch, took, log.TwoWriters().Total)
		s.allRight(log.Wrong(moved, node), "after the move to "+node)
	}
	s.finish(expect{path: append([]string{"db1"}, moves...), twoWriters: time.Duration(len(moves)) * perMove, after: "set", outage: time.Second})
}
