package notify

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/published"
)

// lookEvery is the time between two looks at what the loops have published.
const lookEvery = 200 * time.Millisecond

// Config is what a Watcher needs.
type Config struct {
	// Member is this member's name, Born when its process was started: events that it alone sees are numbered from there.
	Member string
	Born   time.Time
	// Look is what the loops know, and Status what the status says of it.
	Look   func() *published.Situation
	Status func() api.Status
	// TwoWriters is for how long two nodes have taken commits at once so far.
	TwoWriters func() time.Duration
	Receivers  []Receiver
	// Count takes each attempt's result (ResultTold and so on).
	Count func(receiver, result string)
	Log   *slog.Logger
}

// Watcher tells the receivers what happens.
type Watcher struct {
	cfg    Config
	queues []*queue

	record  *At
	noticed Noticed
	// ring are the events of the last minute that a leader tells, with when this member saw them.
	ring     []seen
	sequence uint64
	two      time.Duration
	twoAt    time.Time // it was last told, or somebody else was to tell it
}

type seen struct {
	event Event
	at    time.Time
	told  bool
}

// New returns a watcher that does nothing yet.
func New(cfg Config) *Watcher {
	w := &Watcher{cfg: cfg, noticed: Noticed{member: cfg.Member}}
	for _, r := range cfg.Receivers {
		w.queues = append(w.queues, newQueue(r, cfg.Log, cfg.Count))
	}
	return w
}

// Run watches and tells until ctx is done.
func (w *Watcher) Run(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	for _, q := range w.queues {
		all.Go(func() { q.run(ctx) })
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			w.look(time.Now())
		}
	}
}

// look takes what has happened since the last look.
func (w *Watcher) look(now time.Time) {
	sit := w.cfg.Look()
	ag := &sit.Agreement
	if rec := sit.Record; rec != nil && sit.Unread == nil {
		v := ag.Record.Version
		at := At{Record: rec, Recovery: v.Recovery, Epoch: v.Epoch, Revision: v.Revision}
		if w.record == nil || w.record.Recovery != at.Recovery || w.record.Epoch != at.Epoch || w.record.Revision != at.Revision {
			for _, e := range Committed(w.record, at, now) {
				w.ring = append(w.ring, seen{event: e, at: now})
			}
			w.record = &at
		}
	}
	var problems []api.Problem
	if sit.Started {
		problems = w.cfg.Status().Problems
	}
	for _, c := range w.noticed.Note(problems, sit.Started, now) {
		w.notice(c, now)
	}
	if two := w.cfg.TwoWriters(); two-w.two >= steadyTwo && now.Sub(w.twoAt) >= twoEvery {
		if clearest(sit) == w.cfg.Member {
			w.notice(Change{Kind: KindTwoWriters, Text: fmt.Sprintf("two nodes took commits through the proxies at once, for %v since this was last told", (two - w.two).Round(time.Millisecond))}, now)
		}
		w.two, w.twoAt = two, now
	}
	w.tell(ag.IsLeader && ag.Fresh, now)
}

const (
	// steadyTwo is the least time with two writers that is told: below it are the clocks of several nodes.
	steadyTwo = 50 * time.Millisecond
	// twoEvery is the time between two of these events, while there are two writers.
	twoEvery = 10 * time.Second
)

// clearest is who tells what is read from the nodes themselves: of those who call most of them healthy the leader, or the
// first by name. A leader that cannot reach a node knows nothing of its commits.
func clearest(sit *published.Situation) string {
	best, most := "", -1
	for _, v := range sit.Voices() {
		n := 0
		for i := range v.View.Nodes {
			if v.View.Nodes[i].Verdict == model.Healthy {
				n++
			}
		}
		if n > most || n == most && best != sit.Agreement.Leader && (v.Member == sit.Agreement.Leader || v.Member < best) {
			best, most = v.Member, n
		}
	}
	return best
}

// notice makes an event of what this member sees.
func (w *Watcher) notice(c Change, now time.Time) {
	w.sequence++
	e := event(fmt.Sprintf("%d.%d", w.cfg.Born.UnixMilli(), w.sequence), "/haproxyd/member/"+w.cfg.Member, c.Subject, now,
		Data{Kind: c.Kind, Text: c.Text, Node: c.Node, Member: w.cfg.Member})
	if c.Leader {
		w.ring = append(w.ring, seen{event: e, at: now})
		return
	}
	w.send(&e, now)
}

// tell sends what a leader tells. One that has just begun to lead begins with what happened within the last minute, since
// the one before may have died with it.
func (w *Watcher) tell(leads bool, now time.Time) {
	for len(w.ring) > 0 && (now.Sub(w.ring[0].at) > Recent) {
		w.ring = w.ring[1:]
	}
	if leads {
		for i := range w.ring {
			if s := &w.ring[i]; !s.told {
				s.told = true
				w.send(&s.event, now)
			}
		}
	}
}

func (w *Watcher) send(e *Event, now time.Time) {
	e.Data.Member = w.cfg.Member
	for _, q := range w.queues {
		q.add(e, now)
	}
}
