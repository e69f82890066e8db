package e2e

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
	"github.com/haproxy-peers/haproxy-peers/e2e/stack"
)

const (
	readers     = "galera-replica-nodes"
	readersPort = 3307
	// readersFollow bounds how long after a decision the readers differ from it: one full look of each daemon.
	readersFollow = time.Second
)

// adminState is srv_admin_state of `show servers state` for the readers of one proxy: 8 is a drain that was set at run
// time, 1 a maintenance, 0 neither. Servers that HAProxy's checks call down are left out: nothing is put back before it
// could serve.
func (s *scenario) adminState(p *lab.Proxy) map[string]int {
	s.t.Helper()
	out := map[string]int{}
	for line := range strings.Lines(s.runtime(p, "show servers state "+readers)) {
		if f := strings.Fields(line); len(f) > 6 && f[1] == readers && (f[5] != "0" || f[6] != "0" && f[6] != "8") {
			n, err := strconv.Atoi(f[6])
			s.must(err)
			out[f[3]] = n
		}
	}
	return out
}

// waitReaders waits until these servers, and no others, drain in the readers of every proxy.
func (s *scenario) waitReaders(within time.Duration, drained ...string) {
	s.t.Helper()
	start := time.Now()
	for _, p := range s.PX {
		s.must(until(s.within(within), fmt.Sprintf("the readers of %s to drain %v", p.Name, drained), func() (bool, string) {
			now := s.adminState(p)
			for name, state := range now {
				if (state&8 != 0) != slices.Contains(drained, name) {
					return false, fmt.Sprint(now)
				}
			}
			return len(now) > 0, fmt.Sprint(now)
		}))
	}
	s.t.Logf("readers drain %v after %v", drained, time.Since(start))
}

// reader is a session through the readers' frontend.
type reader struct {
	conn *sql.Conn
	node string
}

// openReader opens one. It ends with the scenario.
func (s *scenario) openReader(p *lab.Proxy) reader {
	s.t.Helper()
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.Net = lab.AppUser, lab.Password, "tcp"
	cfg.Addr = net.JoinHostPort(p.IP, strconv.Itoa(readersPort))
	cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		return s.Client.Dial(ctx, network, addr)
	}
	connector, err := mysql.NewConnector(cfg)
	s.must(err)
	db := sql.OpenDB(connector)
	s.t.Cleanup(func() { _ = db.Close() })
	conn, err := db.Conn(s.ctx)
	s.must(err)
	r := reader{conn: conn}
	r.node = s.readsFrom(r)
	return r
}

// readsFrom asks the session which node it is on: an error means that it was cut.
func (s *scenario) readsFrom(r reader) string {
	s.t.Helper()
	node := ""
	if err := r.conn.QueryRowContext(s.ctx, "SELECT @@wsrep_node_name").Scan(&node); err != nil {
		s.t.Errorf("a reader's session was cut: %v", err)
	}
	return node
}

// The readers' backend leaves the active out, on every proxy: over a move, a failover, a reload and a restart of
// HAProxy and its daemon's death. Sessions are not cut, the backend is never emptied, what an operator has set stays,
// and without the policy everything is put back.
func TestReadersFollow(t *testing.T) {
	full(t)
	s := begin(t, stack.Options{DaemonArgs: []string{"--readers", "exclude-active"}})
	s.waitReaders(readersFollow, "db1")

	// A session on db2 lives on when db2 becomes the active, and new ones go elsewhere.
	var kept reader
	for kept.node != "db2" {
		kept = s.openReader(s.PX[0])
		if kept.node == "db1" {
			t.Fatal("a reader was given the active")
		}
	}
	_, err := s.Set(s.ctx, s.PX[1], "db2", "--drain", "immediate")
	s.must(err)
	s.waitReaders(readersFollow, "db2")
	for range 4 {
		if r := s.openReader(s.PX[0]); r.node == "db2" {
			t.Error("a reader was given the new active")
		}
	}
	if now := s.readsFrom(kept); now != "db2" {
		t.Errorf("the kept session is on %q", now)
	}

	// HAProxy begins anew, or its daemon does.
	for _, again := range []struct {
		how string
		do  func(p *lab.Proxy) error
	}{
		{"reload", func(p *lab.Proxy) error { return p.Reload(s.ctx, "") }},
		{"restart", func(p *lab.Proxy) error { return p.Restart(s.ctx) }},
		{"daemon killed", func(p *lab.Proxy) error { p.Daemon.Kill9(); return p.Daemon.StartAgain() }},
	} {
		s.must(again.do(s.PX[1]))
		s.must(s.WaitSteering(s.within(30*time.Second), len(s.PX)))
		t.Log(again.how)
		s.waitReaders(readersFollow, "db2")
	}
	// A move while the daemon is dead: what it drained comes back when it does.
	s.PX[1].Daemon.Kill9()
	s.must(s.waitOn(s.PX[:1], "px1 to be missed", func(a apiActive) bool { return a.Steering == 2 }))
	if _, err := client(s.PX[0]).Set(s.ctx, forced("db0")); err != nil {
		t.Fatal(err)
	}
	s.must(s.PX[1].Daemon.StartAgain())
	s.must(s.WaitActive(s.within(30*time.Second), "db0", len(s.PX)))
	s.must(s.WaitSteering(s.within(30*time.Second), len(s.PX)))
	s.waitReaders(readersFollow, "db0")

	// What an operator has set stays, whatever the active is.
	s.write(s.PX[2], "set server "+readers+"/db1 state drain")
	_, err = s.Set(s.ctx, s.PX[1], "db1", "--drain", "immediate")
	s.must(err)
	_, err = s.Set(s.ctx, s.PX[1], "db0", "--drain", "immediate")
	s.must(err)
	wait(s.ctx, readersFollow)
	if state := s.adminState(s.PX[2]); state["db1"]&8 == 0 || state["db0"]&8 == 0 || state["db2"] != 0 {
		t.Errorf("an operator's drain of db1 was touched: %v", state)
	}
	s.write(s.PX[2], "set server "+readers+"/db1 state maint")
	wait(s.ctx, readersFollow)
	if state := s.adminState(s.PX[2]); state["db1"]&1 == 0 {
		t.Errorf("an operator's maintenance of db1 was touched: %v", state)
	}
	s.write(s.PX[2], "set server "+readers+"/db1 state ready")
	s.waitReaders(readersFollow, "db0")

	// The active dies; then it alone is left.
	s.DB[0].Kill9()
	to := s.otherThan("db0")
	s.must(s.WaitActive(s.within(10*time.Second), to, len(s.PX)))
	s.waitReaders(readersFollow, to)
	last := map[string]string{"db1": "db2", "db2": "db1"}[to]
	s.must(s.Node(to).WaitClusterSize(s.within(20*time.Second), 2)) // or Galera itself would have no majority next
	s.must(s.Node(last).Stop())
	s.waitReaders(5 * time.Second) // HAProxy's own checks: two, a second apart
	if r := s.openReader(s.PX[0]); r.node != to {
		t.Errorf("the last node does not serve the readers: %q", r.node)
	}
	s.must(s.Node(last).Start(s.ctx))
	s.waitReaders(5*time.Second, to)

	// Without the policy everything is put back, by the record of what was done.
	for _, p := range s.PX {
		s.must(p.Daemon.Stop())
		args := slices.DeleteFunc(s.DaemonArgs(p), func(a string) bool { return a == "--readers" || a == "exclude-active" })
		s.must(p.Daemon.Start(lab.DaemonOptions{Args: args}))
	}
	s.must(s.WaitSteering(s.within(30*time.Second), len(s.PX)))
	s.waitReaders(readersFollow)
}
