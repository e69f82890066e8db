// Package execute carries out an eviction that was decided and committed: it tells the survivors one after the other, and empties
// their lists until they are seen to be empty. What is to be done when is control/evict's; here are the connections.
//
// It may run on two members at once, or again after a restart: each statement is a compare-and-set
// (control/galera/grants), and a list may be emptied twice.
package execute

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/evict"
	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
	"github.com/haproxy-peers/haproxy-peers/control/galera/grants"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

const (
	// fastTurn is the time between turns while the view is made and the lists are emptied, for fastFor; slowTurn later.
	fastTurn = 5 * time.Millisecond
	fastFor  = 2 * time.Second
	slowTurn = 100 * time.Millisecond
	// lookWithin and tellWithin bound what a survivor is asked and told. An eviction that hangs is none.
	lookWithin = time.Second
	tellWithin = 3 * time.Second
	// period is evs.join_retrans_period while the view is made: it is worth 0.9 s of it.
	period = "PT0.1S"

	setup = "SET SESSION wsrep_sync_wait=0"
	// dirty lets a node outside the primary component take the call that empties its list. PXC and MariaDB have it.
	dirty = ";SET SESSION wsrep_dirty_reads=ON"

	look = "SHOW SESSION STATUS WHERE Variable_name IN ('wsrep_cluster_status','wsrep_cluster_conf_id','wsrep_evs_state'," +
		"'wsrep_evs_evict_list','wsrep_gcomm_uuid')"
)

// Config is what one order is carried out with.
type Config struct {
	Order *model.Eviction
	// Learned is when this member learned of it. Whoever takes over from a silent owner has known it for a while.
	Learned time.Time
	// Lives tells whether this member's own view shows that the order's victim lives after all.
	Lives func() bool
	// Open makes a session on a survivor's node, with what is to be run first.
	Open func(ctx context.Context, node, setup string) (*conn.Session, error)
	// Ended tells whether a survivor's process is known to be no more.
	Ended func(model.Survivor) bool
	Log   *slog.Logger
}

// Outcome is what came of an order.
type Outcome struct {
	// Changed is after how long another view was seen, 0 if none was.
	Changed time.Duration
	// Said are the survivors' answers to being told, in order.
	Said []string
}

// Run carries the order out and returns once nothing is owed any more, or ctx is done. told is called with the outcome so
// far when it changes.
func Run(ctx context.Context, cfg Config, told func(Outcome)) error {
	began := time.Now()
	r := &run{cfg: cfg, told: told}
	for _, s := range cfg.Order.Survivors {
		r.links = append(r.links, &link{survivor: s, open: cfg.Open})
	}
	defer r.close()
	for _, l := range r.links {
		if !cfg.Ended(l.survivor) {
			l.calls.Go(func() { l.dial(ctx) }) // beside the first look, not after it
		}
	}
	p := evict.Begin(cfg.Order)
	for {
		seen := r.look(ctx)
		age := time.Since(cfg.Learned)
		a := p.Next(age, seen, cfg.Lives())
		if p.Changed() && !cfg.Order.Found {
			r.changed(age)
		}
		for _, i := range a.Prepare {
			l := r.links[i]
			l.call(ctx, grants.CallClear(period), func(said string, err error) { r.cleared(l, said, err) })
		}
		if a.Tell >= 0 {
			l := r.links[a.Tell]
			l.call(ctx, call(cfg.Order), func(said string, err error) { r.said(l, said, err) })
		}
		for _, i := range a.Clear {
			l := r.links[i]
			l.call(ctx, grants.CallClear(l.survivor.Retrans), func(said string, err error) { r.cleared(l, said, err) })
		}
		if a.Paid {
			return nil
		}
		pause := fastTurn
		if time.Since(began) > fastFor {
			pause = slowTurn
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// call is the statement that carries the order out.
func call(o *model.Eviction) string {
	if o.Last {
		return grants.CallEvictLast(o.UUID, o.ConfID, period)
	}
	return grants.CallEvict(o.UUID, o.ConfID, period)
}

// run is one order being carried out.
type run struct {
	cfg   Config
	links []*link
	told  func(Outcome)

	mu  sync.Mutex // guards out
	out Outcome
}

func (r *run) tell(change func(*Outcome)) {
	r.mu.Lock()
	change(&r.out)
	out := r.out
	r.mu.Unlock()
	r.told(out)
}

func (r *run) changed(age time.Duration) {
	if r.out.Changed == 0 {
		r.tell(func(o *Outcome) { o.Changed = age })
	}
}

func (r *run) said(l *link, said string, err error) {
	if err != nil {
		said = conn.PlainText(err.Error(), 200)
	}
	r.cfg.Log.Warn("a survivor was told to evict", "node", l.survivor.Node, "victim", r.cfg.Order.Node, "said", said)
	r.tell(func(o *Outcome) { o.Said = append(o.Said[:len(o.Said):len(o.Said)], l.survivor.Node+": "+said) })
}

func (r *run) cleared(l *link, said string, err error) {
	if err != nil || said != grants.OutcomeCleared {
		r.cfg.Log.Error("an evict list could not be emptied", "node", l.survivor.Node, "said", said, "error", err)
	}
}

// look asks every survivor at once.
func (r *run) look(ctx context.Context) []evict.Seen {
	seen := make([]evict.Seen, len(r.links))
	var all sync.WaitGroup
	for i, l := range r.links {
		if r.cfg.Ended(l.survivor) {
			seen[i].Ended = true
			continue
		}
		all.Go(func() { seen[i] = l.look(ctx) })
	}
	all.Wait()
	return seen
}

func (r *run) close() {
	for _, l := range r.links {
		l.calls.Wait()
		for _, s := range []*conn.Session{l.looks, l.tells} {
			if s != nil {
				s.Close()
			}
		}
	}
}

// errOther says that another process is at a survivor's address.
var errOther = errors.New("another process answers")

// link are the two sessions with a survivor: what is told may hang, and is then looked at past it.
type link struct {
	survivor model.Survivor
	open     func(ctx context.Context, node, setup string) (*conn.Session, error)
	looks    *conn.Session
	calls    sync.WaitGroup

	mu    sync.Mutex // guards under
	under int        // calls under way

	telling sync.Mutex // guards tells, for as long as a call takes
	tells   *conn.Session
}

func (l *link) isBusy() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.under > 0
}

// look reads the survivor's state.
func (l *link) look(ctx context.Context) evict.Seen {
	s := evict.Seen{Busy: l.isBusy()}
	if l.looks == nil {
		var err error
		if l.looks, err = l.open(ctx, l.survivor.Node, setup); err != nil {
			l.looks = nil
			return s
		}
	}
	l.looks.Begin(lookWithin)
	s.ConfID = -1
	err := l.looks.Ask(look, func(_ int, row []conn.Value) (err error) {
		switch name, value := string(row[0]), string(row[1]); name {
		case "wsrep_cluster_status":
			s.Primary = value == "Primary"
		case "wsrep_cluster_conf_id":
			s.ConfID, err = conn.Seqno(row[0], row[1])
		case "wsrep_evs_state":
			s.Operational = value == "OPERATIONAL"
		case "wsrep_evs_evict_list":
			s.Listed = value != ""
		case "wsrep_gcomm_uuid":
			if value != l.survivor.UUID {
				err = errOther
			}
		}
		return err
	}, nil)
	if errors.Is(err, errOther) {
		l.looks.Abort()
		l.looks = nil
		return evict.Seen{Ended: true} // the process whose list it was is no more
	}
	if err != nil {
		l.looks.Abort()
		l.looks = nil
		return evict.Seen{Busy: s.Busy}
	}
	s.Answered = true
	return s
}

// call runs a procedure beside the loop, and hands over its outcome's word.
func (l *link) call(ctx context.Context, text string, done func(said string, err error)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.under++
	l.calls.Go(func() {
		said, err := l.ask(ctx, text)
		done(said, err)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.under--
	})
}

// dial makes the session over which the survivor is told, so that it is there when it is needed.
func (l *link) dial(ctx context.Context) {
	l.telling.Lock()
	defer l.telling.Unlock()
	_ = l.dialed(ctx) // whoever needs it tries again
}

// dialed makes that session unless there is one. telling is held.
func (l *link) dialed(ctx context.Context) (err error) {
	if l.tells == nil {
		if l.tells, err = l.open(ctx, l.survivor.Node, setup+dirty); err != nil {
			l.tells = nil
		}
	}
	return err
}

func (l *link) ask(ctx context.Context, text string) (said string, err error) {
	l.telling.Lock()
	defer l.telling.Unlock()
	if err := l.dialed(ctx); err != nil {
		return "", fmt.Errorf("connect: %w", err)
	}
	l.tells.Begin(tellWithin)
	err = l.tells.Ask(text, func(_ int, row []conn.Value) error {
		said = string(row[0])
		return nil
	}, nil)
	if err != nil && l.tells.Broken() {
		l.tells.Abort()
		l.tells = nil
	}
	return said, err
}
