package gossip

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/hashicorp/memberlist"
)

// newGuard returns the guard of the sockets.
func (g *Gossip) newGuard() *guard {
	return &guard{
		label: g.cfg.Label, beside: []byte(g.cfg.Label), seal: g.seal, drop: g.metrics.drop, lines: &g.lines, sources: g.sources,
		warn: func(reason, what string, err error) {
			g.lines.warn(g.log, reason, "dropped a gossip message", "reason", reason, "what", what, "error", err)
		},
	}
}

// admission bounds the processes that this member takes for members. A process
// costs some kilobytes here and is probed, and memberlist keeps a dead one for
// minutes, so both their number and the rate of new ones are bounded. Only
// NotifyAlive uses it, under memberlist's lock.
type admission struct {
	fresh    bucket
	news     bucket
	reserved map[netip.Addr]*bucket
}

// errCrowd is what memberlist is told, and logs, of a process that is not taken.
var errCrowd = errors.New("there are more members, or changes of them, than this daemon takes")

// NotifyAlive is asked by memberlist, under its lock, before it believes any
// news of a process.
func (d *delegate) NotifyAlive(n *memberlist.Node) error {
	if n.Name == d.process {
		return nil
	}
	meta, err := decodeMeta(n.Meta)
	if err == nil && !belongs(n.Name, meta.Name) {
		err = errField
	}
	// A newer format is a member whose metadata we do not read; what cannot be
	// read at all is none of ours.
	if (err != nil && !errors.Is(err, ErrNewer)) || len(n.Name) > maxString || (len(n.Addr) != 4 && len(n.Addr) != 16) {
		d.metrics.drop(ReasonGarbage)
		return errShape
	}
	d.mu.Lock()
	old, live := d.members[n.Name]
	_, gone := d.gone[n.Name]
	count := len(d.members)
	d.mu.Unlock()
	if live && old.node.Port == n.Port && slices.Equal(old.node.Meta, n.Meta) {
		return nil // a repetition
	}
	now := time.Now()
	a := &d.admits
	ok := a.news.take(now, rateNews)
	if ok && !live && !gone {
		ip, _ := netip.AddrFromSlice(n.Addr)
		ip = ip.Unmap()
		if !d.sources.reserved(ip) || !a.expected(ip, now) {
			ok = count < d.cfg.maxMembers && a.fresh.take(now, rate{newPerSecond, float64(d.cfg.maxMembers)})
		}
	}
	if !ok {
		d.metrics.drop(ReasonFull)
		return errCrowd
	}
	return nil
}

// expected reports whether a new process at an address of the configuration has
// a place that is kept for it, however many strangers there are.
func (a *admission) expected(ip netip.Addr, now time.Time) bool {
	b := a.reserved[ip]
	if b == nil {
		if a.reserved == nil || len(a.reserved) >= maxMembers {
			a.reserved = map[netip.Addr]*bucket{} // names that resolve to ever new addresses
		}
		b = &bucket{}
		a.reserved[ip] = b
	}
	return b.take(now, rateReserved)
}
