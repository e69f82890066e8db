package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"
)

// LoadConfig says what a load does.
type LoadConfig struct {
	// Proxies are connected through, from the client host. Default: all of the lab.
	Proxies []*Proxy

	// Direct are the nodes to which a client each is connected straight, as the measure of Galera's own share.
	Direct []*Node

	// Clients is the number of clients per proxy, 1 to 100. Default 3.
	Clients int

	// Rate is the number of transactions per second that the clients of one proxy together begin at most, and a
	// direct client by itself; 1 to 2000. Default 60. Gaps cannot be told more finely than by about 1/Rate.
	Rate int

	// ReconnectEvery closes each connection after that many transactions: 1 makes a connection per transaction.
	// Default 0: connections are kept until they fail. Direct clients always keep theirs.
	ReconnectEvery int

	// Hold keeps each transaction open that long between its INSERT and its COMMIT. Default 0: BEGIN, INSERT and
	// COMMIT travel in one packet.
	Hold time.Duration

	// Port is the proxies' port. Default MySQLPort.
	Port int

	// ConnectTimeout bounds a connection attempt up to the end of the login. Default 5 s.
	ConnectTimeout time.Duration

	// Timeout bounds a transaction. Default 15 s: longer than Galera needs to put out a node, so that a commit that
	// has to wait for that is seen waiting.
	Timeout time.Duration

	// Retry is the pause after a failure. Default 10 ms.
	Retry time.Duration
}

const (
	maxClients = 100
	maxRate    = 2000
)

func (c LoadConfig) withDefaults(l *Lab) LoadConfig {
	if c.Proxies == nil {
		c.Proxies = l.PX
	}
	defaults := func(field *int, value int) {
		if *field == 0 {
			*field = value
		}
	}
	durations := func(field *time.Duration, value time.Duration) {
		if *field == 0 {
			*field = value
		}
	}
	defaults(&c.Clients, 3)
	defaults(&c.Rate, 60)
	defaults(&c.Port, MySQLPort)
	durations(&c.ConnectTimeout, 5*time.Second)
	durations(&c.Timeout, 15*time.Second)
	durations(&c.Retry, 10*time.Millisecond)
	return c
}

// Validate names every field that cannot be used, in one error (errors.Join). Zero values are valid.
func (c LoadConfig) Validate() error {
	var errs []error
	if c.Clients < 0 || c.Clients > maxClients {
		errs = append(errs, fmt.Errorf("load: Clients %d: 1 to %d", c.Clients, maxClients))
	}
	if c.Rate < 0 || c.Rate > maxRate {
		errs = append(errs, fmt.Errorf("load: Rate %d: 1 to %d", c.Rate, maxRate))
	}
	if c.ReconnectEvery < 0 {
		errs = append(errs, fmt.Errorf("load: ReconnectEvery %d: not negative", c.ReconnectEvery))
	}
	if c.Hold < 0 || c.ConnectTimeout < 0 || c.Timeout < 0 || c.Retry < 0 {
		errs = append(errs, errors.New("load: Hold, ConnectTimeout, Timeout and Retry must not be negative"))
	}
	return errors.Join(errs...)
}

// Load is a number of clients at work. All methods may be called from several goroutines.
type Load struct {
	run     string
	begin   time.Time
	cancel  context.CancelFunc
	clients sync.WaitGroup
	vias    []string

	mu          sync.Mutex
	end         time.Duration
	commits     []Commit
	connections []*Connection
	marks       []Mark
	latest      map[string]Commit // the last acknowledged commit of each via
}

// StartLoad starts the clients and returns at once. Stop or Lab.Reset or Lab.Close ends them.
func (l *Lab) StartLoad(ctx context.Context, cfg LoadConfig) (*Load, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("start the load: %w", err)
	}
	cfg = cfg.withDefaults(l)
	load, ctx := l.newLoad(ctx)
	every := time.Second * time.Duration(cfg.Clients) / time.Duration(cfg.Rate)
	for _, p := range cfg.Proxies {
		load.vias = append(load.vias, p.Name)
		for i := range cfg.Clients {
			c := client{load: load, host: l.Client, cfg: cfg, via: p.Name, number: i, user: AppUser, every: every,
				address: net.JoinHostPort(p.IP, strconv.Itoa(cfg.Port)), reconnect: cfg.ReconnectEvery}
			// Spread over one interval: clients in step would all wait at the same time.
			c.delay = every * time.Duration(i) / time.Duration(cfg.Clients)
			load.clients.Go(func() { c.work(ctx) })
		}
	}
	for _, n := range cfg.Direct {
		c := client{load: load, host: l.Client, cfg: cfg, via: directPrefix + n.Name, user: DirectUser,
			every: time.Second / time.Duration(cfg.Rate), address: n.Address()}
		load.vias = append(load.vias, c.via)
		load.clients.Go(func() { c.work(ctx) })
	}
	return load, nil
}

// newLoad makes a load without clients, and the context that they work under.
func (l *Lab) newLoad(ctx context.Context) (*Load, context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	load := &Load{begin: time.Now(), cancel: cancel, latest: map[string]Commit{}}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.started++
	load.run = "run" + strconv.Itoa(l.started)
	l.loads = append(l.loads, load)
	return load, ctx
}

// now is the load's clock.
func (l *Load) now() time.Duration { return time.Since(l.begin) }

// Mark gives this moment a name, for the judge.
func (l *Load) Mark(name string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.now()
	l.marks = append(l.marks, Mark{Name: name, At: at})
	return at
}

// Stop ends the clients and returns what they wrote down. A second call returns the same again.
func (l *Load) Stop() *Log {
	l.mu.Lock()
	if l.end == 0 {
		l.end = l.now()
	}
	l.mu.Unlock()
	l.cancel()
	l.clients.Wait()
	return l.Snapshot()
}

// Snapshot returns what the clients have written down so far. Commits and connections that ended after Stop was
// called are left out: the clients were told to go.
func (l *Load) Snapshot() *Log {
	l.mu.Lock()
	defer l.mu.Unlock()
	log := &Log{Run: l.run, Marks: slices.Clone(l.marks), Vias: slices.Clone(l.vias), End: l.end}
	if log.End == 0 {
		log.End = l.now()
	}
	for _, c := range l.commits {
		// An acknowledgement that came while stopping is a promise all the same.
		if c.Ack <= log.End || c.Acked() {
			log.Commits = append(log.Commits, c)
		}
	}
	for _, c := range l.connections {
		if c.Start <= log.End {
			log.Connections = append(log.Connections, *c)
		}
	}
	log.sorted()
	return log
}

// WaitFlowing waits until every proxy and direct client has had a commit acknowledged that was begun after the call.
func (l *Load) WaitFlowing(ctx context.Context) error {
	after := l.now()
	return l.wait(ctx, "commits through every proxy", l.vias, func(c Commit) bool { return c.Start >= after })
}

// WaitNode waits until every proxy has had a commit acknowledged by a node that was begun after the call.
func (l *Load) WaitNode(ctx context.Context, node string) error {
	after := l.now()
	return l.wait(ctx, "commits of every proxy on "+node, l.proxies(), func(c Commit) bool {
		return c.Start >= after && c.Node == node
	})
}

func (l *Load) proxies() []string {
	return slices.DeleteFunc(slices.Clone(l.vias), func(via string) bool { return Commit{Via: via}.Direct() })
}

func (l *Load) wait(ctx context.Context, what string, vias []string, done func(Commit) bool) error {
	return poll(ctx, what, 5*time.Millisecond, func() (bool, string, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, via := range vias {
			if c, ok := l.latest[via]; !ok || !done(c) {
				return false, fmt.Sprintf("%s not yet: its last commit was on %q %v ago", via, c.Node,
					(l.now() - c.Ack).Round(time.Millisecond)), nil
			}
		}
		return true, "", nil
	})
}

// Lost compares the log with what every running node's table holds and returns the acknowledged commits that are
// missing, per node. It waits until each running node has applied what the cluster has committed (wsrep_sync_wait).
// Nodes that are not synced are left out; it is an error if none is.
func (l *Lab) Lost(ctx context.Context, log *Log) (map[string][]Commit, error) {
	lost := map[string][]Commit{}
	asked := 0
	for _, n := range l.DB {
		if n.isPaused() || !n.Running() {
			continue
		}
		if ok, _ := n.Synced(ctx); !ok {
			continue
		}
		rows, err := n.rows(ctx, log.Run)
		if err != nil {
			return nil, err
		}
		asked++
		if missing := log.Missing(rows); len(missing) > 0 {
			lost[n.Name] = missing
		}
	}
	if asked == 0 {
		return nil, errNoneSynced
	}
	return lost, nil
}

// rows reads what a node has of a run: the keys, and the node that took each.
func (n *Node) rows(ctx context.Context, run string) (map[Key]string, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	conn, err := n.db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", n.Name, err)
	}
	defer conn.Close()
	// With it the node first applies all that the cluster has committed before this moment.
	if _, err := conn.ExecContext(ctx, "SET SESSION wsrep_sync_wait = 1"); err != nil {
		return nil, fmt.Errorf("%s: %w", n.Name, err)
	}
	table, err := query(ctx, conn, "SELECT proxy, client, seq, node FROM "+commitsTable+" WHERE run = ?", run)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", n.Name, err)
	}
	if _, err := conn.ExecContext(ctx, "SET SESSION wsrep_sync_wait = 0"); err != nil {
		return nil, fmt.Errorf("%s: %w", n.Name, err)
	}
	rows := make(map[Key]string, len(table))
	for _, row := range table {
		number, err := strconv.Atoi(row[1])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n.Name, err)
		}
		seq, err := strconv.ParseInt(row[2], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n.Name, err)
		}
		rows[Key{row[0], number, seq}] = row[3]
	}
	return rows, nil
}
