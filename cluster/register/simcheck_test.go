package register

import (
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/haproxy-peers/haproxy-peers/cluster/register/state"
)

// scope is a generation of a cluster; each has a history of its own.

// simOp is a command or read of a client.
type simOp struct {
	client int
	read   bool
	cmd    Command
	call   time.Duration
	ret    time.Duration
	done   bool
	// open is an answer that leaves the outcome open.
	open  bool
	scope scope
	out   opOutput
	// attempt is the request under way.
	attempt uint64
	host    *simHost
	life    int
}

type opOutput struct {
	version Version
	id      string
	refused bool
	open    bool
}

// history is what clients and the observer of the cores have seen.
type history struct {
	ops []*simOp
	// value is which command made a version; epochs which one began an epoch.
	value   map[scope]map[Version]string
	epochs  map[scope]map[uint64]string
	applied map[string]map[scope]Version
	genesis map[scope]Record
	latest  map[*simHost]Version
	// configs are the committed configuration changes: by generation and index.
	configs map[scope]map[uint64]string
	// acks are, in order of time, the newest versions that were acknowledged.
	acks map[scope][]simAck
}

type simAck struct {
	at      time.Duration
	version Version
}

func (h *history) init() {
	h.value, h.epochs = make(map[scope]map[Version]string), make(map[scope]map[uint64]string)
	h.applied, h.genesis = make(map[string]map[scope]Version), make(map[scope]Record)
	h.latest = make(map[*simHost]Version)
	h.configs = make(map[scope]map[uint64]string)
	h.acks = make(map[scope][]simAck)
}

// acknowledged notes that a client was told of the version that a command made.
func (h *history) acknowledged(now time.Duration, op *simOp) {
	for sc, v := range h.applied[op.cmd.ID] {
		if op.read || op.out.refused || v != op.out.version {
			continue
		}
		a := h.acks[sc]
		if n := len(a); n == 0 || a[n-1].version.Compare(v) < 0 {
			h.acks[sc] = append(a, simAck{now, v})
		}
	}
}

// checkFresh demands that whoever takes itself for fresh, with knowledge of a
// certain age, knows everything that was acknowledged before.
func (s *sim) checkFresh(h *simHost) {
	c := h.core
	at := c.freshTime(h.clock())
	r, known := c.known()
	age := h.clock() - at
	if at == 0 || !known || age > FreshFor {
		return
	}
	s.freshChecks++
	acks := s.hist.acks[h.scope()]
	for i := len(acks) - 1; i >= 0; i-- {
		if acks[i].at < s.now-age {
			if acks[i].version.Compare(r.Version) > 0 {
				s.fail("%s is fresh, %s old, with %s, but %s was acknowledged at %s", h.name, age, r.Version, acks[i].version, acks[i].at)
			}
			return
		}
	}
}

// fact notes that version has this value in a generation: for ever.
func (s *sim) fact(sc scope, v Version, id string) {
	h := &s.hist
	if h.value[sc] == nil {
		h.value[sc] = make(map[Version]string)
	}
	if have, ok := h.value[sc][v]; ok && have != id {
		s.fail("version %s of generation %x has two values, %q and %q", v, sc, have, id)
	}
	h.value[sc][v] = id
}

// applied hears of every command that any core applies.
func (s *sim) applied(c *Core, cmd Command, o state.Outcome) {
	if o.Refused {
		return
	}
	sc := c.own()
	s.fact(sc, o.Record.Version, cmd.ID)
	s.fact(sc, Version{Revision: o.Record.Revision}, cmd.ID)
	if cmd.NewEpoch {
		if s.hist.epochs[sc] == nil {
			s.hist.epochs[sc] = make(map[uint64]string)
		}
		if have, ok := s.hist.epochs[sc][o.Record.Epoch]; ok && have != cmd.ID {
			s.fail("epoch %d of generation %x was begun by %q and by %q", o.Record.Epoch, sc, have, cmd.ID)
		}
		s.hist.epochs[sc][o.Record.Epoch] = cmd.ID
	}
	if s.hist.applied[cmd.ID] == nil {
		s.hist.applied[cmd.ID] = make(map[scope]Version)
	}
	s.hist.applied[cmd.ID][sc] = o.Record.Version
}

// configured hears of every configuration that any core applies.
func (s *sim) configured(c *Core, index uint64) {
	sc := c.own()
	if s.hist.configs[sc] == nil {
		s.hist.configs[sc] = make(map[uint64]string)
	}
	conf := c.Log.Conf
	text := fmt.Sprint(slices.Sorted(slices.Values(conf.GetVoters())), slices.Sorted(slices.Values(conf.GetVotersOutgoing())),
		slices.Sorted(slices.Values(conf.GetLearners())), slices.Sorted(slices.Values(conf.GetLearnersNext())))
	if have, ok := s.hist.configs[sc][index]; ok && have != text {
		s.fail("two configurations at index %d of generation %x: %s and %s", index, sc, have, text)
	}
	s.hist.configs[sc][index] = text
}

// checkConf demands that raft counts with the configuration that its member knows.
func (s *sim) checkConf() {
	for _, h := range s.hosts {
		c := h.core
		if h.down || c.node == nil || c.writing {
			continue
		}
		counts := c.node.Status().Config
		var voters []uint64
		for id := range counts.Voters.IDs() {
			voters = append(voters, id)
		}
		slices.Sort(voters)
		want := slices.Concat(c.Log.Conf.GetVoters(), c.Log.Conf.GetVotersOutgoing())
		slices.Sort(want)
		if want = slices.Compact(want); !slices.Equal(voters, want) {
			s.fail("raft of %s counts the voters %x, its configuration has %x", h.name, voters, want)
		}
	}
}

// observe looks at a core after every step.
func (s *sim) observe(h *simHost) {
	s.traceState(h)
	s.checkFresh(h)
	s.checkHonest(h)
	h.remember(false)
	c := h.core
	if c.Cluster == 0 || len(c.Log.Conf.GetVoters()) == 0 {
		return
	}
	sc := c.own()
	if c.Log.Applied.Index == 1 {
		g, ok := s.hist.genesis[sc]
		// With commands applied before their entries the index says nothing.
		if ok && !s.opt.hooks.applyUncommitted && (g.Version != c.Machine.Record.Version || g.CommandID != c.Machine.Record.CommandID) {
			s.fail("generation %x has two beginnings", sc)
		}
		if !ok {
			s.hist.genesis[sc] = c.Machine.Record
		}
	}
	if v := c.Machine.Record.Version; v != s.hist.latest[h] {
		s.hist.latest[h] = v
		s.fact(sc, v, c.Machine.Record.CommandID)
	}
	if n := len(c.Log.Conf.GetVoters()); n > c.cfg.MaxVoters {
		s.fail("%d voters", n)
	}
}

// regState and the model: a compare-and-set register.
type regState struct {
	version Version
	id      string
}

func registerModel(start Record) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return regState{start.Version, start.CommandID} },
		Step: func(state, input, output any) (bool, any) {
			st, op, out := state.(regState), input.(*simOp), output.(opOutput)
			next := st.version
			next.Revision++
			if op.cmd.NewEpoch {
				next.Epoch++
			}
			switch {
			case op.read:
				return out.version == st.version && out.id == st.id, st
			case out.refused:
				return st.version != op.cmd.Expect && out.version == st.version && out.id == st.id, st
			case st.version == op.cmd.Expect && out.version == next:
				return true, regState{next, op.cmd.ID}
			}
			// The command whose record a recovery has kept was already applied.
			return !out.open && st.id == op.cmd.ID && out.version == st.version, st
		},
		DescribeOperation: func(input, output any) string {
			op, out := input.(*simOp), output.(opOutput)
			if op.read {
				return fmt.Sprintf("read -> %s %s", out.version, out.id)
			}
			return fmt.Sprintf("%s expects %s -> %s %s refused=%v open=%v", op.cmd.ID, op.cmd.Expect, out.version, out.id, out.refused, out.open)
		},
	}
}

// checkHistory checks every generation's history for linearizability.
func (s *sim) checkHistory() {
	if s.problem != nil {
		return
	}
	scopes := make(map[scope][]porcupine.Operation)
	const open = int64(1) << 60
	for _, op := range s.hist.ops {
		if op.done && !op.open {
			sc, ok := s.scopeOf(op)
			if !ok {
				s.fail("client %d got %s by %q, which no member has applied", op.client, op.out.version, op.out.id)
				return
			}
			op.scope = sc
			scopes[sc] = append(scopes[sc], porcupine.Operation{
				ClientId: op.client, Input: op, Output: op.out, Call: int64(op.call), Return: int64(op.ret),
			})
		}
		// A command without an answer matters only if it took effect.
		for sc, v := range s.hist.applied[op.cmd.ID] {
			if !op.done || op.open || op.scope != sc {
				scopes[sc] = append(scopes[sc], porcupine.Operation{
					ClientId: op.client, Input: op, Call: int64(op.call), Return: open,
					Output: opOutput{version: v, id: op.cmd.ID, open: true},
				})
			}
		}
	}
	for _, sc := range sortedScopes(scopes) {
		ops := scopes[sc]
		sort.SliceStable(ops, func(i, j int) bool { return ops[i].Call < ops[j].Call })
		res := porcupine.CheckOperationsTimeout(registerModel(s.hist.genesis[sc]), ops, 20*time.Second)
		switch res {
		case porcupine.Illegal:
			s.fail("the history of generation %x (%d operations) is not linearizable", sc, len(ops))
			for _, op := range ops {
				s.logf("%d..%d %s", op.Call/1000, op.Return/1000, registerModel(Record{}).DescribeOperation(op.Input, op.Output))
			}
		case porcupine.Unknown:
			s.fail("the history of generation %x (%d operations) was not checked in time", sc, len(ops))
		}
	}
}

func sortedScopes(m map[scope][]porcupine.Operation) []scope {
	var keys []scope
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b scope) int {
		if a.generation != b.generation {
			return int(a.generation) - int(b.generation)
		}
		if a.cluster < b.cluster || a.cluster == b.cluster && a.origin < b.origin {
			return -1
		}
		return 1
	})
	return keys
}

// scopeOf finds the generation that an answer speaks of.
func (s *sim) scopeOf(op *simOp) (scope, bool) {
	fits := func(sc scope) bool {
		if g, ok := s.hist.genesis[sc]; ok && g.Version == op.out.version && g.CommandID == op.out.id {
			return true
		}
		id, ok := s.hist.value[sc][op.out.version]
		return ok && id == op.out.id
	}
	if fits(op.scope) {
		return op.scope, true
	}
	var found []scope
	for sc := range s.hist.value {
		if fits(sc) {
			found = append(found, sc)
		}
	}
	for sc := range s.hist.genesis {
		if fits(sc) && !slices.Contains(found, sc) {
			found = append(found, sc)
		}
	}
	if len(found) == 0 {
		return scope{}, false
	}
	return slices.MinFunc(found, func(a, b scope) int {
		if a.generation != b.generation {
			return int(b.generation) - int(a.generation)
		}
		if a.origin < b.origin {
			return -1
		}
		return 1
	}), true
}
