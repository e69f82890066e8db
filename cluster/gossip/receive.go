package gossip

import (
	"errors"
	"time"
)

// handle takes one received message. Its error ends Run.
func (g *Gossip) handle(rivals *rivals, b []byte) error {
	k, r, err := open(b)
	if err == nil {
		switch k {
		case kindDirect:
			var m Message
			if m, err = decodeMessage(r); err == nil {
				g.cfg.Deliver(m)
			}
		case kindView, kindBeat:
			err = g.handleView(k, r)
		case kindRecord:
			err = g.handleRecord(r, b)
		case kindChallenge:
			var c challenge
			if c, err = decodeChallenge(r); err == nil && c.Name == g.cfg.Meta.Name && belongs(c.From, c.Name) && c.From != g.process {
				g.sendTo(c.From, rivals.challenged(time.Now(), c, g.isSettled()).encode())
			}
		case kindAnswer:
			var a answer
			if a, err = decodeAnswer(r); err == nil && rivals.answered(a) {
				return g.nameTaken(a.From)
			}
		case kindState:
			var messages [][]byte
			messages, err = decodeState(r)
			for _, m := range messages {
				// A state holds views and a record; one inside another is nobody's.
				if k, _, e := open(m); e == nil && (k == kindView || k == kindBeat || k == kindRecord) {
					_ = g.handle(rivals, m)
				} else {
					g.dropped(e)
				}
			}
		}
	}
	if err != nil {
		g.dropped(err)
	}
	return nil
}

// dropped counts a message that could not be decoded.
func (g *Gossip) dropped(err error) {
	if errors.Is(err, ErrNewer) {
		g.metrics.drop(ReasonNewer)
	} else {
		g.metrics.drop(ReasonGarbage)
	}
	g.log.Debug("dropped a gossip message", "error", err)
}

func (g *Gossip) nameTaken(process string) error {
	e := &NameTakenError{Name: g.cfg.Meta.Name, Process: process}
	g.mu.Lock()
	if m := g.members[process]; m != nil {
		e.Address = m.Address
	}
	g.mu.Unlock()
	return e
}

func (g *Gossip) handleView(k kind, r reader) error {
	h, packed, age, err := decodeView(k, r)
	if err != nil || h.Process == g.process {
		return err
	}
	if g.otherCluster(h.Cluster) {
		return nil
	}
	now := time.Now()
	g.mu.Lock()
	news, err := g.views.merge(now, h, packed, k == kindView, age, g.packer.unpack)
	var item queued
	if news {
		e := g.views[h.Process]
		if _, ok := g.members[h.Process]; !ok && e.gone.IsZero() {
			e.gone = now // it is heard before it joined, or after it went
		}
		message := encodeView(e.header, e.packed, k == kindView && e.held == e.header.DataSeq, 0)
		item = queued{name: viewName(h.Process), message: message, published: e.heard}
	}
	g.mu.Unlock()
	if news {
		if g.relays.Load() {
			g.queue.put(item)
		}
		g.cfg.Changed()
	}
	return err
}

func (g *Gossip) handleRecord(r reader, message []byte) error {
	v, err := decodeRecord(r)
	if err != nil || g.otherCluster(v.Cluster) {
		return err
	}
	g.mu.Lock()
	old := g.record
	g.mu.Unlock()
	if old != nil {
		if old.Cluster != v.Cluster && g.cluster.Load() == 0 {
			// Without a cluster of our own the first one stays: two of them
			// would else replace each other here for ever.
			g.metrics.drop(ReasonCluster)
			return nil
		}
		if old.Cluster == v.Cluster && v.Order.Compare(old.Order) <= 0 {
			return nil
		}
	}
	if v.Data, err = g.packer.unpack(v.Data); err != nil {
		return err
	}
	if g.storeRecord(v, message) {
		nudge(g.publish) // spread it further, and tell the owner
	}
	return nil
}

// otherCluster reports, and counts, a state of a cluster that is not ours. A
// member without a cluster takes everything.
func (g *Gossip) otherCluster(id uint64) bool {
	own := g.cluster.Load()
	if own == 0 || id == 0 || own == id {
		return false
	}
	g.metrics.drop(ReasonCluster)
	return true
}
