package steer

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"time"

	"github.com/haproxy-peers/haproxy-peers/configs"
	"github.com/haproxy-peers/haproxy-peers/control/haproxycfg"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/plan"
	"github.com/haproxy-peers/haproxy-peers/control/published"
	"github.com/haproxy-peers/haproxy-peers/runtimeapi"
)

// compareEvery is the calm pace of comparing the file with what runs.
const compareEvery = 10 * time.Second

// balanced tells whether load balancing sends new connections to the server.
func balanced(s *runtimeapi.ServerState) bool {
	return haproxycfg.Running(s) && !s.Admin.Drain() && s.UserWeight > 0
}

// observe translates a snapshot for the plan, and sums up each node.
func observe(f *haproxycfg.Files, snap *runtimeapi.Snapshot) (plan.Observed, map[string]published.Node) {
	obs := plan.Observed{
		Tables:  make(map[string]map[string]plan.Entry, len(snap.Tables)),
		Servers: make(map[string]map[string]plan.ServerNow, len(f.Layout.Backends)),
	}
	for name, t := range snap.Tables {
		entries := make(map[string]plan.Entry, len(t.Entries))
		for i := range t.Entries {
			e := &t.Entries[i]
			entries[e.Key] = plan.Entry{ServerID: e.ServerID, ServerKey: e.ServerKey}
		}
		obs.Tables[name] = entries
	}
	for _, b := range f.Layout.Backends {
		obs.Servers[b.Name] = make(map[string]plan.ServerNow, len(b.Servers))
	}
	nodes := map[string]published.Node{}
	for i := range snap.Servers {
		s := &snap.Servers[i]
		servers, sticky := obs.Servers[s.Backend]
		if !sticky {
			continue
		}
		servers[s.Name] = plan.ServerNow{Running: balanced(s), Drain: s.Sticks(), Weight: s.UserWeight, Address: s.StickAddress()}
		n := nodes[s.Name]
		n.State = worse(n.State, stateOf(s))
		nodes[s.Name] = n
	}
	for i := range snap.Stats {
		s := &snap.Stats[i]
		servers, sticky := obs.Servers[s.Backend]
		if !sticky {
			continue
		}
		if sv, ok := servers[s.Server]; ok {
			sv.Sessions, sv.Queue, sv.Limit = s.CurrentSessions, s.Queue, s.SessionLimit
			servers[s.Server] = sv
			n := nodes[s.Server]
			n.Sessions += s.CurrentSessions
			n.Downs += int(s.CheckDowns)
			n.Total += s.TotalSessions
			n.Refused = n.Refused || s.Refused()
			nodes[s.Server] = n
		}
	}
	return obs, nodes
}

// addresses are those of the servers that have one.
func addresses(servers []runtimeapi.ServerState) map[netip.AddrPort]string {
	out := make(map[netip.AddrPort]string, len(servers))
	for i := range servers {
		s := &servers[i]
		if ip, err := netip.ParseAddr(s.Addr); err == nil && s.Port > 0 && s.Port <= math.MaxUint16 {
			out[netip.AddrPortFrom(ip.Unmap(), uint16(s.Port))] = s.Name
		}
	}
	return out
}

// stateOf is the server's state in one word. A name that does not resolve takes
// a server into maintenance too, but that is no operator's doing.
func stateOf(s *runtimeapi.ServerState) model.ServerState {
	const operator = runtimeapi.AdminForcedMaint | runtimeapi.AdminInheritedMaint
	switch {
	case s.Admin&operator != 0:
		return model.ServerMaint
	case !s.Sticks():
		return model.ServerDown
	case s.Admin.Drain():
		return model.ServerDrain
	}
	return model.ServerUp
}

// worse joins the states of a node in several sticky backends: an operator's
// maint or drain anywhere is the operator's word on the node; otherwise a node
// is up if any of its ports is.
func worse(a, b model.ServerState) model.ServerState {
	rank := map[model.ServerState]int{model.ServerDown: 1, model.ServerUp: 2, model.ServerDrain: 3, model.ServerMaint: 4}
	if rank[a] >= rank[b] {
		return a
	}
	return b
}

// sameProcess notices a restart or reload.
func (p *Proxy) sameProcess(now time.Time, info runtimeapi.Info) {
	old := p.proc.Pid
	same := p.answered(now, info)
	p.hold.proc = p.proc
	p.undo.restarted(p.proc)
	if same {
		return
	}
	p.hold.drop() // or who waits in the old process waits for ever
	if old != 0 {
		p.cfg.Metrics.Restarts.Inc()
		p.cfg.Log.Info("HAProxy was restarted or reloaded", "old_pid", old, "pid", p.proc.Pid)
		p.cfg.Events.Add(now, fmt.Sprintf("HAProxy was restarted or reloaded: pid %d, before %d", p.proc.Pid, old))
		p.files.Reread() // its configuration may be another one
		if err := p.files.Refresh(now); err != nil {
			p.cfg.Log.Warn("haproxy.cfg cannot be read after HAProxy's restart", "error", err)
		}
	}
	p.restarted = now
	p.compared = time.Time{}
}

// compare holds the file against the running HAProxy, now and then: what
// contradicts it stops this daemon from writing.
func (p *Proxy) compare(ctx context.Context, now time.Time, snap runtimeapi.Snapshot) {
	if !p.files.New && now.Sub(p.compared) < compareEvery {
		return
	}
	cctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	headers, err := p.client.Tables(cctx)
	if err != nil {
		if p.files.New || p.compared.IsZero() {
			// Another file or another process: nothing is written unseen.
			p.differs = "haproxy.cfg could not be compared with the running HAProxy yet: " + err.Error()
		}
		return // the next turn asks again
	}
	p.compared, p.files.New = now, false
	servers := make([]configs.ObservedServer, 0, len(snap.Servers))
	for i := range snap.Servers {
		s := &snap.Servers[i]
		servers = append(servers, configs.ObservedServer{Backend: s.Backend, Name: s.Name, ID: s.ID, Addr: s.Addr, Port: s.Port})
	}
	tables := make([]configs.ObservedTable, 0, len(headers))
	for _, h := range headers {
		tables = append(tables, configs.ObservedTable{Name: h.Name, Type: h.Type, Size: h.Size})
	}
	differs, moved := "", ""
	for _, diff := range configs.Compare(p.files.Topo, servers, tables) {
		switch {
		case diff.Address && moved == "":
			moved = diff.String()
		case !diff.Blocking:
			p.cfg.Log.Info("haproxy.cfg differs from the running HAProxy", "difference", diff.String())
		case differs == "":
			differs = "haproxy.cfg differs from the running HAProxy, nothing is written: " + diff.String()
		}
	}
	if moved != p.moved && moved != "" {
		p.cfg.Log.Warn("haproxy.cfg differs from the running HAProxy", "problem", moved)
		p.cfg.Events.Add(now, moved)
	}
	p.moved = moved
	if differs != p.differs {
		p.differs = differs
		if differs != "" {
			p.cfg.Log.Warn("haproxy.cfg differs from the running HAProxy", "problem", differs)
			p.cfg.Events.Add(now, differs)
		}
	}
}

// connect makes the client for the configuration's admin socket.
func (p *Proxy) connect() error {
	socket, err := p.files.Topo.AdminSocket()
	if err != nil {
		return err
	}
	if p.client != nil && socket == p.socket {
		return nil
	}
	client, err := p.cfg.Dial(socket)
	if err != nil {
		return err
	}
	p.client, p.socket = client, socket
	return nil
}

// sessionsOn counts the sessions to a node over all sticky backends.
func sessionsOn(l *plan.Layout, obs *plan.Observed, node string) int {
	n := 0
	for i := range l.Backends {
		n += obs.Servers[l.Backends[i].Name][node].Sessions
	}
	return n
}
