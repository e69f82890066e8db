package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/haproxy-peers/haproxy-peers/configs"
	"github.com/haproxy-peers/haproxy-peers/control/galera"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/plan"
	"github.com/haproxy-peers/haproxy-peers/runtimeapi"
)

// configFiles is haproxy.cfg as the daemon uses it. Only the proxy loop calls
// its methods; the others read through snapshot.
type configFiles struct {
	paths []string
	local string
	log   *slog.Logger
	// every is the calm pace at which changed files are looked at.
	every time.Duration
	// mayRewriteNow tells whether files that are ours may be rewritten.
	mayRewriteNow func() bool
	// changed is called when another topology is in force.
	changed func(*configs.Topology)

	topo   *configs.Topology
	layout plan.Layout
	// readers are the backends that spread connections over the nodes.
	readers []plan.ReaderBackend
	// sendProxy names the servers (backend/server) that see HAProxy's client as
	// theirs. It is never changed after it was stored: a drainer keeps it.
	sendProxy map[string]bool
	query     runtimeapi.SnapshotQuery

	stamp   string
	checked time.Time
	force   bool
	reread  atomic.Bool // somebody asks for it, from another goroutine
	compare bool        // the topology is new: compare it with the running HAProxy

	mu      sync.Mutex
	shared  *configs.Topology
	problem string
}

// refresh reads the files if they changed since the last time. Its error is
// also kept for status: an unreadable file never replaces a readable one, which
// is what the running HAProxy was started with.
func (f *configFiles) refresh(now time.Time) error {
	f.force = f.reread.Swap(false) || f.force
	if !f.force && !f.checked.IsZero() && now.Sub(f.checked) < f.every {
		return f.err()
	}
	f.checked = now
	stamp := ""
	for _, p := range f.paths {
		st, err := os.Stat(p)
		if err != nil {
			stamp += err.Error()
			continue
		}
		stamp += fmt.Sprintf("%s %d %d;", p, st.Size(), st.ModTime().UnixNano())
	}
	if stamp == f.stamp && !f.force {
		return f.err()
	}
	f.stamp, f.force = stamp, false
	topo, err := loadTopology(f.paths, f.local)
	if err != nil {
		f.setProblem(err.Error())
		f.log.Warn("cannot use haproxy.cfg", "error", err)
		return err
	}
	f.setProblem("")
	f.use(topo)
	return nil
}

// loadTopology reads and validates.
func loadTopology(paths []string, local string) (*configs.Topology, error) {
	topo, err := configs.Load(paths...)
	if err != nil {
		return nil, err
	}
	if topo, err = topo.WithLocalPeer(local); err != nil {
		return nil, err
	}
	if err := topo.Validate(); err != nil {
		return nil, err
	}
	return topo, nil
}

func (f *configFiles) use(topo *configs.Topology) {
	f.topo, f.compare = topo, true
	f.layout = layoutOf(topo)
	f.readers = readersOf(topo)
	sendProxy := map[string]bool{}
	for _, b := range topo.Sticky {
		for _, s := range b.Servers {
			sendProxy[b.Name+"/"+s.Name] = s.SendProxy
		}
	}
	f.sendProxy = sendProxy
	f.query = runtimeapi.SnapshotQuery{Info: true, Servers: true, Stats: true}
	if s := f.layout.Steer; s != nil {
		f.query.Tables = append(f.query.Tables, s.Table)
	}
	seen := map[string]bool{}
	for _, b := range f.layout.Backends {
		if !seen[b.Table] {
			f.query.Tables = append(f.query.Tables, b.Table)
			seen[b.Table] = true
		}
	}
	f.mu.Lock()
	f.shared = topo
	f.mu.Unlock()
	if f.changed != nil {
		f.changed(topo)
	}
}

// topology is for other goroutines.
func (f *configFiles) topology() *configs.Topology {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.shared
}

func (f *configFiles) setProblem(p string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.problem = p
}

func (f *configFiles) problemNow() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.problem
}

func (f *configFiles) err() error {
	if p := f.problemNow(); p != "" {
		return errors.New(p)
	}
	return nil
}

func (f *configFiles) layoutName() string {
	if f.layout.Steer != nil {
		return model.LayoutSteer
	}
	return model.LayoutStickOn
}

// beaconUp tells whether HAProxy asks the private table now.
func (f *configFiles) beaconUp(snap *runtimeapi.Snapshot) bool {
	s := f.topo.Steering
	if s == nil {
		return false
	}
	for i := range snap.Servers {
		if sv := &snap.Servers[i]; sv.Backend == s.BeaconBackend && sv.Name == s.BeaconServer {
			return running(sv)
		}
	}
	return false
}

// waitsLong is how long connections must wait in a queue to be held there: longer
// than a departure holds them (decide), with what its end takes.
const waitsLong = 2500 * time.Millisecond

// layoutOf translates the configuration for the plan. Backends that the private
// table does not steer in spite of there being one are kept right natively.
func layoutOf(t *configs.Topology) plan.Layout {
	var l plan.Layout
	if s := t.Steering; s != nil {
		l.Steer = &plan.Steer{Table: s.Table, ActiveKey: s.ActiveKey, FenceKey: s.FenceKey, HoldKey: s.HoldKey, KeepKey: s.KeepKey}
	}
	for _, sb := range t.Sticky {
		b := plan.Backend{Name: sb.Name, Table: sb.Table, Keys: sb.Keys, HoldSocket: sb.HoldSocket, Keeps: sb.KeepKey != ""}
		if sb.QueueTimeout >= waitsLong {
			b.Entrance = sb.Entrance
		}
		for _, s := range sb.Servers {
			b.Servers = append(b.Servers, plan.Server{Name: s.Name, ID: s.ID, Backup: s.Backup})
		}
		l.Backends = append(l.Backends, b)
	}
	return l
}

// readersOf are the backends that spread connections over the nodes.
func readersOf(t *configs.Topology) []plan.ReaderBackend {
	var out []plan.ReaderBackend
	for _, b := range t.Readers() {
		r := plan.ReaderBackend{Name: b.Name}
		for _, s := range b.Servers {
			r.Servers = append(r.Servers, s.Name)
		}
		out = append(out, r)
	}
	return out
}

// proxied returns what tells whether the database sees a session under its
// client's address, by the configuration of now. Any goroutine may call the result.
func (f *configFiles) proxied() func(*runtimeapi.Session) bool {
	sendProxy := f.sendProxy
	return func(s *runtimeapi.Session) bool { return sendProxy[s.Backend+"/"+s.Server] }
}

// holdReverts tells whether this HAProxy can give connections that wait for a new
// node back to the old one: without that no hold is begun.
func (f *configFiles) holdReverts(version string) bool {
	return !slices.ContainsFunc(f.topo.Sticky, func(b configs.StickyBackend) bool { return !b.HoldReverts(version) })
}

// handsOver tells whether this HAProxy gives the queue of a server in maintenance to the others.
func (f *configFiles) handsOver(version string) bool {
	return !slices.ContainsFunc(f.topo.Sticky, func(b configs.StickyBackend) bool { return !b.HandsOver(version) })
}

// order is the configured preference of nodes: the one a rendered file keeps in
// its header, because the order of its servers follows the active.
func order(t *configs.Topology) []string {
	if t.Ours && len(t.Preferred) > 0 {
		return t.Preferred
	}
	return t.NodeNames()
}

// Targets are the nodes to probe: the servers of the first sticky backend.
func Targets(t *configs.Topology) []galera.Target {
	var out []galera.Target
	for _, s := range t.Sticky[0].Servers {
		out = append(out, galera.Target{Name: s.Name, Address: s.Address()})
	}
	return out
}

// rewrite puts the active first in the files that haproxyctl rendered: a
// HAProxy that starts again sends its first clients right even before any
// daemon has spoken to it (measured: 2 to 4 connections go wrong otherwise).
func (f *configFiles) rewrite(ctx context.Context, active string, ev *events, log *slog.Logger) {
	topo := f.topology()
	if topo == nil || !topo.Ours || !f.mayRewriteNow() {
		return
	}
	for _, path := range f.paths {
		data, err := configs.ReorderActive(path, active)
		if errors.Is(err, configs.ErrNotOurs) {
			continue
		}
		if err == nil {
			old, rerr := os.ReadFile(path)
			if rerr == nil && string(old) == string(data) {
				continue
			}
			err = configs.Install(ctx, path, data, nil)
		}
		if err != nil {
			log.Warn("cannot put the active first in haproxy.cfg", "file", path, "error", err)
			ev.add(time.Now(), fmt.Sprintf("cannot put %s first in %s: %v", active, path, err))
			continue
		}
		log.Info("put the active first in haproxy.cfg", "file", path, "active", active)
	}
}

// PeerNames lists the names of peers.
func PeerNames(peers []configs.Peer) []string {
	names := make([]string, 0, len(peers))
	for _, p := range peers {
		names = append(names, p.Name)
	}
	return names
}

// InitialPeers are the peers that the sticky tables are shared with: their
// daemons are the first members and the initial voters.
func InitialPeers(t *configs.Topology) []configs.Peer {
	for _, b := range t.Sticky {
		for _, s := range t.Peers {
			if b.PeersSection != "" && s.Name == b.PeersSection {
				return s.Peers
			}
		}
	}
	return nil
}
