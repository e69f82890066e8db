package galera

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
)

const (
	// readAgain is the pause after a causal read that came back, lookAgain that between two looks.
	readAgain = 50 * time.Millisecond
	lookAgain = 20 * time.Millisecond
	// readPatience is how long one causal read is waited for: longer than Galera needs for a new view. The server ends it
	// itself after repl.causal_read_timeout (30 s).
	readPatience = 20 * time.Second
)

const (
	causalSetup = "SET SESSION wsrep_sync_wait=1"
	causalRead  = "SELECT 1"

	lookStatus = "SHOW SESSION STATUS WHERE Variable_name IN ('wsrep_cluster_status','wsrep_local_state','wsrep_local_recv_queue'," +
		"'wsrep_flow_control_paused_ns','wsrep_received','wsrep_received_bytes','wsrep_replicated','wsrep_replicated_bytes','wsrep_last_committed');"

	// lookThreads counts the threads of the server's own that are no replica's and none of InnoDB's, of these the appliers at work,
	// and the clients that run what may be DDL.
	//
	// An applier is idle where it has no statement and one of these states (MariaDB 10.11, seen and in its binary; MySQL 8
	// with PXC's, read). What it shows between two events of a transaction is one of them, too, for less than a millisecond.
	//
	// DDL is every statement that does not begin with a word of the list, after comments and brackets: one that is not known
	// is taken for DDL. A procedure shows the statement that it is at.
	lookThreads = "SELECT COALESCE(SUM(own),0),COALESCE(SUM(own AND (INFO IS NOT NULL OR COALESCE(STATE,'') NOT IN" +
		" ('','wsrep applier idle','wsrep applier committed','wsrep aborter idle','After apply log event'," +
		"'wsrep: applier idle','wsrep: aborter idle','wsrep: committed write set'))),0)," +
		"COALESCE(SUM(NOT own AND COMMAND='Query' AND INFO IS NOT NULL AND NOT INFO REGEXP" +
		" '^([[:space:](;]|/[*]([^*]|[*]+[^*/])*[*]+/)*(SELECT|INSERT|UPDATE|DELETE|REPLACE|WITH|VALUES|COMMIT|ROLLBACK|BEGIN|START|" +
		"SAVEPOINT|RELEASE|SHOW|EXPLAIN|DESC|DESCRIBE|KILL|XA|FETCH|HELP)([^A-Za-z_]|$)'),0)" +
		" FROM (SELECT COMMAND,STATE,INFO,USER='system user' AND COMMAND NOT LIKE 'Slave%' AND COMMAND<>'Daemon' AS own" +
		" FROM information_schema.PROCESSLIST) threads"
)

// witness asks causal reads of one node while another one looks as if it had ended, and looks meanwhile whether this one is late
// with its own work.
type witness struct {
	cfg     *Config
	dialer  *conn.Dialer
	log     *slog.Logger
	wake    chan struct{}
	wanted  func() bool
	came    func(began time.Time) // takes a read that has come back
	publish func(func(*record))
}

func (w *witness) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		}
		if w.wanted() {
			w.watch(ctx)
		}
	}
}

// watch asks until it is no longer wanted.
func (w *witness) watch(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	var both sync.WaitGroup
	both.Go(func() { w.each(ctx, readAgain, causalSetup, w.read) })
	both.Go(func() {
		var before *lookedAt
		w.each(ctx, lookAgain, setup[:len(setup)-1], func(s *conn.Session) error {
			l, err := w.look(s, before)
			before = l
			return err
		})
	})
	for w.wanted() && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(suspectEvery):
		}
	}
	cancel()
	both.Wait()
	w.publish(func(r *record) { r.Wait = Wait{} })
}

// each runs f on a session again and again, with a pause, until ctx is done. A session that fails is made anew.
func (w *witness) each(ctx context.Context, pause time.Duration, setup string, f func(*conn.Session) error) {
	d := *w.dialer // a dialer has a memory
	var s *conn.Session
	defer func() {
		if s != nil {
			s.Abort() // the node may be deaf, and a read that hangs is not waited for
		}
	}()
	for ctx.Err() == nil {
		var err error
		if s == nil {
			if s, err = w.cfg.open(ctx, &d, setup); err != nil {
				s = nil
				w.log.Debug("a node cannot be asked whether the group waits", "error", err)
			}
		}
		if s != nil {
			if err = f(s); err != nil && s.Broken() {
				s.Abort()
				s = nil
			}
		}
		if err != nil {
			// Nothing is known then, and a server that answers with errors is not asked faster.
			w.publish(func(r *record) { r.Wait = Wait{Late: "cannot be asked: " + conn.PlainText(err.Error(), longestValue)} })
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// open makes a session that ctx ends, with what is to be run first.
func (c Config) open(ctx context.Context, d *conn.Dialer, setup string) (*conn.Session, error) {
	s, err := d.Open(ctx, c.opening(ctx, c.Deadline))
	if err != nil {
		return nil, err
	}
	if err = s.Ask(setup, nil, nil); err != nil {
		s.Abort()
		return nil, err
	}
	return s, nil
}

// read asks one causal read.
func (w *witness) read(s *conn.Session) error {
	s.Begin(readPatience)
	began := time.Now()
	w.publish(func(r *record) { r.Wait = r.Wait.Began(began) })
	err := s.Ask(causalRead, nil, nil)
	if err == nil {
		w.came(began)
	}
	w.publish(func(r *record) { r.Wait = r.Wait.Returned() })
	return err
}

// lookedAt is what one look saw of flow control, and of what the group has delivered.
type lookedAt struct {
	at                      time.Time
	paused                  int64
	count, bytes, committed int64
}

// look asks what the node is late with.
func (w *witness) look(s *conn.Session, before *lookedAt) (*lookedAt, error) {
	s.Begin(w.cfg.Deadline)
	l := &lookedAt{at: time.Now(), paused: -1}
	late, threads := "", false
	add := func(why string) {
		if late == "" {
			late = why
		}
	}
	err := s.Ask(lookStatus+lookThreads, func(_ int, row []conn.Value) error {
		switch len(row) {
		case 2:
			name, value := string(row[0]), string(row[1])
			n, _ := conn.Seqno(row[0], row[1])
			switch {
			case name == "wsrep_cluster_status" && value != primary:
				add("not in the primary component")
			case name == "wsrep_local_state" && n != StateSynced:
				add("not synced")
			case name == "wsrep_local_recv_queue" && n != 0:
				add(fmt.Sprintf("%d write sets wait to be applied", n))
			case name == "wsrep_flow_control_paused_ns":
				l.paused = n
			case name == "wsrep_received", name == "wsrep_replicated":
				l.count += n
			case name == "wsrep_received_bytes", name == "wsrep_replicated_bytes":
				l.bytes += n
			case name == "wsrep_last_committed":
				l.committed = n
			}
		case 3:
			threads = true
			own, err1 := strconv.Atoi(string(row[0]))
			busy, err2 := strconv.Atoi(string(row[1]))
			ddl, err3 := strconv.Atoi(string(row[2]))
			switch {
			case errors.Join(err1, err2, err3) != nil:
				return conn.ErrIncomplete
			case own == 0:
				add("its appliers are not seen: the probe's account lacks PROCESS")
			case busy > 0:
				add("an applier is at work")
			case ddl > 0:
				add("a client's DDL may be under way")
			}
		}
		return nil
	}, nil)
	switch {
	case err != nil:
		return nil, err
	case !threads || l.paused < 0:
		return nil, conn.ErrIncomplete
	case before == nil:
		add("only just looked at")
	case l.paused != before.paused:
		add("flow control holds it back")
	case l.count != before.count || l.committed != before.committed:
		add("the group delivers, or it has only just applied what was delivered")
	}
	w.publish(func(r *record) {
		r.intake = r.intake.Read(l.at, l.count, l.bytes, l.committed)
		if r.intake.Large(l.at) {
			add("a large write set has come")
		}
		r.Wait = r.Wait.Looked(l.at, late)
	})
	return l, nil
}
