package register

import "fmt"

// traceState says in one line what a core has become, if it has changed.
func (s *sim) traceState(h *simHost) {
	c := h.core
	if s.trace == nil {
		return
	}
	short := func(disk uint64) string {
		if disk == 0 {
			return "-"
		}
		return fmt.Sprintf("%s/%04x", c.nameOf(disk), disk>>48)
	}
	list := func(ids []uint64) string {
		t := ""
		for _, id := range ids {
			t += " " + short(id)
		}
		return t
	}
	conf, _ := c.knownConf()
	text := fmt.Sprintf("%s/%04x cluster %04x gen %d: voters%s", h.name, c.disk>>48, c.cluster>>48, c.generation, list(conf.GetVoters()))
	if len(conf.GetVotersOutgoing()) > 0 {
		text += " from" + list(conf.GetVotersOutgoing())
	}
	if len(conf.GetLearners()) > 0 {
		text += " learning" + list(conf.GetLearners())
	}
	if c.node != nil {
		text += fmt.Sprintf("; term %d vote %s lead %s applied %d last %d/%d promises %d of %d confirmed %v %s", c.term, short(c.vote),
			short(c.lead), c.log.applied.index, c.log.last().index, c.log.last().term, c.durable, c.promises, c.confirmed, c.machine.record.Version)
	}
	if text != h.traced {
		h.traced = text
		s.logf("  %s", text)
	}
}
