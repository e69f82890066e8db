package gcomm

import (
	"fmt"
	"time"
)

// modelSubject is the model as the subject of a script.
type modelSubject struct {
	c       *Cluster
	roles   [3]int
	uuids   [3]string
	writing [3]bool
	commits [3][]time.Duration
}

// NewSubject returns a model of three nodes with one vote each to play scripts on.
func NewSubject(seed uint64) Subject {
	node := Node{Opening: opening}
	c := New(Config{Seed: seed, Nodes: []Node{node, node, node}})
	s := &modelSubject{c: c, roles: [3]int{0, 1, 2}}
	if c.Observe(0).UUID > c.Observe(1).UUID {
		s.roles = [3]int{1, 0, 2}
	}
	c.Run(c.between(0, time.Second)) // the timers stand anywhere
	return s
}

// boot is how long a node takes on the lab from its start until it looks for its group: the recovery of its position,
// which the lab runs first, and mariadbd's own start.
// opening is mariadbd's way from there.
const (
	boot    = 900 * time.Millisecond
	opening = 2 * time.Second
)

func (s *modelSubject) Roles() [3]int         { return s.roles }
func (s *modelSubject) Now() time.Duration    { return s.c.Now() }
func (s *modelSubject) Sleep(d time.Duration) { s.c.Run(d) }

func (s *modelSubject) Do(do Verb, at, of, n int) error {
	c := s.c
	ok := true
	switch do {
	case Kill:
		c.Kill(at)
	case Hang:
		c.Hang(at)
	case Resume:
		c.Resume(at)
	case Stop:
		c.Shutdown(at)
		c.Run(time.Second)
	case Start:
		c.Start(at, boot)
	case Isolate:
		c.Isolate(at, true)
	case CutLink:
		c.Link(at, of, false)
		c.Link(of, at, false)
	case Heal:
		c.HealAll()
	case Evict:
		ok = c.SetTimers(at, func(t *Timers) { t.JoinRetrans = 100 * time.Millisecond }) && c.Evict(at, s.uuids[of])
	case EvictSlow:
		ok = c.Evict(at, s.uuids[of])
	case Clear:
		ok = c.Clear(at)
	case SetWeight:
		ok = c.SetWeight(at, n)
	default:
		ok = false
	}
	if !ok {
		return fmt.Errorf("%s cannot be done on node %d", do, at)
	}
	return nil
}

func (s *modelSubject) Observe(node int) Observation {
	o := s.c.Observe(node)
	if o.UUID != "" {
		s.uuids[node] = o.UUID
	}
	return o
}

func (s *modelSubject) Write(node int, on bool) {
	was := s.writing[node]
	s.writing[node] = on
	if on && !was {
		s.write(node)
	}
}

func (s *modelSubject) write(node int) {
	if !s.writing[node] {
		return
	}
	s.c.Commit(node, func(ok bool) {
		if ok {
			s.commits[node] = append(s.commits[node], s.c.Now())
		}
		s.c.After(5*time.Millisecond, func() { s.write(node) })
	})
}

func (s *modelSubject) Gap(node int, since time.Duration) time.Duration {
	return longestGap(s.commits[node], since, s.c.Now())
}

func longestGap(commits []time.Duration, since, until time.Duration) time.Duration {
	last, most := since, time.Duration(0)
	for _, at := range commits {
		if at > last {
			most, last = max(most, at-last), at
		}
	}
	return max(most, until-last)
}

func (s *modelSubject) Read(node int) func() (time.Duration, bool) {
	begin := s.c.Now()
	var took time.Duration
	ended := false
	s.c.Read(node, func(bool) { took, ended = s.c.Now()-begin, true })
	return func() (time.Duration, bool) {
		if !ended {
			return s.c.Now() - begin, false
		}
		return took, true
	}
}
