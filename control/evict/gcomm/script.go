package gcomm

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Verb is what a step of a script does.
type Verb int

// Verbs. At is the node that a step is about, Of the one whose UUID or link is meant.
const (
	Kill      Verb = iota // SIGKILL
	Hang                  // SIGSTOP
	Resume                // SIGCONT
	Start                 // a new process
	Stop                  // an orderly end
	Isolate               // every packet from and to the other nodes is lost
	CutLink               // every packet between At and Of is lost
	Heal                  // all links carry again
	Evict                 // evs.join_retrans_period=PT0.1S;evs.evict=UUID of Of, told to At
	EvictSlow             // the same without the period
	Clear                 // evs.evict= told to At
	SetWeight             // pc.weight=N of At
	Read                  // a causal read on At begins; Name names it
	Mark                  // gaps between commits are measured from here on
	Unmark                // and until here; Name ends the measurement's name
	Pause                 // nothing but the time of After

	// Conditions: the step waits until they hold, 30 s at most. With a Name the wait is a measurement.

	Joined     // At is Primary, and Synced, in a component of N
	Parted     // At is not Primary
	Settled    // At is OPERATIONAL and Primary in a component of N
	ListsEmpty // the evict list of At is empty
	Ended      // the read that Name names has returned, or 10 s have passed
)

var verbs = [...]string{
	"kill", "hang", "resume", "start", "stop", "isolate", "cut link", "heal", "evict", "evict slowly", "clear", "weigh", "read", "mark",
	"unmark", "pause", "joined", "parted", "settled", "lists empty", "ended",
}

func (v Verb) String() string { return verbs[v] }

// Role names a node of a script. The nodes are numbered before a script begins: V is the last node, R and O are the
// others, R being the one with the smaller UUID, which represents the survivors.
type Role int

// Roles.
const (
	R Role = iota // the representative of the survivors
	O             // the other survivor
	V             // the victim
)

func (r Role) String() string { return [...]string{"R", "O", "V"}[r] }

// Step is one step of a script.
type Step struct {
	// After is the pause before the step.
	After  time.Duration
	Do     Verb
	At, Of Role
	N      int
	Name   string
}

// Script is a course of events for a cluster of three nodes with one vote each.
type Script struct {
	Name string
	// Writers are the nodes that commit all the time.
	Writers []Role
	Steps   []Step
	// Want is what both sides have to end with; the comparison of the two needs none.
	Want map[Role]End
}

// End is the state of a node after a script.
type End struct {
	// State is the status of the component, or "dead" or "hung".
	State string
	// Size is the size of the component, Evicted the roles on the list by their UUIDs of the beginning.
	Size    int
	Evicted []Role
	// Renewed is whether it has another UUID than at the beginning.
	Renewed bool
}

func (e End) String() string {
	return fmt.Sprintf("%s of %d, list %v, renewed %t", e.State, e.Size, e.Evicted, e.Renewed)
}

// Equal compares two ends.
func (e End) Equal(f End) bool {
	return e.State == f.State && e.Size == f.Size && e.Renewed == f.Renewed && slices.Equal(e.Evicted, f.Evicted)
}

// Result is what a script has led to.
type Result struct {
	Ends map[Role]End
	// Took are the measurements: waits and reads by their names, and "gap R" for the longest time without a commit on a
	// node while it was measured.
	Took map[string]time.Duration
}

// Subject is what a script is played on: the model, or a real cluster.
type Subject interface {
	// Roles returns the nodes' numbers in the order of the roles.
	Roles() [3]int
	// Now is a time that only grows.
	Now() time.Duration
	// Sleep lets time pass.
	Sleep(time.Duration)
	// Do does a step that is no condition.
	Do(do Verb, at, of, n int) error
	// Observe reads one process.
	Observe(node int) Observation
	// Write lets a node commit all the time, or no longer.
	Write(node int, on bool)
	// Gap returns the longest time without a commit on a node in an interval that ends now.
	Gap(node int, since time.Duration) time.Duration
	// Read begins a causal read and returns how it is asked for: how long it took, and whether it has ended.
	Read(node int) func() (time.Duration, bool)
}

const (
	waitAtMost = 40 * time.Second
	readAtMost = 10 * time.Second
	pollEvery  = 5 * time.Millisecond
)

// player is one playing of a script.
type player struct {
	Subject
	nodes  [3]int
	first  [3]string // the UUIDs of the beginning
	since  time.Duration
	reads  map[string]func() (time.Duration, bool)
	result Result
	script Script
}

// Play plays a script and returns what it led to. The error names the step that could not be done, or the condition
// that was not met.
func Play(s Script, on Subject) (Result, error) {
	p := &player{
		Subject: on, nodes: on.Roles(), reads: map[string]func() (time.Duration, bool){}, script: s,
		result: Result{Ends: map[Role]End{}, Took: map[string]time.Duration{}},
	}
	for role, node := range p.nodes {
		p.first[role] = on.Observe(node).UUID
	}
	for _, w := range s.Writers {
		p.Write(p.nodes[w], true)
	}
	p.since = on.Now()
	for i, step := range s.Steps {
		p.Sleep(step.After)
		if err := p.step(step); err != nil {
			return p.result, fmt.Errorf("%s: step %d, %s %s: %w", s.Name, i, step.Do, step.At, err)
		}
	}
	for role := range p.nodes {
		p.result.Ends[Role(role)] = p.end(Role(role))
	}
	for _, w := range s.Writers {
		p.Write(p.nodes[w], false)
	}
	return p.result, nil
}

func (p *player) step(s Step) error {
	at := p.nodes[s.At]
	switch s.Do {
	case Pause:
		return nil
	case Mark:
		p.since = p.Now()
		return nil
	case Unmark:
		for _, w := range p.script.Writers {
			p.result.Took["gap "+w.String()+s.Name] = p.Gap(p.nodes[w], p.since)
		}
		return nil
	case Read:
		p.reads[s.Name] = p.Subject.Read(at)
		return nil
	case Ended:
		return p.ended(s.Name)
	case Joined:
		return p.wait(s, func(o Observation) bool {
			return o.Status == Primary && o.LocalState == StateSynced && o.Size == s.N
		})
	case Parted:
		return p.wait(s, func(o Observation) bool { return o.Status != Primary })
	case Settled:
		return p.wait(s, func(o Observation) bool {
			return o.Status == Primary && o.EVS == Operational && o.Size == s.N
		})
	case ListsEmpty:
		return p.wait(s, func(o Observation) bool { return len(o.Evicted) == 0 })
	default:
		return p.Do(s.Do, at, p.nodes[s.Of], s.N)
	}
}

func (p *player) wait(s Step, ok func(Observation) bool) error {
	begin := p.Now()
	for {
		o := p.Observe(p.nodes[s.At])
		if o.Answer == Speaks && ok(o) {
			break
		}
		if p.Now()-begin > waitAtMost {
			return fmt.Errorf("not met, but %+v", o)
		}
		p.Sleep(pollEvery)
	}
	if s.Name != "" {
		p.result.Took[s.Name] = p.Now() - begin
	}
	return nil
}

var errNoRead = errors.New("no such read")

func (p *player) ended(name string) error {
	read, ok := p.reads[name]
	if !ok {
		return errNoRead
	}
	begin := p.Now()
	for {
		took, done := read()
		if done || p.Now()-begin > readAtMost {
			p.result.Took[name] = took
			return nil
		}
		p.Sleep(pollEvery)
	}
}

func (p *player) end(r Role) End {
	o := p.Observe(p.nodes[r])
	switch o.Answer {
	case Refused:
		return End{State: "dead"}
	case Silent:
		return End{State: "hung"}
	}
	e := End{State: o.Status, Size: o.Size, Renewed: o.UUID != "" && o.UUID != p.first[r]}
	for role, uuid := range p.first {
		if slices.Contains(o.Evicted, uuid) {
			e.Evicted = append(e.Evicted, Role(role))
		}
	}
	return e
}
