package register

import (
	"math/rand"
	"slices"
	"time"
)

// What the simulated network does beside losing, doubling and delaying. Each is
// an option of a simulation; these say whether the random simulation has it.
const (
	// simLate: messages are delivered once more, seconds to minutes later.
	simLate = true
	// simMixed: members of 7535bfe take part, see simold_test.go.
	simMixed = true
	// simForge: one stranger or one member makes up messages, see simforge_test.go.
	// SIM_FORGE=0 leaves it out of one run.
	simForge = true
)

// keptLetters is how many old messages the network can still deliver again.
const keptLetters = 256

// letter is a message on its way, or kept.
type letter struct {
	from, to *simHost
	data     []byte
}

// net is the network's own chance, so that what it adds leaves the seeds of the
// other faults as they are, and what it remembers.
type net struct {
	chance *rand.Rand
	kept   []letter
	// replayed and forged count what was delivered, toOld what went to members of
	// 7535bfe.
	replayed, forged, toOld int
	// drop, if set, says which messages are lost. Directed scenarios use it.
	drop func(from, to *simHost, env *envelope) bool
	// liar, if set, is whose name everything that is forged bears.
	liar *liar
	// overheard is the last stamp that one disk has sent to another, also to a
	// stranger's: to echo it makes a forged message look like an answer.
	overheard map[[2]uint64]uint64
}

// send puts a message on the network.
func (s *sim) send(from *simHost, m Message) {
	if s.opt.forge {
		s.overhear(m.Data)
	}
	to := s.host(m.Name)
	if to == nil || to == from {
		return
	}
	l := letter{from, to, m.Data}
	if from.old {
		l.data = s.asOld(l)
	}
	s.keep(l)
	n := 1
	if s.rng.Float64() < s.dup {
		n = 2
	}
	for range n {
		if s.rng.Float64() < s.loss || s.cut[[2]string{from.name, to.name}] || s.dropped(l) {
			continue
		}
		d := s.delay/4 + time.Duration(s.rng.Int63n(int64(s.delay)))
		if s.rng.Float64() < s.slow {
			d += s.between(0, 400*time.Millisecond)
		}
		s.at(d, func() { s.deliver(l) })
	}
}

func (s *sim) deliver(l letter) {
	if l.to.down {
		return
	}
	if l.to.old {
		s.toOld++
		s.mustBeOld(l)
	}
	l.to.do(l.to.life, func() {
		l.to.answers = replyScope(l.data)
		l.to.core.Step(l.to.clock(), l.data)
	})
}

// replyScope is the generation that a message which is a reply comes from. Who gets
// it may follow another one by now; and two recoveries at once can begin with one
// and the same record, so the answer itself does not say which it is from.
func replyScope(data []byte) *scope {
	if len(data) < 2 || kind(data[1]) != kindReply {
		return nil
	}
	env, err := decodeEnvelope(data)
	if err != nil {
		return nil
	}
	return &env.scope
}

func (s *sim) dropped(l letter) bool {
	if s.drop == nil {
		return false
	}
	env, err := decodeEnvelope(l.data)
	return err == nil && s.drop(l.from, l.to, &env)
}

func (s *sim) overhear(data []byte) {
	if env, err := decodeEnvelope(data); err == nil {
		s.overheard[[2]uint64{env.from, env.to}] = env.stamp
	}
}

// keep remembers some of the messages: those of long ago as well as the last.
func (s *sim) keep(l letter) {
	switch {
	case !s.opt.late:
	case len(s.kept) < keptLetters:
		s.kept = append(s.kept, l)
	case s.chance.Intn(32) == 0:
		s.kept[s.chance.Intn(keptLetters)] = l
	}
}

// replay delivers messages of long ago again, now and then, to the end, in the
// healed world as well: they must break no promise, and keep nothing from working.
func (s *sim) replay() {
	s.at(50*time.Millisecond+time.Duration(s.chance.Int63n(int64(time.Second))), s.replay)
	for range 1 + s.chance.Intn(8) {
		if len(s.kept) > 0 {
			s.replayed++
			s.deliver(s.kept[s.chance.Intn(len(s.kept))])
		}
	}
}

// replayAll delivers everything that is kept, in any order.
func (s *sim) replayAll() {
	for _, i := range s.chance.Perm(len(s.kept)) {
		l := s.kept[i]
		s.replayed++
		s.at(time.Duration(s.chance.Int63n(int64(2*time.Second))), func() { s.deliver(l) })
	}
}

// upHost is a host that runs, by the network's chance.
func (s *sim) upHost() *simHost {
	up := slices.DeleteFunc(slices.Clone(s.hosts), func(h *simHost) bool { return h.down })
	if len(up) == 0 {
		return nil
	}
	return up[s.chance.Intn(len(up))]
}
