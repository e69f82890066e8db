package register

import (
	"slices"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster/register/voters"
)

// faults injects one fault after the other until the world is healed.
func (s *sim) faults() {
	if s.healed {
		return
	}
	s.at(s.between(150*time.Millisecond, 1200*time.Millisecond), s.faults)
	h := s.hosts[s.rng.Intn(len(s.hosts))]
	if s.opt.often != nil && s.rng.Intn(3) == 0 {
		s.opt.often(s, h)
		return
	}
	switch n := s.rng.Intn(100); {
	case n < 32:
		s.crashOne(h)
	case n < 38:
		s.powerFailure()
	case n < 50:
		s.partition()
	case n < 60:
		s.oneWay()
	case n < 70:
		s.pause(h)
	case n < 75:
		if !h.down {
			h.disk.fail = true
		}
	case n < 90:
		s.leave(h)
	case n < 92:
		s.tryRecover(h)
	case n < 94:
		s.isolateAndRecover(h)
	case n < 96:
		s.removeOne(h)
	default:
		s.loss = []float64{0, 0.01, 0.05, 0.2}[s.rng.Intn(4)]
		s.slow = []float64{0, 0.02, 0.1, 0.3}[s.rng.Intn(4)]
	}
}

// wounded counts the hosts that cannot vote with their disk now.
func (s *sim) wounded() int {
	n := 0
	for _, h := range s.hosts {
		if h.down && h.disk.data == nil || !h.down && (h.core.node == nil || !voters.Has(h.core.Log.Conf, h.core.Disk)) {
			n++
		}
	}
	return n
}

// crashOne kills a host and decides what is left of its disk.
func (s *sim) crashOne(h *simHost) {
	if h.down {
		return
	}
	h.crash()
	if s.wounded()*2+1 < len(s.hosts) || s.rng.Intn(12) == 0 {
		s.spoil(h)
	}
	s.reboot(h)
}

// spoil does something to the disk of a host that is down.
func (s *sim) spoil(h *simHost) {
	if h.disk.data == nil {
		return
	}
	switch s.rng.Intn(6) {
	case 0, 1, 2:
		h.disk = simDisk{}
		s.lostDisks++
		s.logf("%s loses its disk", h.name)
	case 3:
		h.disk.data = h.disk.data[:len(h.disk.data)/2]
		s.lostDisks++
		s.logf("%s has its file cut in half", h.name)
	case 4:
		if n := len(h.disk.copies); n > 0 {
			old := h.disk.copies[s.rng.Intn(n)]
			h.disk.data = slices.Clone(old.data)
			if h.disk.exact = s.rng.Intn(2) == 0; h.disk.exact {
				h.disk.birth = old.birth
				s.restored++
			}
			s.logf("%s has an older copy of its file restored (exact %v)", h.name, h.disk.exact)
		}
	}
}

// loseWitness lets the leader commit with one voter while the others do not
// hear it, then kills both, and only the voter is back soon, without its disk:
// the commands of that time are on the leader's disk alone.
func (s *sim) loseWitness(*simHost) {
	i := slices.IndexFunc(s.hosts, func(h *simHost) bool { return !h.down && !h.paused && h.core.leading })
	if i < 0 {
		return
	}
	leader, witness := s.hosts[i], s.hosts[(i+1)%len(s.hosts)]
	if witness == leader || witness.down || witness.paused {
		return
	}
	for _, o := range s.hosts {
		if o != leader && o != witness {
			s.block(leader.name, o.name, 300*time.Millisecond)
		}
	}
	s.at(250*time.Millisecond, func() {
		if s.healed || leader.down || witness.down {
			return
		}
		leader.crash()
		witness.crash()
		witness.disk = simDisk{}
		s.lostDisks++
		witness.start()
		life := leader.life
		s.at(3*time.Second, func() {
			if leader.life == life && leader.down {
				leader.start()
			}
		})
	})
}

// isolateAndRecover cuts a host off, lets an operator recover there, and
// connects it again while the old majority still works.
func (s *sim) isolateAndRecover(h *simHost) {
	d := s.between(3*time.Second, 5*time.Second)
	for _, o := range s.hosts {
		s.block(h.name, o.name, d)
		s.block(o.name, h.name, d)
	}
	s.at(d-200*time.Millisecond, func() {
		if s.healed || h.down || h.paused {
			return
		}
		s.recover(h, []string{h.name})
	})
}

func (s *sim) reboot(h *simHost) {
	life := h.life
	s.at(s.between(50*time.Millisecond, 2500*time.Millisecond), func() {
		if h.life == life && h.down {
			h.start()
		}
	})
}

// powerFailure kills everybody at once; rarely one loses its disk by it.
func (s *sim) powerFailure() {
	spoilt := s.rng.Intn(3) > 0
	for _, h := range s.hosts {
		if !h.down && s.rng.Intn(8) > 0 {
			h.crash()
			if spoilt {
				spoilt = false
				s.spoil(h)
			}
			s.reboot(h)
		}
	}
}

// powerFailureMidWrite is one while several disks are being written.
func (s *sim) powerFailureMidWrite(*simHost) {
	tries := 0
	var try func()
	try = func() {
		writing := 0
		for _, h := range s.hosts {
			writing += min(len(h.flight), 1)
		}
		if tries++; writing > 1 || tries > 300 {
			s.powerFailure()
			return
		}
		s.at(time.Millisecond, try)
	}
	try()
}

func (s *sim) block(a, b string, d time.Duration) {
	s.cut[[2]string{a, b}] = true
	s.at(d, func() { delete(s.cut, [2]string{a, b}) })
}

func (s *sim) partition() {
	d := s.between(300*time.Millisecond, 4*time.Second)
	side := make(map[string]bool)
	for _, h := range s.hosts {
		side[h.name] = s.rng.Intn(2) == 0
	}
	s.logf("partition %v for %s", side, d)
	for _, a := range s.hosts {
		for _, b := range s.hosts {
			if side[a.name] != side[b.name] {
				s.block(a.name, b.name, d)
			}
		}
	}
}

func (s *sim) oneWay() {
	a, b := s.hosts[s.rng.Intn(len(s.hosts))], s.hosts[s.rng.Intn(len(s.hosts))]
	d := s.between(300*time.Millisecond, 4*time.Second)
	if s.rng.Intn(2) == 0 {
		s.logf("%s is not heard by anybody for %s", a.name, d)
		for _, o := range s.hosts {
			s.block(a.name, o.name, d)
		}
		return
	}
	s.logf("%s is not heard by %s for %s", a.name, b.name, d)
	s.block(a.name, b.name, d)
}

func (s *sim) pause(h *simHost) {
	if h.down || h.paused {
		return
	}
	h.paused, h.pausedAt = true, s.now
	life, d := h.life, s.between(100*time.Millisecond, 4*time.Second)
	s.logf("%s is stopped for %s", h.name, d)
	s.at(d, func() { h.wake(life) })
}

func (h *simHost) wake(life int) {
	if h.life != life || h.down || !h.paused {
		return
	}
	h.paused = false
	queue := h.queue
	h.queue = nil
	// Whatever lay in the socket while it was stopped, it must not take itself
	// for being in touch with the majority: unless it is the majority.
	stale := func() {
		conf, _ := h.core.knownConf()
		if st := h.core.Status(h.clock()); st.Fresh && len(conf.GetVoters()) > 1 && h.s.now-h.pausedAt > FreshFor {
			h.s.fail("%s takes itself for fresh after having been stopped for %s", h.name, h.s.now-h.pausedAt)
		}
	}
	stale()
	for _, f := range queue {
		f()
		if h.life == life && !h.down {
			stale()
		}
	}
}

// leave stops a host cleanly: it leaves the voters first.
func (s *sim) leave(h *simHost) {
	if h.down || h.paused {
		return
	}
	life := h.life
	s.nextReq++
	id := s.nextReq
	s.logf("%s leaves", h.name)
	h.do(life, func() { h.core.Leave(h.clock(), id) })
	s.at(s.between(500*time.Millisecond, 2*time.Second), func() {
		if h.life == life && !h.down {
			h.crash()
			s.reboot(h)
		}
	})
}

// removeOne is an operator who takes some other host for dead for good.
func (s *sim) removeOne(h *simHost) {
	o := s.hosts[s.rng.Intn(len(s.hosts))]
	if h.down || h.paused || o == h || !o.down && s.rng.Intn(4) > 0 {
		return
	}
	s.nextReq++
	id, life := s.nextReq, h.life
	s.logf("%s is to remove %s", h.name, o.name)
	h.do(life, func() { h.core.Remove(h.clock(), id, o.name) })
	s.at(5*time.Second, func() { h.do(life, func() { h.core.Cancel(h.clock(), id) }) })
}

// tryRecover is an operator who believes that the majority is gone. Within one
// generation number there must be one recovery at most: that is the operator's
// part, so this one looks at everybody first.
func (s *sim) tryRecover(h *simHost) {
	if h.down || h.paused {
		return
	}
	top := uint64(0)
	for _, o := range s.hosts {
		g := o.last.Generation
		if o.core != nil {
			v := o.core.scope().generation
			g = max(g, v)
		}
		top = max(top, g)
	}
	if g := h.core.scope().generation; g < top {
		return
	}
	names := []string{h.name}
	for _, o := range s.hosts {
		if o != h && len(names) < 5 && s.rng.Intn(2) == 0 {
			names = append(names, o.name)
		}
	}
	s.recover(h, names)
}

func (s *sim) recover(h *simHost, names []string) bool {
	var err error
	h.do(h.life, func() { err = h.core.Recover(h.clock(), names) })
	if err == nil {
		s.recovers++
	}
	s.logf("%s recovers with %v: %v", h.name, names, err)
	return err == nil
}
