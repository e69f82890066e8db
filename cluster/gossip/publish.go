package gossip

import (
	"bytes"
	"maps"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster/nudge"
)

// eager is how many random members are told at once of a new record by everyone
// who learns it. With 4, about 98 of 100 members know it after a few network
// delays, and the queue reaches the others within some gossip intervals.
const eager = 4

// fullEvery: a voter's beat is sent with its data, if that does not fit into a
// packet, only every so many beats; a non-voter repeats its view as often.
const fullEvery = 8

// published is what loop remembers of its last publication.
type published struct {
	seq    uint64 // DataSeq of the last publication
	record Order
	beats  int
}

func viewName(process string) string { return "view/" + process }

// Publish makes data this member's view. It goes out at once if it differs from
// the last one. Data must not be modified afterwards. Others do not take more
// than 32 KiB of it.
func (g *Gossip) Publish(data []byte) {
	if len(data) > viewLimit {
		g.lines.warn(g.log, "view", "the view is too large for the others to take", "bytes", len(data), "limit", viewLimit)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	e := g.ownLocked()
	if e.held > 0 && bytes.Equal(e.data, data) {
		return
	}
	g.seq++
	e.packed, e.data, e.held = g.packer.pack(data), data, g.seq
	nudge.Send(g.publish)
}

// ownLocked returns this process's view.
func (g *Gossip) ownLocked() *viewEntry {
	e := g.views[g.process]
	if e == nil {
		e = &viewEntry{}
		g.views[g.process] = e
	}
	return e
}

// PublishRecord spreads a committed record to all members, if it is newer than
// what this member knows. Data must not be modified afterwards.
func (g *Gossip) PublishRecord(r Record) {
	packed := r
	packed.Data = g.packer.pack(r.Data)
	message := packed.encode()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.record != nil && g.record.Cluster == r.Cluster && r.Order.Compare(g.record.Order) <= 0 {
		return
	}
	g.record = &storedRecord{Record: r, message: message}
	nudge.Send(g.publish)
}

// Record returns the newest record known here; ok is false if there is none.
func (g *Gossip) Record() (r Record, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.record == nil {
		return Record{}, false
	}
	return g.record.Record, true
}

// Views returns the newest view of every process that is a member or was one in
// the last minute, this process's own among them.
func (g *Gossip) Views() []View {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.views.list(g.process)
}

// publishChanges sends what Publish and PublishRecord left.
func (g *Gossip) publishChanges(sent *published) {
	g.mu.Lock()
	held := g.ownLocked().held
	var record *storedRecord
	if g.record != nil && g.record.Order != sent.record {
		record, sent.record = g.record, g.record.Order
	}
	g.mu.Unlock()
	if record != nil {
		g.spread(record)
	}
	if held != sent.seq {
		sent.seq = held
		g.sendView(true)
	}
	g.cfg.Changed()
}

// spread pushes a record to some members at once and to the others through the queue.
func (g *Gossip) spread(r *storedRecord) {
	for _, node := range g.some(eager) {
		g.send(node, r.message)
	}
	// A record too large for any packet is left to the pushes and to push/pull.
	g.queue.put(queued{name: "record", first: true, message: r.message})
}

// beat repeats the view: a voter's at every beat, since others count on hearing
// it, another's rarely, against loss.
func (g *Gossip) beat(sent *published) {
	sent.beats++
	full := sent.beats%fullEvery == 0
	if g.cfg.Status().Voter || full {
		g.sendView(full)
	}
}

// sendView publishes the view under a new number. full asks for the data even
// if it does not fit into a packet.
func (g *Gossip) sendView(full bool) {
	status := g.cfg.Status()
	g.mu.Lock()
	e := g.ownLocked()
	g.seq++
	e.header = Header{
		Name: g.meta.Name, Process: g.process, Disk: g.meta.Disk,
		Seq: g.seq, DataSeq: e.held, Status: status,
	}
	e.heard = time.Now()
	e.published = e.heard
	item := g.relayedLocked(e, e.held > 0)
	message := item.message
	if full {
		message = encodeView(e.header, e.packed, e.held > 0, 0)
	}
	g.mu.Unlock()
	for _, node := range g.audience() {
		g.send(node, message)
	}
	if g.relays.Load() {
		g.queue.put(item)
	}
}

// relayedLocked returns e for the queue: with its data if full, unless no packet would
// ever have room for them.
func (g *Gossip) relayedLocked(e *viewEntry, full bool) queued {
	message := encodeView(e.header, e.packed, full, 0)
	if full && len(message) > g.packetLimit() {
		message = encodeView(e.header, nil, false, 0)
	}
	return queued{name: viewName(e.header.Process), message: message, published: e.heard}
}

// forget drops what is known of processes that are long gone.
func (g *Gossip) forget(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.views.forget(now.Add(-forgetAfter))
	maps.DeleteFunc(g.early, func(_ string, v early) bool { return now.Sub(v.at) > earlyFor })
	maps.DeleteFunc(g.gone, func(_ string, m *memberState) bool { return now.Sub(m.Since) > forgetAfter })
}
