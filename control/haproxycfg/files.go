package haproxycfg

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/haproxy-peers/haproxy-peers/configs"
	"github.com/haproxy-peers/haproxy-peers/control/galera"
	"github.com/haproxy-peers/haproxy-peers/control/journal"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/plan"
	"github.com/haproxy-peers/haproxy-peers/runtimeapi"
)

// Files is haproxy.cfg as the daemon uses it. Only the proxy loop calls
// its methods; the others read through snapshot.
type Files struct {
	// Paths are the files; Reading is what they do not say themselves.
	Paths   []string
	Reading configs.Reading
	Log     *slog.Logger
	// MayRewrite: files that are ours may be rewritten.
	MayRewrite bool
	// Changed is called when another topology is in force.
	Changed func(*configs.Topology)

	// Topo is in force, nil before files could be used; Layout is what it makes
	// possible, Readers the backends that spread connections over the nodes, and Query
	// what a look at HAProxy asks for.
	Topo    *configs.Topology
	Layout  plan.Layout
	Readers []plan.ReaderBackend
	Query   runtimeapi.SnapshotQuery
	// New: the topology has not been compared with the running HAProxy yet.
	New bool

	stamp   string
	checked time.Time
	force   bool
	reread  atomic.Bool // somebody asks for it, from another goroutine

	shared  atomic.Pointer[configs.Topology] // Topo, for other goroutines
	problem atomic.Value                     // a string, see Problem
}

// lookEvery is the calm pace at which changed files are looked at.
const lookEvery = 2 * time.Second

// Reread has the next Refresh read the files even if they look the same. Any
// goroutine may call it.
func (f *Files) Reread() { f.reread.Store(true) }

// Refresh reads the files if they changed since the last time. Its error is
// also kept for status: an unreadable file never replaces a readable one, which
// is what the running HAProxy was started with.
func (f *Files) Refresh(now time.Time) error {
	f.force = f.reread.Swap(false) || f.force
	if !f.force && !f.checked.IsZero() && now.Sub(f.checked) < lookEvery {
		return f.err()
	}
	f.checked = now
	stamp := ""
	paths, err := configs.Expand(f.Paths)
	if err != nil {
		stamp = err.Error() // it is said below, once
	}
	for _, p := range paths {
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
	topo, err := configs.LoadAs(f.Reading, f.Paths...)
	if err == nil {
		err = topo.Validate()
	}
	if err != nil {
		f.problem.Store(err.Error())
		f.Log.Warn("cannot use haproxy.cfg", "error", err)
		return err
	}
	f.problem.Store("")
	f.Use(topo)
	return nil
}

// Use puts a topology in force.
func (f *Files) Use(topo *configs.Topology) {
	f.Topo, f.New = topo, true
	f.Layout = layoutOf(topo)
	f.Readers = readersOf(topo)
	f.Query = runtimeapi.SnapshotQuery{Info: true, Servers: true, Stats: true}
	if s := f.Layout.Steer; s != nil {
		f.Query.Tables = append(f.Query.Tables, s.Table)
	}
	for _, b := range f.Layout.Backends {
		if !slices.Contains(f.Query.Tables, b.Table) {
			f.Query.Tables = append(f.Query.Tables, b.Table)
		}
	}
	f.shared.Store(topo)
	if f.Changed != nil {
		f.Changed(topo)
	}
}

// Topology is for other goroutines.
func (f *Files) Topology() *configs.Topology { return f.shared.Load() }

// Problem is why the files cannot be used as they are now, "" if they can.
func (f *Files) Problem() string {
	p, _ := f.problem.Load().(string) // nothing is stored before the first look
	return p
}

func (f *Files) err() error {
	if p := f.Problem(); p != "" {
		return errors.New(p)
	}
	return nil
}

// LayoutName is model.LayoutSteer or model.LayoutStickOn.
func (f *Files) LayoutName() string {
	if f.Layout.Steer != nil {
		return model.LayoutSteer
	}
	return model.LayoutStickOn
}

// BeaconUp tells whether HAProxy asks the private table now.
func (f *Files) BeaconUp(snap *runtimeapi.Snapshot) bool {
	s := f.Topo.Steering
	if s == nil {
		return false
	}
	for i := range snap.Servers {
		if sv := &snap.Servers[i]; sv.Backend == s.BeaconBackend && sv.Name == s.BeaconServer {
			return Running(sv)
		}
	}
	return false
}

// Running tells whether load balancing and stickiness use the server.
func Running(s *runtimeapi.ServerState) bool {
	return s.OpState == runtimeapi.OpRunning || s.OpState == runtimeapi.OpStarting
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
		b := plan.Backend{Name: sb.Name, Table: sb.Table, Keys: sb.Keys, HoldSocket: sb.HoldSocket, Keeps: sb.KeepKey != "", ByAddress: sb.ByAddress}
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

// Proxied returns what tells whether the database sees a session under its
// client's address, by the configuration of now. Any goroutine may call the result.
func (f *Files) Proxied() func(*runtimeapi.Session) bool {
	sendProxy := map[string]bool{} // by backend/server
	for _, b := range f.Topo.Sticky {
		for _, s := range b.Servers {
			sendProxy[b.Name+"/"+s.Name] = s.SendProxy
		}
	}
	return func(s *runtimeapi.Session) bool { return sendProxy[s.Backend+"/"+s.Server] }
}

// HoldReverts tells whether this HAProxy can give connections that wait for a new
// node back to the old one: without that no hold is begun.
func (f *Files) HoldReverts(version string) bool {
	return !slices.ContainsFunc(f.Topo.Sticky, func(b configs.StickyBackend) bool { return !b.HoldReverts(version) })
}

// HandsOver tells whether this HAProxy gives the queue of a server in maintenance to the others.
func (f *Files) HandsOver(version string) bool {
	return !slices.ContainsFunc(f.Topo.Sticky, func(b configs.StickyBackend) bool { return !b.HandsOver(version) })
}

// Order is the configured preference of nodes: the one a rendered file keeps in
// its header, because the order of its servers follows the active.
func Order(t *configs.Topology) []string {
	if t.Ours && len(t.Preferred) > 0 {
		return t.Preferred
	}
	return t.NodeNames()
}

// Targets are the nodes to probe: the servers of the first sticky backend.
func Targets(t *configs.Topology) []galera.Target {
	var out []galera.Target
	for _, s := range t.Nodes() {
		out = append(out, galera.Target{Name: s.Name, Address: s.Address()})
	}
	return out
}

// Targets are the nodes of the files in force, none before they could be read.
func (f *Files) Targets() []galera.Target {
	if t := f.Topology(); t != nil {
		return Targets(t)
	}
	return nil
}

// Rewrite puts the active first in the files that haproxyctl rendered: a
// HAProxy that starts again sends its first clients right even before any
// daemon has spoken to it (measured: 2 to 4 connections go wrong otherwise).
func (f *Files) Rewrite(ctx context.Context, active string, ev *journal.Journal) {
	topo := f.Topology()
	if topo == nil || !topo.Ours || !f.MayRewrite {
		return
	}
	for _, path := range topo.Files {
		data, err := configs.ReorderActive(path, active)
		if errors.Is(err, configs.ErrNotOurs) {
			continue
		}
		if err == nil {
			old, rerr := os.ReadFile(path)
			if rerr == nil && string(old) == string(data) {
				continue
			}
			err = configs.Install(ctx, path, data, nil, false)
		}
		if err != nil {
			f.Log.Warn("cannot put the active first in haproxy.cfg", "file", path, "error", err)
			ev.Add(time.Now(), fmt.Sprintf("cannot put %s first in %s: %v", active, path, err))
			continue
		}
		f.Log.Info("put the active first in haproxy.cfg", "file", path, "active", active)
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
		if s, ok := t.PeersNamed(b.PeersSection); ok {
			return s.Peers
		}
	}
	return nil
}
