package lab

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// folderPrefix begins the name of every lab's folder; nothing else is ever removed recursively.
const folderPrefix = "haproxy-peers-lab-"

// Lab is one running lab. Its methods may be called from several goroutines; those of one Node, Proxy or Daemon by
// one goroutine at a time.
type Lab struct {
	// ID tells labs apart; it is part of the namespaces' names.
	ID string
	// Dir is the lab's folder: data, sockets, configurations, and "log" with a file per started process.
	Dir string
	// GossipKey is the file with the daemons' gossip key, one for all of a lab.
	GossipKey string
	// DB are the database nodes, db0 first.
	DB []*Node
	// PX are the proxies, px0 first.
	PX []*Proxy
	// Client is the host that the load comes from.
	Client *Host

	cfg     Config
	log     *slog.Logger
	home    *os.File
	spawner *spawner
	reaper  *reaper
	hosts   []*Host
	version string              // the databases'
	mysql   *syscall.Credential // the databases' user

	mu        sync.Mutex
	closed    bool
	started   int
	processes []*Process
	loads     []*Load
	faults    []*Fault
	fast      bool
	filled    bool // Fill was called
	// moved are the present addresses of hosts by those that they were built with; readdressed counts.
	moved       map[string]string
	readdressed int
	ends        []func()
}

// New builds a lab: network, and unless Config.NetworkOnly a Galera cluster with every node synced. HAProxies and
// daemons are not started, their configuration being the scenario's. On an error nothing is left behind.
func New(ctx context.Context, cfg Config) (*Lab, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	if err := Requirements(cfg); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	stale, err := CleanStale()
	if err != nil {
		return nil, fmt.Errorf("remove what earlier labs left: %w", err)
	}
	if len(stale) > 0 {
		cfg.Logger.Info("removed what labs of dead processes had left", "labs", stale)
	}
	l := &Lab{ID: cfg.ID, cfg: cfg, log: cfg.Logger, moved: make(map[string]string)}
	if l.ID == "" {
		var id [2]byte
		_, _ = rand.Read(id[:]) // never fails: crypto/rand
		l.ID = hex.EncodeToString(id[:])
	}
	begin := time.Now()
	if err := l.build(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("build lab %s: %w", l.ID, err), l.Close())
	}
	l.log.Info("lab is up", "lab", l.ID, "dir", l.Dir, "took", time.Since(begin).Round(time.Millisecond))
	return l, nil
}

func (l *Lab) build(ctx context.Context) error {
	parent := l.cfg.Parent
	if parent == "" {
		parent = defaultParent()
	}
	dir := filepath.Join(parent, folderPrefix+l.ID)
	l.Dir = dir
	if err := l.register(); err != nil {
		l.Dir = "" // another lab's: Close must not touch it
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, "log"), 0o755); err != nil {
		return err
	}
	l.GossipKey = filepath.Join(dir, "gossip-key")
	if err := writeKey(l.GossipKey); err != nil {
		return err
	}
	var err error
	if l.home, err = os.Open("/proc/thread-self/ns/net"); err != nil {
		return err
	}
	if l.reaper, err = startReaper(l.ID, l.Dir); err != nil {
		return err
	}
	l.spawner = newSpawner(int(l.home.Fd()))
	if err := errors.Join(l.cleanSteps(), l.buildNetwork()); err != nil {
		return err
	}
	for i := range l.cfg.Nodes {
		host, err := l.addHost(fmt.Sprintf("db%d", i), firstDB+i)
		if err != nil {
			return err
		}
		l.DB = append(l.DB, newNode(host, i))
	}
	for i := range l.cfg.Proxies {
		host, err := l.addHost(fmt.Sprintf("px%d", i), firstProxy+i)
		if err != nil {
			return err
		}
		proxy, err := newProxy(host)
		if err != nil {
			return err
		}
		l.PX = append(l.PX, proxy)
	}
	if l.Client, err = l.addHost("client", clientHost); err != nil {
		return err
	}
	if l.cfg.NetworkOnly {
		return nil
	}
	if err := l.makeTemplate(ctx); err != nil {
		return fmt.Errorf("make the databases' template: %w", err)
	}
	return l.startCluster(ctx)
}

// defaultParent is memory where there is enough of it.
func defaultParent() string {
	var st unix.Statfs_t
	if unix.Statfs("/dev/shm", &st) == nil && st.Bavail*uint64(st.Bsize) >= 1<<30 {
		return "/dev/shm"
	}
	return os.TempDir()
}

// Host returns a host by name, nil if there is none.
func (l *Lab) Host(name string) *Host {
	for _, h := range l.hosts {
		if h.Name == name {
			return h
		}
	}
	return nil
}

// Node returns a database node by name, nil if there is none.
func (l *Lab) Node(name string) *Node {
	for _, n := range l.DB {
		if n.Name == name {
			return n
		}
	}
	return nil
}

// Proxy returns a proxy by name, nil if there is none.
func (l *Lab) Proxy(name string) *Proxy {
	for _, p := range l.PX {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// Reset brings the lab back to where New left it: loads, sessions, supervisors, HAProxies and daemons ended and their folders emptied,
// faults lifted, every node running, synced and with the settings it was started with, no client connected, the
// load's table empty. Under a second when no database was hurt; a killed or stopped node needs 3 to 6 s to rejoin.
// Where no node of the cluster is primary any more, the cluster is made anew.
func (l *Lab) Reset(ctx context.Context) error {
	begin := time.Now()
	l.mu.Lock()
	loads := l.loads
	l.loads = nil
	l.mu.Unlock()
	for _, load := range loads {
		load.Stop()
	}
	l.callEnds()
	for _, p := range l.PX {
		p.Daemon.Kill9()
		p.Kill9()
	}
	err := errors.Join(l.HealAll(ctx), each(l.PX, (*Proxy).clean), l.sendHome(), l.cleanSteps())
	if err == nil && !l.cfg.NetworkOnly {
		err = l.resetCluster(ctx)
	}
	if err != nil {
		return fmt.Errorf("reset lab %s: %w", l.ID, err)
	}
	l.log.Info("lab is reset", "lab", l.ID, "took", time.Since(begin).Round(time.Millisecond))
	return nil
}

// Close ends everything that the lab started and removes it. It may be called more than once.
func (l *Lab) Close() error {
	l.mu.Lock()
	if l.closed || l.Dir == "" {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	loads := l.loads
	l.mu.Unlock()
	for _, load := range loads {
		load.Stop()
	}
	l.callEnds()
	l.mu.Lock()
	processes := l.processes
	l.mu.Unlock()
	for _, n := range l.DB {
		n.closePool()
	}
	_ = each(processes, func(p *Process) error { p.Kill9(); return nil })
	if l.spawner != nil {
		l.spawner.close()
	}
	for _, h := range l.hosts {
		_ = h.ns.Close()
	}
	err := remove(l.ID, l.Dir)
	if l.reaper != nil {
		err = errors.Join(err, l.reaper.dismiss())
	}
	if l.home != nil {
		_ = l.home.Close()
	}
	return err
}

// writeKey makes a gossip key, as haproxyctl gossip-key does.
func writeKey(file string) error {
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails: crypto/rand
	return os.WriteFile(file, []byte(base64.StdEncoding.EncodeToString(key[:])+"\n"), 0o600)
}

// onReset registers what Reset and Close call before they end processes. The last one is called first.
func (l *Lab) onReset(end func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ends = append(l.ends, end)
}

func (l *Lab) callEnds() {
	l.mu.Lock()
	ends := l.ends
	l.ends = nil
	l.mu.Unlock()
	for _, end := range slices.Backward(ends) {
		end()
	}
}

// Logs returns the names of all log files so far, in the order in which their processes were started.
func (l *Lab) Logs() []string {
	files, _ := filepath.Glob(filepath.Join(l.Dir, "log", "*.log")) // the pattern is well formed
	return files
}

// SaveLogs copies all log files and the proxies' configurations into a folder, for a test that failed.
func (l *Lab) SaveLogs(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	files := l.Logs()
	for _, p := range l.PX {
		more, _ := filepath.Glob(filepath.Join(p.Dir, "*.cfg"))
		files = append(files, more...)
	}
	var errs []error
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err == nil {
			name := strings.ReplaceAll(strings.TrimPrefix(file, l.Dir+"/"), "/", "-")
			err = os.WriteFile(filepath.Join(dir, name), text, 0o644)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
