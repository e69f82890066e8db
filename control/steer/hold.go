package steer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/plan"
	"github.com/haproxy-peers/haproxy-peers/control/step"
	"github.com/haproxy-peers/haproxy-peers/runtimeapi"
)

const (
	// holdMaxconn lets nobody pass while one connection, the placeholder, is open.
	holdMaxconn = 1
	// wideMaxconn wakes a server's queue. 0, no limit, does not (run on 2.6, 3.0,
	// 3.2): who waits then goes on waiting until a session ends.
	wideMaxconn = 65535
	// placeholderWithin bounds the making of a placeholder connection.
	placeholderWithin = 300 * time.Millisecond
	// placeAgain is the pause before another try to place a hold. Each is a
	// connection that never logs in, and a database blocks a host that makes too
	// many of these (max_connect_errors).
	placeAgain = 100 * time.Millisecond
)

// hold makes new connections wait in the *new* node's queue in HAProxy.
//
// The new server's maxconn is 1, and a connection of this daemon, the
// placeholder, takes that one place; it reaches the new node through a frontend
// of its own, by the private table's hold key, before any client is sent there.
// Then the active's key is set as in every move. So nobody passes, unlike with a
// maxconn of 1 on the old server, where one at a time still does; the old node's
// sessions end undisturbed; and letting all go is one command, with no server in
// maintenance and nobody balanced elsewhere.
//
// The third servers get weight 0 meanwhile: whether the hold is given back or the
// new node dies, HAProxy then has only the old one to hand the queue to (5 of 5
// went to a third one without that; run on 2.6).
//
// The proxy loop alone uses it. What it changes is on disk first (undo).
type hold struct {
	undo *undo
	proc process
	of   model.Epoch
	to   string
	// began is when it was placed, zero while there is none.
	began time.Time
	// tried is the last try to place it.
	tried time.Time
	// failed is what came of it.
	failed error
	conns  map[string]net.Conn // the placeholders, by backend
	// handsOver: the queue of a server that is put into maintenance goes to the others.
	handsOver bool
	// differs: haproxy.cfg is not what runs, so a server that it does not name may
	// be there all the same.
	differs bool
}

// canHold tells whether the configuration has what a hold needs that may be given back.
func canHold(l *plan.Layout) bool {
	if l.Steer == nil || l.Steer.HoldKey == "" {
		return false
	}
	for i := range l.Backends {
		if l.Backends[i].HoldSocket == "" {
			return false
		}
	}
	return true
}

// canWait tells whether new connections can be held by a way that clients take, too:
// a configuration without the private table (`stick on`). The new server is given its
// bound first, then the table leads there, and the placeholder comes by a frontend of
// the clients'. One who comes before it has the place: he is served, and the
// placeholder waits for its turn.
func canWait(l *plan.Layout) bool {
	return l.Steer == nil && !slices.ContainsFunc(l.Backends, func(b plan.Backend) bool { return b.Entrance == "" || len(b.Keys) == 0 })
}

// busy tells whether there is something that every look must see in full.
func (h *hold) busy() bool {
	return !h.began.IsZero() || len(h.undo.of(changeMaxconn, changeWeight, changeMaint)) > 0
}

// turn takes one look. It returns whether new connections wait, and what is
// wrong if they should and do not. stands is asked before every command but those
// that take back what was done.
func (h *hold) turn(ctx context.Context, t *turn) (bool, error) {
	switch {
	case t.want.WantsHold() && !h.began.IsZero() && h.of == t.want.Epoch() && h.placed(t):
		step.At(ctx, "held")
		return true, nil
	case t.want.WantsHold():
		if !canHold(t.layout) && !canWait(t.layout) {
			return false, fmt.Errorf("this haproxy.cfg has no hold frontends")
		}
		if h.of == t.want.Epoch() && t.now.Sub(h.tried) < placeAgain {
			return false, h.failed
		}
		h.tried, h.failed = t.now, nil
		if err := h.place(ctx, t); err != nil {
			h.failed = fmt.Errorf("cannot hold new connections: %w", err)
		}
		return false, h.failed // the next look tells whether it holds
	case !h.busy():
		return false, nil
	}
	if !h.began.IsZero() {
		step.At(ctx, "releasing")
		if err := h.give(ctx, t); err != nil {
			return false, err
		}
		h.began = time.Time{}
		return false, nil
	}
	return false, h.restore(ctx, t)
}

// placed tells whether the look shows every backend's new server full.
func (h *hold) placed(t *turn) bool {
	for i := range t.layout.Backends {
		if !h.full(t.layout.Backends[i].Name, t) {
			return false
		}
	}
	return true
}

// full tells whether nobody can pass to the new server of a backend.
func (h *hold) full(backend string, t *turn) bool {
	now := t.obs.Servers[backend][h.to]
	return now.Limit == holdMaxconn && now.Sessions >= 1
}

func (h *hold) place(ctx context.Context, t *turn) error {
	l, servers := t.layout, t.obs.Servers
	if h.of != t.want.Epoch() || h.began.IsZero() {
		h.drop()
		h.began = t.now
	}
	h.of, h.to = t.want.Epoch(), t.want.Active
	var changes []change
	id := 0
	for i := range l.Backends {
		b := &l.Backends[i]
		s, ok := b.Server(h.to)
		if !ok {
			return fmt.Errorf("backend %s has no server %s", b.Name, h.to)
		}
		id = s.ID
		why := "a hold for the move to " + h.to
		changes = append(changes, change{Kind: changeMaxconn, Backend: b.Name, Server: h.to, Before: servers[b.Name][h.to].Limit, Why: why})
		for _, third := range b.Servers {
			if w := servers[b.Name][third.Name].Weight; third.Name != h.to && third.Name != t.want.Move.From && w > 0 {
				changes = append(changes, change{Kind: changeWeight, Backend: b.Name, Server: third.Name, Before: w, Why: why})
			}
		}
	}
	if err := h.undo.begin(h.proc, changes...); err != nil {
		return err
	}
	step.At(ctx, "holding")
	for _, x := range changes {
		if x.Kind != changeWeight {
			continue
		}
		if !t.stands() {
			return errStale
		}
		if err := t.client.SetServerWeight(ctx, x.Backend, x.Server, 0); err != nil {
			return err
		}
	}
	if !t.stands() {
		return errStale
	}
	if l.Steer != nil {
		if err := t.client.SetTable(ctx, l.Steer.Table, l.Steer.HoldKey, id); err != nil {
			return err
		}
	}
	for i := range l.Backends {
		if err := h.fill(ctx, t, &l.Backends[i]); err != nil {
			return err
		}
	}
	return nil
}

// fill takes the only place of a backend's new server. Without a private table there is no
// other way there than the clients'.
func (h *hold) fill(ctx context.Context, t *turn, b *plan.Backend) error {
	if old := h.conns[b.Name]; old != nil {
		if h.full(b.Name, t) {
			return nil // dropped, it would let somebody pass
		}
		_ = old.Close()
		delete(h.conns, b.Name)
	}
	bound := func() error {
		if !t.stands() {
			return errStale
		}
		return t.client.SetServerMaxconn(ctx, b.Name, h.to, holdMaxconn)
	}
	shared := t.layout.Steer == nil
	network, address := "unix", b.HoldSocket
	if shared {
		if err := bound(); err != nil {
			return err
		}
		s, _ := b.Server(h.to)
		for _, key := range b.Keys {
			if !t.stands() {
				return errStale
			}
			if err := t.client.ClearSetTable(ctx, b.Table, key, s.ID); err != nil {
				return err
			}
		}
		network, address = "tcp", b.Entrance
	}
	conn, err := placeholder(ctx, network, address)
	if err != nil {
		return err
	}
	if h.conns == nil {
		h.conns = map[string]net.Conn{}
	}
	h.conns[b.Name] = conn
	if shared {
		return nil
	}
	return bound()
}

// errStale ends the placing of a hold that is no longer what is agreed.
var errStale = errors.New("the decision does not stand any more, or no majority was heard lately")

// placeholder connects and waits for the node's greeting: then it has its place. A
// server that speaks second (MySQL's X protocol) is given the same time; whether the
// place is taken the next look tells.
func placeholder(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	ctx, cancel := context.WithTimeout(ctx, placeholderWithin)
	defer cancel()
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	_ = conn.SetReadDeadline(deadline)
	var b [1]byte
	if _, err := conn.Read(b[:]); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		_ = conn.Close()
		return nil, fmt.Errorf("the placeholder through %s: %w", address, err)
	}
	return conn, nil
}

// give ends the hold: all who wait go to the new node, or, where it is not the
// active any more, to the one that is.
func (h *hold) give(ctx context.Context, t *turn) error {
	if want := &t.want; want.Known && want.Active != h.to && want.MayWrite {
		if !t.stands() {
			return errStale // rather wait than let anybody go to h.to
		}
		if h.handsOver {
			return h.redispatch(ctx, t)
		}
		// They come to h.to, and what is there is closed.
	}
	return h.restore(ctx, t)
}

// redispatch hands those who wait for h.to over to the node that is the active
// again. It alone is left in the balancing: the hold has taken the third ones
// out, and where the old node is dead too, it is the old one that is taken out and
// the third one put back. restore ends that a look later.
func (h *hold) redispatch(ctx context.Context, t *turn) error {
	active := t.want.Active
	for i := range t.layout.Backends {
		b := &t.layout.Backends[i]
		servers := t.obs.Servers[b.Name]
		if !servers[active].Running || servers[h.to].Queue == 0 {
			continue // restore lets them go to h.to, from where they are closed
		}
		if err := h.balanceOnly(ctx, t.client, b, active, servers); err != nil {
			return err
		}
		x := change{Kind: changeMaint, Backend: b.Name, Server: h.to, Why: "those who wait go to " + active}
		if err := h.undo.begin(h.proc, x); err != nil {
			return err
		}
		if err := t.client.HandOverQueue(ctx, b.Name, h.to); err != nil {
			return err
		}
	}
	return nil
}

// balanceOnly leaves one server of a backend in the balancing, beside h.to.
func (h *hold) balanceOnly(ctx context.Context, c HAProxy, b *plan.Backend, active string, servers map[string]plan.ServerNow) error {
	for _, s := range b.Servers {
		w := servers[s.Name].Weight
		switch {
		case s.Name == active && w == 0:
			for _, x := range h.undo.of(changeWeight) {
				if x.Backend != b.Name || x.Server != active {
					continue
				}
				if err := c.SetServerWeight(ctx, x.Backend, x.Server, x.Before); err != nil {
					return err
				}
				h.undo.end(x)
			}
		case s.Name != active && s.Name != h.to && w > 0:
			x := change{Kind: changeWeight, Backend: b.Name, Server: s.Name, Before: w, Why: "those who wait go to " + active}
			if err := h.undo.begin(h.proc, x); err != nil {
				return err
			}
			if err := c.SetServerWeight(ctx, b.Name, s.Name, 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// restore takes back what a hold of this or of an earlier daemon has changed,
// after a look at each: what somebody else has set meanwhile is left alone.
func (h *hold) restore(ctx context.Context, t *turn) error {
	c, l := t.client, t.layout
	for _, x := range h.undo.of(changeMaint, changeWeight, changeMaxconn) {
		now, seen := t.obs.Servers[x.Backend][x.Server]
		var err error
		switch {
		case !seen && h.differs:
			continue // it runs, and the file does not name it any more
		case x.Kind == changeMaint && now.Queue > 0:
			continue // on their way to another server
		case x.Kind == changeMaint && !now.Running && !now.Drain:
			err = c.SetServerState(ctx, x.Backend, x.Server, runtimeapi.Ready)
		case x.Kind == changeWeight && (h.undo.mine(changeMaint, x.Backend, h.to) || t.obs.Servers[x.Backend][h.to].Queue > 0):
			continue // nobody who waits may be balanced to it
		case x.Kind == changeWeight && now.Weight == 0:
			err = c.SetServerWeight(ctx, x.Backend, x.Server, x.Before)
		case x.Kind == changeMaxconn && now.Limit == holdMaxconn && x.Before != holdMaxconn:
			if x.Before == 0 {
				err = c.SetServerMaxconn(ctx, x.Backend, x.Server, wideMaxconn)
				if err == nil {
					continue // until the queue is empty
				}
				break
			}
			err = c.SetServerMaxconn(ctx, x.Backend, x.Server, x.Before)
		case x.Kind == changeMaxconn && now.Limit == wideMaxconn && now.Queue > 0:
			continue
		case x.Kind == changeMaxconn && now.Limit == wideMaxconn:
			err = c.SetServerMaxconn(ctx, x.Backend, x.Server, x.Before)
		}
		if err != nil {
			return fmt.Errorf("take back the %s of %s/%s: %w", x.Kind, x.Backend, x.Server, err)
		}
		h.undo.end(x)
	}
	if len(h.undo.of(changeMaint, changeWeight, changeMaxconn)) > 0 {
		return nil
	}
	h.drop()
	if l.Steer == nil || l.Steer.HoldKey == "" {
		return nil
	}
	return c.ClearTable(ctx, l.Steer.Table, l.Steer.HoldKey)
}

// drop closes the placeholders.
func (h *hold) drop() {
	for _, conn := range h.conns {
		_ = conn.Close()
	}
	h.conns = nil
}
