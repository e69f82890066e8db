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
	text := fmt.Sprintf("%s/%04x cluster %04x gen %d: voters%s", h.name, c.Disk>>48, c.Cluster>>48, c.Generation, list(conf.GetVoters()))
	if len(conf.GetVotersOutgoing()) > 0 {
		text += " from" + list(conf.GetVotersOutgoing())
	}
	if len(conf.GetLearners()) > 0 {
		text += " learning" + list(conf.GetLearners())
	}
	if c.node != nil {
		text += fmt.Sprintf("; term %d vote %s lead %s applied %d last %d/%d promises %d of %d confirmed %v %s", c.term, short(c.vote),
			short(c.lead), c.Log.Applied.Index, c.Log.Last().Index, c.Log.Last().Term, c.durable, c.Promises, c.confirmed, c.Machine.Record.Version)
	}
	if text != h.traced {
		h.traced = text
		s.logf("  %s", text)
	}
}
