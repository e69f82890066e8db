package gossip

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/haproxy-peers/haproxy-peers/cluster/nudge"
)

// Member is a process in the gossip.
type Member struct {
	Meta
	// Process is its unique name.
	Process string
	// Address is the ADDR:PORT of its gossip.
	Address string
	// Self marks this process.
	Self bool
	// Live is false for a process that left or was found dead within the last minute.
	Live bool
	// Since is when it came or, if it is not Live, went, on this machine's clock.
	Since time.Time
	// Reads is the newest format that it reads; see the constant Reads.
	Reads uint8
}

// memberState is a member with what is needed to send to it. One that is in a map is replaced and never changed: it is
// also read without the lock.
type memberState struct {
	Member
	node memberlist.Node
}

// nearby is the number of members up to which a publication is sent to all of
// them directly. Above it only voters get datagrams, and the queue does the rest.
const nearby = 8

// delegate receives memberlist's callbacks. Those on members run under its lock
// and block everything else there, so they only copy; see Config.Changed.
type delegate Gossip

var _ memberlist.Delegate = (*delegate)(nil)
var _ memberlist.EventDelegate = (*delegate)(nil)

// NodeMeta returns the encoded metadata.
func (d *delegate) NodeMeta(int) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.meta.encode()
}

// NotifyMsg queues a message for loop. The slice is memberlist's.
func (d *delegate) NotifyMsg(b []byte) {
	if d.waiting.Add(int64(len(b))) <= inboundBytes {
		select {
		case d.inbound <- slices.Clone(b):
			return
		default:
		}
	}
	d.waiting.Add(-int64(len(b)))
	d.metrics.drop(ReasonFull)
}

// GetBroadcasts returns what goes along with memberlist's own packets.
func (d *delegate) GetBroadcasts(overhead, limit int) [][]byte {
	d.mu.Lock()
	n := len(d.members)
	d.mu.Unlock()
	return d.queue.take(overhead, limit, n, time.Now())
}

// LocalState returns the record and the views, for a push/pull.
func (d *delegate) LocalState(bool) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	var messages [][]byte
	if d.record != nil {
		messages = append(messages, d.record.message)
	}
	for _, e := range d.views {
		if e.gone.IsZero() && e.header.Seq > 0 {
			full := e.held > 0 && e.held == e.header.DataSeq
			messages = append(messages, encodeView(e.header, e.packed, full, now.Sub(e.heard)))
		}
	}
	return encodeState(messages)
}

// MergeRemoteState queues the other side's LocalState for loop.
func (d *delegate) MergeRemoteState(b []byte, _ bool) { d.NotifyMsg(b) }

// NotifyJoin is called for this process too.
func (d *delegate) NotifyJoin(n *memberlist.Node) { d.take(n) }

// NotifyUpdate is called when a member's metadata changed.
func (d *delegate) NotifyUpdate(n *memberlist.Node) { d.take(n) }

func (d *delegate) take(n *memberlist.Node) {
	meta, err := decodeMeta(n.Meta)
	if err == nil && !belongs(n.Name, meta.Name) {
		err = errField
	}
	if err != nil {
		d.metrics.drop(reasonOf(err))
		d.lines.warn(d.log, "metadata", "ignoring a member whose metadata cannot be read", "process", n.Name, "address", n.Address(), "error", err)
		d.NotifyLeave(n)
		return
	}
	s := &memberState{node: *n, Member: Member{
		Meta: meta, Process: n.Name, Address: n.Address(), Self: n.Name == d.process, Live: true, Since: time.Now(),
		Reads: max(n.DMax, 1), // 0: it is of a version that announced nothing
	}}
	if d.seal != nil {
		d.seal.learn(s.Address, s.Reads)
	}
	// memberlist goes on changing n; Addr and Meta are replaced, not changed in place.
	s.node.Addr = slices.Clone(n.Addr)
	d.mu.Lock()
	old := d.members[n.Name]
	if old != nil {
		s.Since = old.Since
	} else if e := d.views[n.Name]; e != nil {
		e.gone = time.Time{}
	}
	d.members[n.Name] = s
	delete(d.gone, n.Name)
	waited := (*Gossip)(d).takeEarlyLocked(n.Name)
	d.mu.Unlock()
	if waited != nil {
		d.NotifyMsg(waited)
	}
	if old != nil {
		d.sources.remove(&old.node)
	}
	d.sources.add(&s.node)
	d.lift()
}

// NotifyLeave is called for members that left and for those found dead.
func (d *delegate) NotifyLeave(n *memberlist.Node) {
	d.mu.Lock()
	s := d.members[n.Name]
	if s != nil {
		left := *s
		left.Live, left.Since = false, time.Now()
		delete(d.members, n.Name)
		if len(d.gone) < d.cfg.maxMembers {
			d.gone[n.Name] = &left
		}
		if e := d.views[n.Name]; e != nil {
			e.gone = left.Since
		}
	}
	d.mu.Unlock()
	if s != nil {
		d.sources.remove(&s.node)
		d.queue.drop(viewName(n.Name))
		d.lift()
	}
}

// lift announces a change of the members.
func (d *delegate) lift() {
	g := (*Gossip)(d)
	g.mu.Lock()
	g.metrics.members.Set(float64(len(g.members)))
	relays := false
	if len(g.members) > nearby {
		for _, m := range g.members {
			relays = relays || (!m.Self && !m.Voter)
		}
	}
	g.mu.Unlock()
	g.relays.Store(relays)
	nudge.Send(g.lifted)
	g.cfg.Changed()
}

// Members returns the live members and those that went in the last minute,
// ordered by name and process.
func (g *Gossip) Members() []Member {
	g.mu.Lock()
	out := make([]Member, 0, len(g.members)+len(g.gone))
	for _, m := range g.members {
		out = append(out, m.Member)
	}
	for _, m := range g.gone {
		out = append(out, m.Member)
	}
	g.mu.Unlock()
	slices.SortFunc(out, func(a, b Member) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Process, b.Process))
	})
	return out
}

// SetMeta changes this member's metadata and tells the others. The name cannot
// be changed.
func (g *Gossip) SetMeta(change func(*Meta)) {
	g.mu.Lock()
	before := g.meta
	change(&g.meta)
	g.meta.Name = before.Name
	changed := g.meta != before
	g.mu.Unlock()
	if changed {
		nudge.Send(g.renew)
	}
}

// SetCluster names the cluster that this member belongs to or follows: views and
// records of another one are dropped. 0, as at the start, takes any.
func (g *Gossip) SetCluster(id uint64) { g.cluster.Store(id) }

func (g *Gossip) isSettled() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.meta.Settled
}

// address returns this member's own address, "" before it is known.
func (g *Gossip) address() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if m := g.members[g.process]; m != nil {
		return m.Address
	}
	return ""
}

func (g *Gossip) hasOthers() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.members) > 1
}

// liveNames returns the stable names of the live members, by address.
func (g *Gossip) liveNames() map[string]string {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make(map[string]string, len(g.members))
	for _, m := range g.members {
		out[m.Address] = m.Name
	}
	return out
}

// sameName returns the addresses of the other live processes of this one's name.
func (g *Gossip) sameName() map[string]string {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := map[string]string{}
	for p, m := range g.members {
		if m.Name == g.meta.Name && !m.Self {
			out[p] = m.Address
		}
	}
	return out
}

// audience returns whom a publication is sent to directly: everybody while the
// members are few, else the voters.
func (g *Gossip) audience() []memberlist.Node {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []memberlist.Node
	for _, m := range g.members {
		if !m.Self && (m.Voter || len(g.members) <= nearby) {
			out = append(out, m.node)
		}
	}
	return out
}

// SendDisk sends like sendTo, to every live process of that stable name, or of any
// if name is "", on that disk: one that crashed may still be a member beside its successor. If there is
// none it tries those that went within the last minute, since the gossip may err.
func (g *Gossip) SendDisk(name string, disk uint64, channel byte, data []byte) {
	var to []memberlist.Node
	g.mu.Lock()
	for _, from := range []map[string]*memberState{g.members, g.gone} {
		for _, m := range from {
			if m.Disk == disk && (name == "" || m.Name == name) && !m.Self {
				to = append(to, m.node)
			}
		}
		if len(to) > 0 {
			break
		}
	}
	g.mu.Unlock()
	if len(to) == 0 {
		g.metrics.drop(ReasonUnreachable)
		return
	}
	message := Message{From: g.process, Channel: channel, Data: data}.encode()
	for _, node := range to {
		g.send(node, message)
	}
}

// othersLocked are the members but this one, in no order.
func (g *Gossip) othersLocked() []*memberState {
	var all []*memberState
	for _, m := range g.members {
		if !m.Self {
			all = append(all, m)
		}
	}
	return all
}

// some returns up to n random other members.
func (g *Gossip) some(n int) []memberlist.Node {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := g.othersLocked()
	var out []memberlist.Node
	for _, i := range rand.Perm(len(all))[:min(n, len(all))] {
		out = append(out, all[i].node)
	}
	return out
}
