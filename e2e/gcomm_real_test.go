package e2e

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/haproxy-peers/haproxy-peers/control/evict/gcomm"
	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

// realGroup is a lab's Galera as the subject of a script.
type realGroup struct {
	t     *testing.T
	ctx   context.Context
	lab   *lab.Lab
	begun time.Time
	roles [3]int
	nodes []*realNode
	work  sync.WaitGroup
	end   context.CancelFunc
}

// realNode is one node with what a script has going on there.
type realNode struct {
	*lab.Node
	db   *sql.DB // for reads and writes, which may hang for long
	hung bool
	off  context.CancelFunc // ends the writing

	mu      sync.Mutex
	commits []time.Time
	last    string // the observation that was logged last
	uuid    string // the last that was read
}

func newRealGroup(t *testing.T, ctx context.Context, l *lab.Lab) *realGroup {
	ctx, end := context.WithCancel(ctx)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	g := &realGroup{t: t, ctx: ctx, lab: l, begun: time.Now(), end: end}
	// No step may be the first to use the table, nor find an entry that an earlier script has left on a list.
	must(l.DB[0].Exec(ctx, "CREATE TABLE IF NOT EXISTS lab.conform (id INT PRIMARY KEY, n INT NOT NULL) ENGINE=InnoDB"))
	for _, n := range l.DB {
		must(n.Exec(ctx, "SET GLOBAL wsrep_provider_options = '"+realEvict+"'"))
		must(n.Exec(ctx, "SET GLOBAL wsrep_provider_options = 'evs.join_retrans_period=PT1S;pc.weight=1'"))
		cfg := mysql.NewConfig()
		cfg.User, cfg.Net, cfg.Addr = "root", "unix", n.Socket
		connector, err := mysql.NewConnector(cfg)
		must(err)
		g.nodes = append(g.nodes, &realNode{Node: n, db: sql.OpenDB(connector)})
	}
	g.roles = [3]int{0, 1, 2}
	if g.Observe(0).UUID > g.Observe(1).UUID {
		g.roles = [3]int{1, 0, 2}
	}
	for i := range g.nodes {
		t.Logf("%s is %s", g.nodes[i].Name, g.Observe(i).UUID)
	}
	return g
}

// close ends what the script left going on.
func (g *realGroup) close() {
	g.end()
	for i, n := range g.nodes {
		if n.hung {
			_ = g.Do(gcomm.Resume, i, i, 0)
		}
		_ = n.db.Close()
	}
	g.work.Wait()
}

func (g *realGroup) Roles() [3]int         { return g.roles }
func (g *realGroup) Now() time.Duration    { return time.Since(g.begun) }
func (g *realGroup) Sleep(d time.Duration) { wait(g.ctx, d) }

const realEvict = "evs.evict="

func (g *realGroup) Do(do gcomm.Verb, at, of, count int) error {
	n := g.nodes[at]
	g.t.Logf("%v: %s %s", g.Now().Round(time.Millisecond), do, n.Name)
	switch do {
	case gcomm.Kill:
		n.Kill9()
		return nil
	case gcomm.Hang:
		n.hung = true
		return n.Pause()
	case gcomm.Resume:
		n.hung = false
		return n.Cont()
	case gcomm.Stop:
		return n.Stop()
	case gcomm.Start:
		g.work.Go(func() {
			if err := n.Start(g.ctx); err != nil {
				g.t.Log(err)
			}
		})
		return nil
	case gcomm.Isolate:
		_, err := g.lab.Isolate(g.ctx, n.Host)
		return err
	case gcomm.CutLink:
		_, err := g.lab.Cut(g.ctx, n.Host, g.nodes[of].Host)
		return err
	case gcomm.Heal:
		return g.lab.HealAll(g.ctx)
	case gcomm.Evict:
		return g.provider(n, "evs.join_retrans_period=PT0.1S;"+realEvict+g.uuid(of))
	case gcomm.EvictSlow:
		return g.provider(n, realEvict+g.uuid(of))
	case gcomm.Clear:
		return g.provider(n, realEvict)
	case gcomm.SetWeight:
		return g.provider(n, fmt.Sprintf("pc.weight=%d", count))
	}
	return fmt.Errorf("%s cannot be done", do)
}

func (g *realGroup) provider(n *realNode, options string) error {
	return n.Exec(g.ctx, "SET GLOBAL wsrep_provider_options = '"+options+"'")
}

// uuid returns a node's UUID as it was read last.
func (g *realGroup) uuid(of int) string {
	n := g.nodes[of]
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.uuid
}

func (g *realGroup) Observe(node int) gcomm.Observation {
	n := g.nodes[node]
	switch {
	case n.hung:
		return gcomm.Observation{Answer: gcomm.Silent}
	case !n.Running():
		return gcomm.Observation{Answer: gcomm.Refused}
	}
	s, err := n.Status(g.ctx, "wsrep_%")
	if err != nil {
		return gcomm.Observation{Answer: gcomm.Refused}
	}
	number := func(name string) int {
		v, _ := strconv.Atoi(s[name])
		return v
	}
	conf, err := strconv.ParseInt(s["wsrep_cluster_conf_id"], 10, 64)
	if err != nil {
		conf = -1 // outside of a primary component it is the greatest unsigned number
	}
	o := gcomm.Observation{
		Answer: gcomm.Speaks, UUID: s["wsrep_gcomm_uuid"], Status: s["wsrep_cluster_status"], ConfID: conf,
		Size: number("wsrep_cluster_size"), Weight: number("wsrep_cluster_weight"), EVS: s["wsrep_evs_state"],
		LocalState: number("wsrep_local_state"), Queue: number("wsrep_local_recv_queue"),
		Paused: s["wsrep_flow_control_active"] == "true",
	}
	if list := s["wsrep_evs_evict_list"]; list != "" {
		o.Evicted = strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
		slices.Sort(o.Evicted)
	}
	g.note(n, o)
	return o
}

// note logs an observation that differs from the last one.
func (g *realGroup) note(n *realNode, o gcomm.Observation) {
	text := fmt.Sprintf("%s %s conf %d size %d weight %d %s state %d evicted %v paused %t", o.UUID, o.Status, o.ConfID, o.Size,
		o.Weight, o.EVS, o.LocalState, o.Evicted, o.Paused)
	n.mu.Lock()
	defer n.mu.Unlock()
	if o.UUID != "" {
		n.uuid = o.UUID
	}
	if text != n.last {
		n.last = text
		g.t.Logf("%v: %s: %s", g.Now().Round(time.Millisecond), n.Name, text)
	}
}

func (g *realGroup) Write(node int, on bool) {
	n := g.nodes[node]
	if !on {
		if n.off != nil {
			n.off()
		}
		return
	}
	ctx, off := context.WithCancel(g.ctx)
	n.off = off
	g.work.Go(func() {
		statement := fmt.Sprintf("INSERT INTO lab.conform VALUES (%d, 0) ON DUPLICATE KEY UPDATE n = n + 1", node)
		for ctx.Err() == nil {
			if _, err := n.db.ExecContext(ctx, statement); err == nil {
				n.mu.Lock()
				n.commits = append(n.commits, time.Now())
				n.mu.Unlock()
			}
			wait(ctx, 5*time.Millisecond)
		}
	})
}

func (g *realGroup) Gap(node int, since time.Duration) time.Duration {
	n := g.nodes[node]
	n.mu.Lock()
	defer n.mu.Unlock()
	last, most := g.begun.Add(since), time.Duration(0)
	for _, at := range n.commits {
		if at.After(last) {
			most, last = max(most, at.Sub(last)), at
		}
	}
	return max(most, time.Since(last))
}

func (g *realGroup) Read(node int) func() (time.Duration, bool) {
	n := g.nodes[node]
	conn, err := n.db.Conn(g.ctx)
	if err == nil {
		_, err = conn.ExecContext(g.ctx, "SET SESSION wsrep_sync_wait = 1")
	}
	if err != nil {
		g.t.Error(err)
		return func() (time.Duration, bool) { return 0, true }
	}
	done := make(chan time.Duration, 1)
	begin := time.Now()
	g.work.Go(func() {
		defer func() { _ = conn.Close() }()
		var id int
		_ = conn.QueryRowContext(g.ctx, "SELECT id FROM lab.conform LIMIT 1").Scan(&id) // that it ends is what counts
		done <- time.Since(begin)
	})
	var took time.Duration
	ended := false
	return func() (time.Duration, bool) {
		select {
		case took = <-done:
			ended = true
		default:
			if !ended {
				took = time.Since(begin)
			}
		}
		return took, ended
	}
}
