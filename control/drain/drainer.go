package drain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/galera/sessions"
	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/step"
	"github.com/haproxy-peers/haproxy-peers/runtimeapi"
)

const (
	// pause is the time between two passes over the sessions of a node.
	pause = 10 * time.Millisecond
	// detailsAtOnce is from how many sessions on all details are asked for with
	// one command: it costs HAProxy 25 ms per 1,000 sessions, one by one 300.
	detailsAtOnce = 20
)

// Drainer closes the sessions of one HAProxy to one node, each as soon as it is
// between transactions.
//
// A session is looked at and closed one by one: first in HAProxy, then in the
// database, then in HAProxy again, and it is closed only if nothing has passed
// since the first look. So a BEGIN that was on its way while the database was
// asked is seen, and the race that remains is as short as two commands on this
// host. Nothing shorter can be had from outside: neither HAProxy nor the
// database can close a session only if it is idle.
type Drainer struct {
	// Epoch is the move's, From the node.
	Epoch    model.Epoch
	From     string
	Backends map[string]bool // the sticky ones
	// Proxied tells whether the database sees a session under its client's address.
	Proxied   func(*runtimeapi.Session) bool
	HAProxy   HAProxy
	Inspector Inspector
	// May is asked right before every close.
	May      func() bool
	Progress *Progress
	Log      *slog.Logger

	// known are the addresses of sessions, by HAProxy's id.
	known map[string]runtimeapi.Session
}

// Run passes over the sessions until ctx is done.
func (d *Drainer) Run(ctx context.Context) {
	d.known = map[string]runtimeapi.Session{}
	for ctx.Err() == nil {
		step.At(ctx, "draining")
		err := d.pass(ctx)
		if ctx.Err() != nil {
			return
		}
		text := ""
		if err != nil {
			text = err.Error()
			d.Log.Warn("draining", "node", d.From, "error", err)
		}
		d.Progress.problem(d.Epoch, text)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// pass looks at every session once and closes those that are between transactions.
func (d *Drainer) pass(ctx context.Context) error {
	sessions, err := d.sessions(ctx)
	if err != nil {
		return fmt.Errorf("list HAProxy's sessions: %w", err)
	}
	if len(sessions) == 0 {
		d.Progress.found(d.Epoch, 0, 0, 0)
		return nil
	}
	clients, err := d.Inspector.Sessions(ctx)
	if err != nil {
		return fmt.Errorf("list the sessions of %s: %w", d.From, err)
	}
	matched, unmatched := joinSessions(sessions, clients, d.Proxied)
	var idle []pair
	longest := time.Duration(0)
	for i := range matched {
		if c := &matched[i].client; c.Busy {
			longest = max(longest, c.TrxAge)
		} else {
			idle = append(idle, matched[i])
		}
	}
	d.Progress.found(d.Epoch, len(matched)-len(idle), len(unmatched), longest)
	if len(idle) >= detailsAtOnce {
		return d.closeMany(ctx, idle)
	}
	for i := range idle {
		if err := d.close(ctx, &idle[i]); err != nil {
			return err
		}
	}
	return nil
}

// sessions lists HAProxy's sessions to the node with their addresses.
func (d *Drainer) sessions(ctx context.Context) ([]runtimeapi.Session, error) {
	all, err := d.HAProxy.Sessions(ctx)
	if err != nil {
		return nil, err
	}
	var out []runtimeapi.Session
	unknown := 0
	for i := range all {
		s := &all[i]
		if s.Server != d.From || !d.Backends[s.Backend] {
			continue
		}
		// An id is a pointer and comes again: the client must be the same one.
		if k, ok := d.known[s.ID]; !ok || k.Source != s.Source {
			delete(d.known, s.ID)
			unknown++
		}
		out = append(out, *s)
	}
	if unknown >= detailsAtOnce {
		details, err := d.details(ctx)
		if err != nil {
			return nil, err
		}
		for id, s := range details {
			if s.LocalAddr != "" {
				d.known[id] = s
			}
		}
	}
	live := make(map[string]runtimeapi.Session, len(out))
	for i := range out {
		s, ok := d.known[out[i].ID]
		if !ok {
			s, err = d.HAProxy.SessionDetail(ctx, out[i].ID)
			if errors.Is(err, runtimeapi.ErrSessionNotFound) {
				continue
			}
			if err != nil {
				return nil, err
			}
		}
		out[i] = s
		if s.LocalAddr != "" {
			live[s.ID] = s
		}
	}
	d.known = live
	return out, nil
}

// details has all sessions to the node with their addresses, by HAProxy's id.
func (d *Drainer) details(ctx context.Context) (map[string]runtimeapi.Session, error) {
	all := map[string]runtimeapi.Session{}
	for backend := range d.Backends {
		details, err := d.HAProxy.SessionDetails(ctx, backend, d.From)
		if err != nil {
			return nil, err
		}
		for i := range details {
			all[details[i].ID] = details[i]
		}
	}
	return all, nil
}

// close looks at one session again, in HAProxy and in the database, and closes it
// if it is still the same one, between transactions, and silent meanwhile.
func (d *Drainer) close(ctx context.Context, p *pair) error {
	s, err := d.HAProxy.SessionDetail(ctx, p.session.ID)
	if errors.Is(err, runtimeapi.ErrSessionNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if s.Server != d.From || s.Source != p.session.Source || s.LocalAddr != p.session.LocalAddr {
		return nil
	}
	looked := time.Now()
	client, err := d.Inspector.Session(ctx, p.client.ID)
	if errors.Is(err, sessions.ErrNoSession) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at a session of %s: %w", d.From, err)
	}
	if client.Busy || client.Host != p.client.Host {
		return nil
	}
	if !d.May() {
		return errNotNow
	}
	if time.Since(looked) > mandate.WriteWithin {
		return nil // this process was stopped meanwhile: the next pass looks again
	}
	return d.shut(ctx, &s)
}

// closeMany is close for a crowd. A database needs as long for a look at one of
// thousands of sessions as for all of them (70 ms at 5,000 with three daemons
// asking; run on MariaDB 10.11), so all are listed once more, between two looks
// of HAProxy at each: who was idle then and has been silent since is idle.
func (d *Drainer) closeMany(ctx context.Context, idle []pair) error {
	before, err := d.details(ctx)
	if err != nil {
		return fmt.Errorf("list HAProxy's sessions: %w", err)
	}
	list, err := d.Inspector.Sessions(ctx)
	if err != nil {
		return fmt.Errorf("list the sessions of %s: %w", d.From, err)
	}
	clients := make(map[uint64]*sessions.ClientSession, len(list))
	for i := range list {
		clients[list[i].ID] = &list[i]
	}
	for i := range idle {
		p := &idle[i]
		s, ok := before[p.session.ID]
		if !ok || s.Source != p.session.Source || s.LocalAddr != p.session.LocalAddr {
			continue
		}
		if s.Traffic == "" { // a HAProxy that does not count
			if err := d.close(ctx, p); err != nil {
				return err
			}
			continue
		}
		if c := clients[p.client.ID]; c == nil || c.Busy || c.Host != p.client.Host {
			continue
		}
		if !d.May() {
			return errNotNow
		}
		if err := d.shut(ctx, &s); err != nil {
			return err
		}
	}
	return nil
}

// shut closes a session that was between transactions after the look s, if
// nothing has passed since.
func (d *Drainer) shut(ctx context.Context, s *runtimeapi.Session) error {
	last := time.Now()
	again, err := d.HAProxy.SessionDetail(ctx, s.ID)
	if err == nil {
		if again.Traffic != s.Traffic || again.Source != s.Source || again.LocalAddr != s.LocalAddr {
			return nil
		}
		err = d.HAProxy.ShutdownSession(ctx, s.ID)
	}
	if errors.Is(err, runtimeapi.ErrSessionNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	d.Log.Debug("closed a session between transactions", "node", d.From, "client", s.Source, "at_risk_us", time.Since(last).Microseconds())
	delete(d.known, s.ID)
	d.Progress.drained(d.Epoch)
	return nil
}

// errNotNow ends a pass whose decision does not stand any more.
var errNotNow = errors.New("the move is not carried on: waiting for a majority's word")
