package galera

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"syscall"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
	"github.com/haproxy-peers/haproxy-peers/control/galera/group"
)

const (
	// unknownPause is the time between attempts while they say nothing: every
	// one of them may be a failed login in the server's log.
	unknownPause = 500 * time.Millisecond
	// tlsPause is the same where TLS fails: servers count such an attempt as one that was
	// given up before the login (see patience), and 100 of them in a row block this host.
	tlsPause = 15 * time.Second
	// patience is how many deadlines a node that hangs is given for its greeting once
	// it is down. Nothing waits for it then, while every connection given up before
	// the greeting is a mark against this host: at max_connect_errors (100) the server
	// blocks the host, and with it HAProxy's traffic.
	patience = 5
)

// node probes one node; its goroutine alone uses it, except for status.
type node struct {
	cfg     *Config
	dialer  *conn.Dialer
	session *reader
	metrics nodeMetrics
	log     *slog.Logger
	publish func(func(*record)) // changes the status under the prober's lock

	state   State
	last    Outcome
	grid    time.Time // see pace.onGrid
	started time.Time // of the last attempt
	unasked bool      // see wait
	// had: the last attempt began on a connection that was there, at from.
	had  bool
	from netip.AddrPort
	// broke: the connection was closed or reset from there after the reading was complete.
	broke    bool
	askAgain time.Time // for the options
	process  string    // whose they are (Reading.Gcomm)
	born     time.Time // it was first read
}

// pace is when and how to probe next.
type pace struct {
	wait time.Duration
	// onGrid: wait until the next multiple of wait on the clock. The nodes'
	// probes then come together, and this process, which sleeps most of the time,
	// wakes up once for all of them.
	onGrid   bool
	deadline time.Duration
	patient  bool
}

// gridStart is a moment from which multiples of the interval fall on full
// intervals of the clock, where the other loops of this process turn too.
func gridStart(now time.Time, interval time.Duration) time.Time {
	return now.Add(-time.Duration(now.UnixNano()) % interval)
}

// nextPace says how to go on after an outcome that led to a state: a failure is
// confirmed at once and briefly, an attempt that says nothing is repeated calmly.
func nextPace(cfg *Config, s State, last Outcome) pace {
	switch {
	case last.Class == ClassTLS:
		return pace{wait: max(tlsPause, cfg.Interval), deadline: cfg.Deadline}
	case last.Kind == KindUnknown:
		return pace{wait: max(unknownPause, cfg.Interval), deadline: cfg.Deadline}
	case last.Kind == KindDown && s.Verdict != Down:
		p := pace{wait: confirmPause, deadline: min(confirmWithin, cfg.Deadline)}
		if hangs(last.Class) {
			p.wait = 0
		}
		return p
	}
	return pace{
		wait: cfg.Interval, onGrid: true, deadline: cfg.Deadline,
		patient: last.Kind == KindDown && hangs(last.Class),
	}
}

// hangs tells whether an attempt ended for want of an answer.
func hangs(c Class) bool { return c == ClassTimeout || c == ClassSilent }

// run probes until ctx is done, and leaves no connection behind.
func (n *node) run(ctx context.Context) {
	defer func() {
		if n.session != nil {
			n.session.Close()
		}
	}()
	next := pace{deadline: n.cfg.Deadline}
	for ctx.Err() == nil {
		n.started = time.Now()
		reading, rtt, err := n.attempt(ctx, next)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, conn.ErrOwnPause) {
			n.metrics.pauses.Inc()
			n.log.Warn("a probe was discarded because this process was not running", "took", time.Since(n.started))
			continue
		}
		n.conclude(reading, rtt, err)
		next = nextPace(n.cfg, n.state, n.last)
		n.wait(ctx, next)
	}
}

// attempt makes one reading, on the connection that is there or on a new one.
func (n *node) attempt(ctx context.Context, p pace) (Reading, time.Duration, error) {
	// A connection of before proves nothing of the way to the node now.
	accepted := false
	n.broke = false
	if n.had = n.session != nil; !n.had {
		var err error
		if accepted, err = n.connect(ctx, p); err != nil {
			return Reading{}, 0, conn.Silence(err, p.deadline, accepted)
		}
	} else {
		n.session.Begin(p.deadline)
		n.session.Silent = n.slow
	}
	n.from = n.session.Remote()
	asked := time.Now()
	reading, err := n.session.read()
	if err == nil {
		err = n.session.Stale
	}
	if err != nil {
		n.session.Abort()
		n.session = nil
		return Reading{}, 0, conn.Silence(err, p.deadline, accepted)
	}
	n.session.Silent = nil
	rtt := time.Since(asked)
	if reading.LocalState == StateDonor {
		var broken bool
		if reading.Waiting, broken = n.session.waiting(); broken {
			n.session.Abort() // the reading is as good as it was
			n.session = nil
		}
	}
	n.askOptions(&reading)
	return reading, rtt, nil
}

// askOptions reads the provider's options now and then, and of another process at once: what the one before it was told is
// nobody's word on it. What comes of it changes nothing about the reading.
func (n *node) askOptions(r *Reading) {
	asked := time.Now()
	if r.Gcomm != n.process {
		n.process, n.born, n.askAgain = r.Gcomm, asked, asked
		n.publish(func(r *record) { r.Options, r.OptionsAt = group.Options{Weight: -1}, time.Time{} })
	}
	if n.session == nil || asked.Before(n.askAgain) {
		return
	}
	listed := r.Evicted != ""
	n.askAgain = asked.Add(optionsEvery)
	if asked.Sub(n.born) < optionsEvery {
		n.askAgain = asked.Add(youngEvery)
	}
	n.session.Silent = nil // these may be late, and say nothing of the node
	o, known, err := n.session.options()
	lacks, lacksLast := "", ""
	if err == nil && known && n.cfg.Witness {
		lacks, err = n.session.lacks(neededToEvict)
	}
	if err == nil && known && n.cfg.EvictLast {
		lacksLast, err = n.session.lacks(neededToEvictLast)
	}
	if err != nil {
		n.session.Abort()
		n.session, n.broke = nil, closedThere(err)
		return
	}
	if lacks != "" || lacksLast != "" {
		n.askAgain = asked.Add(lacksEvery)
	}
	if known {
		n.publish(func(r *record) {
			r.Options, r.OptionsAt, r.OptionsListed, r.Lacks, r.LacksLast = o, asked, listed, lacks, lacksLast
		})
	}
}

// slow says that an answer is late, while it is waited for.
func (n *node) slow() {
	n.publish(func(r *record) { r.Sight = r.Sight.Slow() })
}

// seen is the sight of the process after an attempt.
func (n *node) seen(s group.Sight, r *Reading, err error) group.Sight {
	var server *mysql.MySQLError
	switch {
	case err == nil && n.broke:
		return s.Read(r.Gcomm, n.from).Lost()
	case err == nil:
		return s.Read(r.Gcomm, n.from)
	case errors.As(err, &server):
		return s.Tried(n.dialer.At(), group.Spoke)
	case n.had && n.from == s.SQL && closedThere(err):
		return s.Lost()
	case n.had:
		return s.Tried(n.from, group.Heard(err))
	}
	return s.Tried(n.dialer.At(), group.Heard(err))
}

// closedThere tells whether a connection was closed or reset by the other side.
func closedThere(err error) bool {
	return conn.IsAny(err, io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE)
}

// connect makes a session. accepted: it got as far as a connection.
func (n *node) connect(ctx context.Context, p pace) (accepted bool, err error) {
	o := n.cfg.opening(ctx, p.deadline)
	// What confirms a failure has a fraction of a deadline, and as much as without TLS.
	o.Apart = p.deadline < n.cfg.Deadline
	o.Connected = func() {
		accepted = true
		n.metrics.connects.Inc()
	}
	o.Silent = n.slow
	if p.patient {
		o.Patience, o.Silent = patience*n.cfg.Deadline, n.stillSilent
	}
	s, err := n.dialer.Open(ctx, o)
	if err != nil {
		return accepted, err
	}
	if s.Weak != nil {
		n.log.Warn("the node offers TLS and it fails: its probes go on in plain text", "error", s.Weak)
	}
	n.session = &reader{Session: s}
	return accepted, nil
}

// conclude draws the conclusion of an attempt and publishes it.
func (n *node) conclude(r Reading, rtt time.Duration, err error) {
	var o Outcome
	if err != nil {
		o = JudgeError(err, n.cfg.Account)
	} else {
		o = Judge(r, n.cfg.ExpectUUID())
	}
	before := n.state
	n.last, n.state = o, Next(n.state, o, failures)
	now := time.Now()
	n.metrics.observe(o, now.Sub(n.started))
	if n.state.Verdict != before.Verdict {
		n.metrics.verdict(n.state.Verdict)
	}
	n.publish(func(s *record) {
		s.State, s.At = n.state, now
		s.Sight = n.seen(s.Sight, &r, err)
		if err == nil {
			s.Reading = r
			s.intake = s.intake.Read(now, r.Received+r.Replicated, r.ReceivedBytes+r.ReplicatedBytes, r.LastCommitted)
			s.track.add(r, now.Add(-rtt), n.cfg.gap())
		}
		s.Sight = s.Sight.Listens(s.Options.Port(s.Sight.SQL))
	})
	switch {
	case n.state.Verdict != before.Verdict:
		n.log.Info("the verdict on a node has changed", "from", before.Verdict.String(), "to", n.state.Verdict.String(), "reason", n.state.Reason)
	case n.state.Class != before.Class:
		n.log.Debug("a node is probed with another outcome", "verdict", n.state.Verdict.String(), "reason", n.state.Reason)
	}
}

// stillSilent renews the time of a status while a node that is down lets a
// connection wait.
func (n *node) stillSilent() {
	now := time.Now()
	n.publish(func(s *record) { s.At = now })
}

// wait lets the time until the next attempt pass. With a connection it ends early
// if the node closes that, but not twice in a row: a server that says what nobody has
// asked for must not make the probe run as fast as it can.
func (n *node) wait(ctx context.Context, p pace) {
	d := p.wait
	if p.onGrid {
		d -= time.Since(n.grid) % p.wait
	}
	if d <= 0 {
		return
	}
	if n.session != nil && !n.unasked {
		began := time.Now()
		n.session.Rest(d)
		n.unasked = time.Since(began) < d
		return
	}
	n.unasked = false
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
