package serving

import (
	"container/list"
	"net"
	"sync"
	"time"
)

// crowd are the connections of a server.
type crowd struct {
	max int // of each class

	mu      sync.Mutex // guards what follows
	classes [2]class
}

// class are the connections that share their places.
type class struct {
	held    int
	waiting list.List // of *guest; the one that has waited longest is first
}

// The classes.
const (
	here      = iota // from this host's loopback, or by a unix socket
	elsewhere        // from all others
)

func classOf(addr net.Addr) int {
	if a, ok := addr.(*net.TCPAddr); ok && !a.IP.IsLoopback() {
		return elsewhere
	}
	return here
}

// guest is one connection.
type guest struct {
	net.Conn
	crowd *crowd
	class *class
	since time.Time // it came, or was answered

	// of the crowd's mutex
	place *list.Element // in waiting; nil while it is answered
	gone  bool
}

// grace is how long a connection has at least for sending its request. Of a burst,
// those that have sent theirs would else lose their places to the ones behind them
// before anybody had looked. It is short enough for a full queue of the kernel
// (4,096) to be worked off within a tenth of a second.
const grace = 8 * time.Millisecond

// admit gives a connection a place, that of the one which has waited longest where
// there is none. nil where all the others are being answered, or, with the time to
// wait, where none has waited for long.
func (c *crowd) admit(conn net.Conn, now time.Time) (*guest, time.Duration) {
	g := &guest{Conn: conn, crowd: c, class: &c.classes[classOf(conn.RemoteAddr())], since: now}
	c.mu.Lock()
	var out *guest
	if g.class.held >= c.max {
		first := g.class.waiting.Front()
		if first == nil {
			c.mu.Unlock()
			return nil, 0
		}
		out = first.Value.(*guest) //nolint:forcetypeassert // nothing else is in it
		if wait := grace - now.Sub(out.since); wait > 0 {
			c.mu.Unlock()
			return nil, wait
		}
		c.leaveLocked(out)
	}
	g.class.held++
	g.place = g.class.waiting.PushBack(g)
	c.mu.Unlock()
	if out != nil {
		// Without a word, so that the kernel keeps nothing of it either.
		if tcp, ok := out.Conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = out.Conn.Close()
	}
	return g, 0
}

// leaveLocked takes a connection out.
func (c *crowd) leaveLocked(g *guest) {
	if g.gone {
		return
	}
	g.gone = true
	g.class.held--
	if g.place != nil {
		g.class.waiting.Remove(g.place)
		g.place = nil
	}
}

// busy says that a connection's request is being answered; false if it has lost its place.
func (c *crowd) busy(g *guest) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if g.gone {
		return false
	}
	if g.place != nil {
		g.class.waiting.Remove(g.place)
		g.place = nil
	}
	return true
}

// waits says that the answer is made: what is left of sending it, and the next
// request, is the other side's to hurry with.
func (c *crowd) waits(g *guest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !g.gone && g.place == nil {
		g.since = time.Now()
		g.place = g.class.waiting.PushBack(g)
	}
}

// Close gives the place free.
func (g *guest) Close() error {
	g.crowd.mu.Lock()
	g.crowd.leaveLocked(g)
	g.crowd.mu.Unlock()
	return g.Conn.Close()
}

// door is a listener that lets a crowd in.
type door struct {
	net.Listener
	crowd *crowd
}

// Accept returns the next connection that has a place.
func (d *door) Accept() (net.Conn, error) {
	for {
		conn, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		g, wait := d.crowd.admit(conn, time.Now())
		for wait > 0 {
			// The others use it. Never a moment only: the runtime's sleep is not exact,
			// and there would be one for each connection.
			time.Sleep(max(wait, grace/4))
			g, wait = d.crowd.admit(conn, time.Now())
		}
		if g != nil {
			return g, nil
		}
		_ = conn.Close()
	}
}
