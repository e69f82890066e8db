package lab

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-sql-driver/mysql"
)

const (
	// MySQLPort is the port of the nodes, and the load's default port at the proxies.
	MySQLPort = 3306

	pollInterval = 20 * time.Millisecond
	queryTimeout = 5 * time.Second
)

// Node is one database node. The host's methods (Dial, Run, ...) are the node's too.
type Node struct {
	*Host
	// DataDir is the node's data folder.
	DataDir string
	// Socket is the node's unix socket; root needs no password there.
	Socket string

	index int
	db    *sql.DB

	mu     sync.Mutex // a supervisor starts nodes too
	proc   *Process
	paused bool
	saved  map[string]string // global variables that SetGlobal has changed, with their values before
}

func newNode(h *Host, index int) *Node {
	n := &Node{Host: h, DataDir: filepath.Join(h.lab.Dir, h.Name), index: index, saved: map[string]string{}}
	n.Socket = filepath.Join(n.runDir(), "mariadb.sock")
	cfg := mysql.NewConfig()
	cfg.User, cfg.Net, cfg.Addr, cfg.Logger = "root", "unix", n.Socket, quiet{}
	cfg.InterpolateParams = true
	connector, _ := mysql.NewConnector(cfg) // fails for TLS and parameters only, and there are none
	n.db = sql.OpenDB(connector)
	n.db.SetMaxIdleConns(1)
	return n
}

// quiet swallows the driver's own words: its errors come back as errors too.
type quiet struct{}

func (quiet) Print(...any) {}

func (n *Node) closePool() { _ = n.db.Close() }

// Address is where clients of other hosts reach the node.
func (n *Node) Address() string { return net.JoinHostPort(n.IP, strconv.Itoa(MySQLPort)) }

// Process returns the node's process, nil before the first start.
func (n *Node) Process() *Process {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.proc
}

// isPaused tells whether the node was stopped with Pause.
func (n *Node) isPaused() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.paused
}

func (n *Node) setPaused(paused bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.paused = paused
}

// Running tells whether the node's process lives; a paused one does.
func (n *Node) Running() bool { return n.Process().Running() }

// Kill9 ends the node as a crash does: its port refuses from now on.
func (n *Node) Kill9() {
	n.Process().Kill9()
	n.setPaused(false)
}

// Stop shuts the node down in order (SIGTERM), within 30 s. A paused node is continued first.
func (n *Node) Stop() error {
	if n.isPaused() {
		if err := n.Cont(); err != nil {
			return err
		}
	}
	proc := n.Process()
	if proc == nil {
		return nil
	}
	return proc.Stop(30 * time.Second)
}

// Pause stops the node with SIGSTOP: a hang.
func (n *Node) Pause() error {
	err := n.Process().Pause()
	n.setPaused(err == nil)
	return err
}

// Cont lets a paused node go on. If the others have put it out meanwhile, it joins again by itself.
func (n *Node) Cont() error {
	n.setPaused(false)
	return n.Process().Cont()
}

// Start starts a node that is down and returns when it is synced. It joins the others by incremental or full state
// transfer, as Galera decides; a lowered floor is put back to normal first. Without a primary component to join it
// fails: use Lab.Reset.
func (n *Node) Start(ctx context.Context) error { return n.start(ctx) }

// start is Start with further arguments.
func (n *Node) start(ctx context.Context, extra ...string) error {
	if n.Running() {
		return fmt.Errorf("start %s: it runs already", n.Name)
	}
	if err := n.lab.NormalFloor(ctx); err != nil {
		return fmt.Errorf("start %s: %w", n.Name, err)
	}
	position, err := n.recoverPosition(ctx)
	if err != nil {
		return fmt.Errorf("start %s: %w", n.Name, err)
	}
	if position != "" {
		extra = append(extra, "--wsrep-start-position="+position)
	}
	if err := n.launch(extra...); err != nil {
		return err
	}
	return n.WaitSynced(ctx)
}

// StartAtOnce starts a node that is down without asking it first where its data stand, and waits for nothing: it reaches
// the others within a moment of its death, and makes a full copy.
func (n *Node) StartAtOnce() error {
	if n.Running() {
		return fmt.Errorf("start %s: it runs already", n.Name)
	}
	return n.launch()
}

// launch starts the process and nothing else.
func (n *Node) launch(extra ...string) error {
	if err := n.lab.ownFolder(n.runDir()); err != nil {
		return err
	}
	proc, err := n.Host.Start(Spec{
		Name: "mariadbd", Args: append(n.arguments(n.DataDir), extra...), Credential: n.lab.mysql,
	})
	if err != nil {
		return err
	}
	n.mu.Lock()
	n.proc, n.paused = proc, false
	clear(n.saved) // a new process has the settings of the command line
	n.mu.Unlock()
	return nil
}

// Query runs a statement as root over the unix socket and returns its rows as texts, NULL as "".
func (n *Node) Query(ctx context.Context, statement string, args ...any) ([][]string, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	rows, err := query(ctx, n.db, statement, args...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", n.Name, err)
	}
	return rows, nil
}

// querier is a pool of connections or one of them.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func query(ctx context.Context, q querier, statement string, args ...any) ([][]string, error) {
	rows, err := q.QueryContext(ctx, statement, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var all [][]string
	for rows.Next() {
		values, into := make([]sql.NullString, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		row := make([]string, len(columns))
		for i, v := range values {
			row[i] = v.String
		}
		all = append(all, row)
	}
	return all, rows.Err()
}

// Exec runs a statement without rows as root over the unix socket.
func (n *Node) Exec(ctx context.Context, statement string, args ...any) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	if _, err := n.db.ExecContext(ctx, statement, args...); err != nil {
		return fmt.Errorf("%s: %s: %w", n.Name, statement, err)
	}
	return nil
}

// Status returns the node's status variables whose names are LIKE the pattern, names in lower case.
func (n *Node) Status(ctx context.Context, pattern string) (map[string]string, error) {
	rows, err := n.Query(ctx, "SHOW GLOBAL STATUS WHERE Variable_name LIKE '"+pattern+"'")
	if err != nil {
		return nil, err
	}
	status := make(map[string]string, len(rows))
	for _, row := range rows {
		status[strings.ToLower(row[0])] = row[1]
	}
	return status, nil
}

// LocalState is wsrep_local_state.
const (
	stateDonor  = "2"
	stateSynced = "4"
)

// Synced tells whether the node is a synced member of the primary component and ready for queries, and if not, why.
func (n *Node) Synced(ctx context.Context) (bool, string) {
	if !n.Running() {
		return false, n.Name + " does not run"
	}
	s, err := n.Status(ctx, "wsrep_%")
	if err != nil {
		return false, err.Error()
	}
	ok := s["wsrep_local_state"] == stateSynced && s["wsrep_cluster_status"] == "Primary" && s["wsrep_ready"] == "ON"
	return ok, fmt.Sprintf("%s is %s, %s, ready %s, cluster of %s", n.Name, s["wsrep_local_state_comment"],
		s["wsrep_cluster_status"], s["wsrep_ready"], s["wsrep_cluster_size"])
}

// WaitSynced waits until the node is synced, or has ended, which is an error with the end of its log.
func (n *Node) WaitSynced(ctx context.Context) error {
	return poll(ctx, n.Name+" to be synced", pollInterval, func() (bool, string, error) {
		if !n.Running() {
			return false, "", fmt.Errorf("%s has ended: %s", n.Name, n.Process().LogTail(1500))
		}
		ok, why := n.Synced(ctx)
		return ok, why, nil
	})
}

// WaitClusterSize waits until the node sees that many members and is primary.
func (n *Node) WaitClusterSize(ctx context.Context, size int) error {
	want := strconv.Itoa(size)
	return poll(ctx, fmt.Sprintf("%s to see %d nodes", n.Name, size), pollInterval, func() (bool, string, error) {
		s, err := n.Status(ctx, "wsrep_cluster%")
		if err != nil {
			return false, err.Error(), nil
		}
		return s["wsrep_cluster_size"] == want && s["wsrep_cluster_status"] == "Primary",
			s["wsrep_cluster_size"] + " nodes, " + s["wsrep_cluster_status"], nil
	})
}

var (
	variableName = regexp.MustCompile(`^[a-z_]+$`)
	plainValue   = regexp.MustCompile(`^(-?[0-9]+|ON|OFF)$`)
)

// SetGlobal sets a global variable of the node. Lab.Reset puts the value from before the first SetGlobal back.
func (n *Node) SetGlobal(ctx context.Context, name, value string) error {
	if !variableName.MatchString(name) {
		return fmt.Errorf("%q is no variable's name", name)
	}
	rows, err := n.Query(ctx, "SELECT @@GLOBAL."+name)
	if err != nil {
		return err
	}
	n.mu.Lock()
	if _, ok := n.saved[name]; !ok {
		n.saved[name] = rows[0][0]
	}
	n.mu.Unlock()
	return n.setGlobal(ctx, name, value)
}

func (n *Node) setGlobal(ctx context.Context, name, value string) error {
	if !plainValue.MatchString(value) {
		value = "'" + strings.ReplaceAll(value, "'", "''") + "'"
	}
	return n.Exec(ctx, "SET GLOBAL "+name+" = "+value)
}

// restoreGlobals undoes every SetGlobal.
func (n *Node) restoreGlobals(ctx context.Context) error {
	n.mu.Lock()
	saved := n.saved
	n.saved = map[string]string{}
	n.mu.Unlock()
	var errs []error
	for name, value := range saved {
		errs = append(errs, n.setGlobal(ctx, name, value))
	}
	return errors.Join(errs...)
}

// Desync makes the node a donor in all but name (wsrep_desync=ON: wsrep_local_state 2, as during a state transfer or
// a backup) and returns when the state shows it, or with false brings it back to synced.
func (n *Node) Desync(ctx context.Context, on bool) error {
	value, want := "OFF", stateSynced
	if on {
		value, want = "ON", stateDonor
	}
	if err := n.SetGlobal(ctx, "wsrep_desync", value); err != nil {
		return err
	}
	return poll(ctx, n.Name+" to have wsrep_desync="+value, pollInterval, func() (bool, string, error) {
		s, err := n.Status(ctx, "wsrep_local_state%")
		return s["wsrep_local_state"] == want, s["wsrep_local_state_comment"], err
	})
}

// Connections returns how many connections a user has made to the node since its process began, counted by the node
// itself (information_schema.USER_STATISTICS). The load's clients are AppUser, its direct clients DirectUser.
func (n *Node) Connections(ctx context.Context, user string) (int, error) {
	rows, err := n.Query(ctx, "SELECT TOTAL_CONNECTIONS FROM information_schema.USER_STATISTICS WHERE USER = ?", user)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	return strconv.Atoi(rows[0][0])
}
