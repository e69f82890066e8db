package gossip

import "time"

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
			err = g.handleView(k, r, b)
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
				if taken := g.givesWay(rivals, a.From); taken != nil {
					return taken
				}
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
	g.metrics.drop(reasonOf(err))
	g.log.Debug("dropped a gossip message", "error", err)
}

// givesWay returns an error if this process stops for a live process of its name
// that says so. Before it has settled that is a start that fails. A settled one stops
// only for a settled member that has been there and answered for a while, and
// that its owner finds to have the better right; else both stay, and it shows.
func (g *Gossip) givesWay(rivals *rivals, process string) error {
	settled := g.isSettled()
	insists := rivals.insists(time.Now(), process, settled)
	g.mu.Lock()
	m := g.members[process]
	g.mu.Unlock()
	if m == nil || m.Name != g.cfg.Meta.Name {
		return nil
	}
	if insists && (!settled || m.Settled && g.cfg.Confirm != nil && g.cfg.Confirm(m.Member)) {
		return &NameTakenError{Name: m.Name, Process: process, Address: m.Address}
	}
	if !settled {
		return nil
	}
	g.lines.warn(g.log, "name", "another live daemon has this one's name and says that this one has to stop; stop one of them or rename it",
		"name", m.Name, "process", process, "address", m.Address)
	return nil
}

// handleView takes in a view of a process that is a member or was one within the
// last minute. That of another waits for a moment: nobody makes this member keep
// views by inventing processes.
func (g *Gossip) handleView(k kind, r reader, b []byte) error {
	h, packed, age, err := decodeView(k, r)
	if err != nil || h.Process == g.process {
		return err
	}
	if g.otherCluster(h.Cluster) {
		return nil
	}
	if h.Seq > maxCounter || !h.Order.sane() {
		return errField
	}
	now := time.Now()
	g.mu.Lock()
	_, live := g.members[h.Process]
	if _, gone := g.gone[h.Process]; !live && !gone {
		g.keepEarlyLocked(h.Process, b, age, now)
		g.mu.Unlock()
		g.metrics.drop(ReasonStranger)
		return nil
	}
	if g.views.hold(now, h, age) {
		g.mu.Unlock()
		g.metrics.drop(ReasonHeld)
		return nil
	}
	unpack := func(b []byte) ([]byte, error) { return g.packer.unpack(b, viewLimit) }
	news, err := g.views.merge(now, h, packed, k == kindView, age, unpack)
	var item queued
	if news {
		e := g.views[h.Process]
		if !live && e.gone.IsZero() {
			e.gone = now // it is heard after it went
		}
		if k == kindView {
			g.trimLocked(viewsBudget)
		}
		item = g.relayedLocked(e, k == kindView && e.held > 0 && e.held == e.header.DataSeq)
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
	if !v.Order.sane() {
		return errField
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
	if !g.records.admit(message, time.Now()) {
		return nil
	}
	if v.Data, err = g.packer.unpack(v.Data, unpackLimit); err != nil {
		return err
	}
	// What it is worth is not for the gossip to say. If it is true, the owner
	// publishes it, and that spreads it further.
	g.cfg.Offered(v)
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
