package gossip

import (
	"github.com/hashicorp/memberlist"
)

// sendTo sends a message to one process: as a packet if it fits, else as a stream. It
// does not wait, and neither tells whether it arrived.
func (g *Gossip) sendTo(process string, message []byte) {
	g.mu.Lock()
	m := g.members[process]
	g.mu.Unlock()
	if m == nil {
		g.metrics.drop(ReasonUnreachable)
		return
	}
	g.send(m.node, message)
}

// packetLimit is the largest message that is sent as a packet.
func (g *Gossip) packetLimit() int {
	limit := packetSize - packetOverhead - len(g.cfg.Label)
	if g.seal != nil {
		limit -= sealOverhead
	}
	return limit
}

func (g *Gossip) send(node memberlist.Node, message []byte) {
	g.life.RLock()
	defer g.life.RUnlock()
	if g.ended || g.out == nil {
		return
	}
	if len(message) <= g.packetLimit() {
		g.metrics.sent.WithLabelValues("packet").Inc()
		if err := g.out.SendBestEffort(&node, message); err != nil {
			g.metrics.drop(ReasonUnreachable)
		}
		return
	}
	select {
	case g.slots <- struct{}{}:
	default:
		g.metrics.drop(ReasonFull)
		return
	}
	g.metrics.sent.WithLabelValues("stream").Inc()
	g.sending.Go(func() {
		defer func() { <-g.slots }()
		if err := g.out.SendReliable(&node, message); err != nil {
			g.metrics.drop(ReasonUnreachable)
		}
	})
}
