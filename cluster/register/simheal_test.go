package register

import (
	"fmt"
	"slices"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster/register/state"
	"github.com/haproxy-peers/haproxy-peers/cluster/register/voters"
)

// heal ends every fault and starts everybody.
func (s *sim) heal() {
	s.healed = true
	s.loss, s.dup, s.slow = 0, 0, 0
	clear(s.cut)
	for _, h := range s.hosts {
		h.disk.fail = false
		switch {
		case h.down:
			h.start()
		case h.paused:
			h.wake(h.life)
		case h.core.failed != nil:
			h.crash()
			h.start()
		}
	}
	s.logf("healed")
}

// checkLiveness demands that, in a healed world, the register works again: by
// itself if a majority of its disks is there, by the operator's hand else.
func (s *sim) checkLiveness() {
	s.heal()
	works := func() bool {
		for _, h := range s.hosts {
			if h.core.failed != nil || !h.core.Status(h.clock()).Fresh || h.scope() != s.hosts[0].scope() {
				return false
			}
		}
		return true
	}
	// What was fresh before proves nothing.
	s.run(s.now+3*time.Second, nil)
	for range 8 {
		s.run(s.now+30*time.Second, works)
		if s.problem != nil || works() {
			break
		}
		if !s.operator() {
			break
		}
	}
	if s.problem == nil && !works() {
		for _, h := range s.hosts {
			st := h.core.Status(h.clock())
			s.logf("%s: %s fresh=%v %s leader %q voters %v", h.name, st.State, st.Fresh, st.Reason, st.Leader, st.Voters)
		}
		s.stuck("not every member works again after everything has healed: %s", s.describe())
	}
	if s.problem == nil {
		s.finalCommand()
	}
}

func (h *simHost) scope() (sc scope) {
	sc = h.core.scope()
	return sc
}

func (s *sim) describe() string {
	text := ""
	for _, h := range s.hosts {
		st := h.core.Status(h.clock())
		text += fmt.Sprintf("\n  %s: %s in %d, fresh=%v (%s), leader %q, %v", h.name, st.State, st.Generation, st.Fresh, st.Reason, st.Leader, st.Voters)
	}
	return text
}

// operator recovers the register, if that is what it takes.
func (s *sim) operator() bool {
	var best *simHost
	var names []string
	for _, h := range s.hosts {
		names = append(names, h.name)
		r, ok := h.core.known()
		if !ok {
			continue
		}
		if best == nil {
			best = h
			continue
		}
		b, _ := best.core.known()
		g := h.core.scope().generation
		bg := best.core.scope().generation
		if g > bg || g == bg && (r.Compare(b.Version) > 0 || r.Compare(b.Version) == 0 && h.core.Cluster != 0 && best.core.Cluster == 0) {
			best = h
		}
	}
	if best == nil {
		s.inits++
		var err error
		h := s.hosts[0]
		h.do(h.life, func() { err = h.core.InitForce(h.clock()) })
		s.logf("%s init --force: %v", h.name, err)
		return err == nil
	}
	// Whoever belongs to another cluster than the one that is to be kept gets
	// its disk wiped.
	cluster := best.core.scope().cluster
	wiped := false
	for _, h := range s.hosts {
		if h.core.Cluster != 0 && h.core.Cluster != cluster {
			s.logf("%s is wiped", h.name)
			h.crash()
			h.disk, h.last = simDisk{}, state.Image{}
			h.start()
			wiped = true
		}
	}
	if wiped {
		return true
	}
	if c := best.core; c.Cluster != 0 {
		// A disk that stays suspended, because too few are left to say whether it
		// has forgotten something, is as good as lost, and says so.
		here := func(disk uint64) bool {
			return slices.ContainsFunc(s.hosts, func(h *simHost) bool {
				return h.core.Disk == disk && h.core.doubt == nil && h.core.Cluster == c.Cluster && h.core.Generation == c.Generation && h.core.Origin == c.Origin
			})
		}
		newest := c
		for _, h := range s.hosts {
			if o := h.core; o.Cluster == c.Cluster && o.Origin == c.Origin && o.Log != nil && o.Log.Applied.Index > newest.Log.Applied.Index {
				newest = o
			}
		}
		if voters.Majority(newest.Log.Conf, here) {
			s.stuck("a majority of the disks is there and the register does not work: %s", s.describe())
			return false
		}
	}
	// At most five, the one who knows most among them.
	names = slices.DeleteFunc(names, func(n string) bool { return n == best.name })
	return s.recover(best, append(names[:min(4, len(names))], best.name))
}

// finalCommand commits one more command from every host.
func (s *sim) finalCommand() {
	for i, h := range s.hosts {
		deadline := s.now + 10*time.Second
		for {
			r, _ := h.core.known()
			s.nextReq++
			id := s.nextReq
			op := &simOp{client: -1, call: s.now, cmd: Command{ID: fmt.Sprintf("final-%d-%d", i, id), Expect: r.Version, NewEpoch: true}}
			s.hist.ops = append(s.hist.ops, op)
			s.requests[id] = op
			h.do(h.life, func() { h.core.Propose(h.clock(), id, op.cmd) })
			s.run(min(deadline, s.now+3*time.Second), func() bool { return op.done })
			s.logf("%s: final command expecting %s: %+v", h.name, r.Version, op.out)
			if s.problem != nil || op.done && !op.out.refused {
				break
			}
			if s.now >= deadline {
				s.stuck("%s commits nothing after everything has healed: %s", h.name, s.describe())
				break
			}
		}
	}
}

// forceInit makes the first start without one of the initial voters, which
// comes later.
func (s *sim) forceInit(late *simHost) {
	h := s.hosts[s.rng.Intn(min(s.opt.voters, 5)-1)]
	var err error
	h.do(h.life, func() { err = h.core.InitForce(h.clock()) })
	s.logf("%s init --force: %v", h.name, err)
	if err != nil {
		s.fail("%s: init --force: %v", h.name, err)
		return
	}
	s.inits++
	s.at(s.between(100*time.Millisecond, 3*time.Second), func() {
		if late.down {
			late.start()
		}
	})
}

// play runs one seed from first start to the end.
func (s *sim) play() error {
	quiet := time.Duration(0)
	late := s.hosts[:0]
	if s.opt.forced {
		quiet, late = 3*time.Second, s.hosts[min(s.opt.voters, 5)-1:min(s.opt.voters, 5)]
		s.at(s.between(500*time.Millisecond, 2*time.Second), func() { s.forceInit(late[0]) })
	}
	for _, h := range s.hosts {
		if !slices.Contains(late, h) {
			h.start()
		}
	}
	s.addClients(3 + s.rng.Intn(6))
	s.at(quiet+s.between(0, 3*time.Second), s.faults)
	if s.opt.late {
		s.at(5*time.Second, s.replay)
	}
	if s.opt.forge {
		s.at(quiet+3*time.Second, s.forge)
	}
	done := func() bool {
		for _, c := range s.clients {
			if !c.stop || c.op != nil {
				return false
			}
		}
		return true
	}
	s.run(120*time.Second, done)
	if s.problem == nil {
		s.checkLiveness()
		s.checkConf()
	}
	s.checkHistory()
	return s.problem
}
