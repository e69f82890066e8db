package gcomm

import (
	"fmt"
	"testing"
	"time"
)

// The group is well and a causal read hangs all the same: the applier of that node is at DDL or a long transaction. The
// node shows it, and the others' reads return.
func TestBusyApplier(t *testing.T) {
	c := lab(1, 3)
	c.Busy(0, true)
	for n := range 3 {
		commit(c, n)
	}
	c.Run(50 * time.Millisecond)
	here, there := read(c, 0), read(c, 1)
	c.Run(3 * time.Second)
	if here() || !there() {
		t.Errorf("busy: read ended %t, on another node %t", here(), there())
	}
	if o := c.Observe(0); o.Applier < 3*time.Second || o.Queue == 0 || o.Status != Primary || o.LocalState != StateSynced {
		t.Errorf("busy: %+v", o)
	}
	if o := c.Observe(1); o.Applier != 0 || o.Queue != 0 {
		t.Errorf("not busy: %+v", o)
	}
	c.Busy(0, false)
	c.Run(10 * time.Millisecond)
	if o := c.Observe(0); !here() || o.Queue != 0 || o.Applier != 0 {
		t.Errorf("busy no longer: read ended %t, %+v", here(), o)
	}
}

// One live node throttles all: commits hang on every node, and the group is well, so that causal reads return.
func TestFlowControl(t *testing.T) {
	c := lab(2, 3)
	c.Throttle(2, true)
	c.Run(time.Second)
	done, asked := commit(c, 0), read(c, 0)
	c.Run(3 * time.Second)
	if done() || !asked() || !c.Observe(0).Paused || !c.Observe(1).Paused {
		t.Errorf("throttled: commit %t, read %t, %+v", done(), asked(), c.Observe(0))
	}
	c.Throttle(2, false)
	c.Run(10 * time.Millisecond)
	if !done() || c.Observe(0).Paused {
		t.Errorf("throttled no longer: commit %t, %+v", done(), c.Observe(0))
	}
	c.Throttle(2, true)
	late := commit(c, 0)
	c.Kill(2)
	c.Run(10 * time.Second)
	if c.Observe(0).Paused {
		t.Error("a dead node throttles")
	}
	if !late() {
		t.Error("a commit that waited for flow control was forgotten")
	}
}

// What the ports of a process answer: refused when it is dead, silent when it hangs, and of a process whose group layer
// has ended only the SQL port speaks.
func TestAnswers(t *testing.T) {
	c := lab(3, 3)
	c.Kill(1)
	c.Hang(2)
	for n, want := range []Answer{Speaks, Refused, Silent} {
		if o := c.Observe(n); o.Answer != want || o.Group != want {
			t.Errorf("node %d: %s and %s, expected %s", n, o.Answer, o.Group, want)
		}
	}
	c.Resume(2)
	c.Start(1, time.Second)
	c.Run(900 * time.Millisecond)
	if o := c.Observe(1); o.Group != Refused {
		t.Errorf("booting: %+v", o)
	}
	c.Run(200 * time.Millisecond)
	if o := c.Observe(1); o.Group != Speaks || o.Answer != Refused || o.UUID == "" {
		t.Errorf("joining: %+v", o)
	}
	c.Run(15 * time.Second)
	if o := c.Observe(1); o.Group != Speaks || o.Answer != Speaks || o.LocalState != StateSynced {
		t.Errorf("joined: %+v", o)
	}
}

// An arbitrator has a vote and no data: it keeps a component of two primary, and takes no commit and no read.
func TestArbitrator(t *testing.T) {
	c := New(Config{Seed: 4, Nodes: []Node{{}, {}, {Arbitrator: true}}})
	c.Run(time.Second)
	c.Kill(1)
	c.Run(100 * time.Millisecond)
	evictAt(t, c, 0, 1)
	c.Run(time.Second)
	if o := c.Observe(0); o.Status != Primary || o.Size != 2 || o.Weight != 2 {
		t.Fatalf("one node and an arbitrator: %+v", o)
	}
	there, here := commit(c, 2), commit(c, 0)
	asked := read(c, 2)
	c.Run(time.Second)
	if there() || asked() || !here() || c.Observe(2).Answer == Speaks || c.Observe(2).Group != Speaks {
		t.Errorf("an arbitrator takes a commit %t or a read %t, the node a commit %t; %+v", there(), asked(), here(), c.Observe(2))
	}
}

// A long state transfer: the joiner is state 1 and the donor state 2 until it is over, then both are synced and have the
// same commits.
func TestStateTransfer(t *testing.T) {
	c := New(Config{Seed: 5, Nodes: []Node{{}, {}, {Transfer: 20 * time.Second, Opening: 5 * time.Second}}})
	c.Run(time.Second)
	c.Kill(2)
	c.Run(8 * time.Second)
	commit(c, 0)
	c.Start(2, 500*time.Millisecond)
	for c.Observe(2).LocalState != StateJoiner {
		c.Run(10 * time.Millisecond)
	}
	commit(c, 1)
	c.Run(time.Second)
	states := fmt.Sprint(c.Observe(0).LocalState, c.Observe(1).LocalState, c.Observe(2).LocalState)
	if states != "2 4 1" && states != "4 2 1" {
		t.Errorf("states %s during the transfer", states)
	}
	c.Run(30 * time.Second)
	for n := range 3 {
		if got := c.Observe(n).LocalState; got != StateSynced {
			t.Errorf("node %d ends in state %d", n, got)
		}
	}
	if !c.Same() {
		t.Error("the nodes differ")
	}
}

// The same seed and the same calls give the same history, message by message.
func TestSameSeedSameHistory(t *testing.T) {
	play := func() string {
		c := New(Config{Seed: 6, Nodes: make([]Node, 4), Slow: 0.1})
		trace := ""
		for i := range 40 {
			c.Run(time.Duration(i*37) * time.Millisecond)
			switch i % 5 {
			case 0:
				c.Isolate(i%4, true)
			case 1:
				c.HealAll()
			case 2:
				c.Hang((i + 1) % 4)
			case 3:
				c.Resume(i % 4)
			}
			commit(c, i%4)
			trace += fmt.Sprintln(c.count, c.Now(), c.Observe(0), c.Observe(3))
		}
		return trace
	}
	first, second := play(), play()
	if first != second {
		t.Error("two histories of one seed differ")
	}
}

// A commit is acknowledged only when every member has it: with one member cut off none is, though most are there.
func TestCommitNeedsEveryMember(t *testing.T) {
	c := lab(7, 5)
	c.Isolate(4, true)
	done := commit(c, 0)
	c.Run(4 * time.Second)
	if done() {
		t.Error("acknowledged without one member")
	}
	c.Run(5 * time.Second)
	if !done() || c.Observe(0).Size != 4 {
		t.Errorf("not acknowledged in the next view: %t, %+v", done(), c.Observe(0))
	}
}

// Slow messages alone change no view.
func TestLatencyIsNoFault(t *testing.T) {
	c := New(Config{Seed: 8, Nodes: make([]Node, 3), Slow: 0.2, Late: 200 * time.Millisecond})
	c.Run(time.Minute)
	for n := range 3 {
		if o := c.Observe(n); o.ConfID != 1 || o.Status != Primary {
			t.Errorf("node %d: %+v", n, o)
		}
	}
}

// A timer that is changed while it runs counts: a lower suspect timeout makes the floor lower.
func TestTimersAtRunTime(t *testing.T) {
	c := lab(9, 3)
	for n := range 3 {
		c.SetTimers(n, func(t *Timers) { t.Suspect, t.Inactive, t.Check = 2*time.Second, 5*time.Second, time.Millisecond })
		if c.Timers(n).Check != DefaultTimers.Check {
			t.Error("the check period cannot be changed at run time")
		}
	}
	c.Kill(2)
	c.Run(4 * time.Second)
	if o := c.Observe(0); o.Size != 2 {
		t.Errorf("after 4 s: %+v", o)
	}
}
