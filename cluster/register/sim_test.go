package register

import (
	"container/heap"
	"fmt"
	"math/rand"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster/register/state"
)

// The simulation: cores, disks, a network and clients, driven by one event heap
// and one seeded generator. There is no real time in it.

type simEvent struct {
	at  time.Duration
	seq int
	do  func()
}

type simHeap []simEvent

func (h simHeap) Len() int { return len(h) }
func (h simHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].seq < h[j].seq
}
func (h simHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *simHeap) Push(x any)   { *h = append(*h, x.(simEvent)) }
func (h *simHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

type simHost struct {
	s     *sim
	name  string
	core  *Core
	disk  simDisk
	life  int
	epoch time.Duration // start of its clock
	// paused holds what arrives while the process is stopped.
	paused   bool
	pausedAt time.Duration
	// traced is what was last said of it in a trace.
	traced string
	// initial are its own initial voters, if not nil.
	initial []string
	queue   []func()
	// hidden keeps it out of the gossip, though it is heard.
	hidden bool
	// answers is where the reply that is being handled comes from, nil if what is
	// handled is none.
	answers *scope
	// slowDisk, if not 0, is how long every write takes.
	slowDisk time.Duration
	// flight are writes that have not ended; more than one only under a mutation.
	flight []*Write
	down   bool
	// old says that this process is of 7535bfe.
	old bool
	// mine is its disk, forgetful one that it has loaded an old copy of.
	mine, forgetful uint64
	// copy is the exact copy that this life began with.
	copy *state.Image
	// last is the identity for the mutation that keeps the id of a lost disk.
	last state.Image
}

type simOptions struct {
	seed   int64
	ops    int
	voters int  // initial voters
	extra  int  // further members
	forced bool // the first start is made without the last of the voters
	hooks  hooks
	keepID bool
	// expect is every host's BootstrapExpect.
	expect int
	// late, mixed and forge: see simnet_test.go.
	late, mixed, forge bool
	// often is a fault that happens much more often than by chance.
	often func(s *sim, h *simHost)
}

type sim struct {
	opt   simOptions
	rng   *rand.Rand
	now   time.Duration
	seq   int
	heap  simHeap
	hosts []*simHost

	cut                      map[[2]string]bool
	loss, dup, slow          float64
	delay, gossipLag         time.Duration
	healed                   bool
	clients                  []*simClient
	hist                     history
	nextBirth, opCount       uint64
	lostDisks                int
	refused, recovers, inits int
	// restored counts the exact copies that were put back, excused those of
	// them that nobody else could know of; forgot the disks that were given up
	// because they had forgotten something; revived the write errors that passed.
	restored, excused, forgot, revived int
	freshChecks                        int
	problem                            error
	onlyStuck                          bool
	requests                           map[uint64]*simOp
	// promised is how many promises a disk has ever made.
	promised map[uint64]uint64
	nextReq  uint64
	// answered, if set, gets the answers instead of the clients.
	answered func(r Result)
	trace    func(format string, args ...any)
	net
}

func newSim(o simOptions) *sim {
	s := &sim{
		opt: o, rng: rand.New(rand.NewSource(o.seed)), cut: make(map[[2]string]bool),
		requests: make(map[uint64]*simOp), promised: make(map[uint64]uint64), loss: 0.01, dup: 0.01, slow: 0.02, delay: 3 * time.Millisecond,
		gossipLag: 300 * time.Millisecond,
	}
	s.hist.init()
	s.overheard = make(map[[2]uint64]uint64)
	s.chance = rand.New(rand.NewSource(o.seed ^ 0x6e6574)) // "net"
	for i := range o.voters + o.extra {
		s.hosts = append(s.hosts, &simHost{s: s, name: fmt.Sprintf("px%d", i), down: true})
	}
	return s
}

func (s *sim) logf(format string, args ...any) {
	if s.trace != nil {
		s.trace("%8.3f "+format, append([]any{s.now.Seconds()}, args...)...)
	}
}

func (s *sim) fail(format string, args ...any) {
	if s.problem == nil {
		s.problem = fmt.Errorf("seed %d at %s: %s", s.opt.seed, s.now, fmt.Sprintf(format, args...))
		s.logf("VIOLATION %v", s.problem)
	}
}

// stuck is a problem of liveness, fail one of safety.
func (s *sim) stuck(format string, args ...any) {
	if s.problem == nil {
		s.fail(format, args...)
		s.onlyStuck = true
	}
}

func (s *sim) at(d time.Duration, do func()) {
	s.seq++
	heap.Push(&s.heap, simEvent{s.now + d, s.seq, do})
}

// run handles events until the time, a problem, or stop says so.
func (s *sim) run(until time.Duration, stop func() bool) {
	for len(s.heap) > 0 && s.heap[0].at <= until && s.problem == nil && (stop == nil || !stop()) {
		e := heap.Pop(&s.heap).(simEvent)
		s.now = e.at
		e.do()
	}
	if s.problem == nil && (stop == nil || !stop()) {
		s.now = until
	}
}

func (s *sim) between(a, b time.Duration) time.Duration {
	return a + time.Duration(s.rng.Int63n(int64(b-a)))
}

func (s *sim) host(name string) *simHost {
	for _, h := range s.hosts {
		if h.name == name {
			return h
		}
	}
	return nil
}

func (s *sim) initial() []string {
	var names []string
	for _, h := range s.hosts[:s.opt.voters] {
		names = append(names, h.name)
	}
	return names
}

// start boots a host from its disk.
func (h *simHost) start() {
	s := h.s
	h.life++
	h.down, h.paused, h.queue, h.flight = false, false, nil, nil
	// Every process has a clock of its own.
	h.epoch = s.now - s.between(time.Second, 100*time.Second)
	cfg := CoreConfig{
		Name: h.name, Initial: s.initial(), Random: s.rng.Uint64, hooks: withReads(s.opt.hooks),
	}
	if cfg.Expect = s.opt.expect; h.initial != nil {
		cfg.Initial = h.initial
	}
	cfg.Body, cfg.Lost = h.load()
	if cfg.Body == nil && s.opt.keepID && h.last.Cluster != 0 {
		im := h.last
		cfg.hooks.keepLostDisk = &im
	}
	cfg.hooks.deadAfter, cfg.hooks.patience = 6*time.Second, 4*time.Second
	cfg.hooks.applied, cfg.hooks.configured = s.applied, s.configured
	h.old = s.opt.mixed && s.chance.Intn(2) == 0
	core, err := NewCore(cfg, h.clock())
	if err != nil {
		s.fail("%s: %v", h.name, err)
		return
	}
	h.core = core
	h.remember(true)
	s.logf("%s starts as %x (cluster %x, lost %q)", h.name, core.Disk, core.Cluster, cfg.Lost)
	h.take()
	h.tick(h.life)
	h.gossip(h.life)
}

func (h *simHost) clock() time.Duration { return h.s.now - h.epoch }

// do runs f on the core of this life, later if the process is stopped.
func (h *simHost) do(life int, f func()) {
	switch {
	case h.life != life || h.down:
	case h.paused:
		if len(h.queue) < 500 {
			h.queue = append(h.queue, func() { h.do(life, f) })
		}
	default:
		before, doubted := h.core.confirmed, h.core.doubt != nil
		if f(); h.mustExcuse(before, doubted) {
			h.excuse()
			return
		}
		h.take()
	}
}

func (h *simHost) tick(life int) {
	if h.life != life || h.down {
		return
	}
	h.s.at(h.s.between(45*time.Millisecond, 60*time.Millisecond), func() { h.tick(life) })
	if !h.paused {
		h.do(life, func() { h.core.Tick(h.clock()) })
	}
}

// gossip tells the host who else it sees.
func (h *simHost) gossip(life int) {
	if h.life != life || h.down {
		return
	}
	s := h.s
	s.at(s.between(200*time.Millisecond, 400*time.Millisecond), func() { h.gossip(life) })
	var members []Member
	for _, o := range s.hosts {
		if o != h && !o.down && !o.paused && !o.hidden && !s.cut[[2]string{o.name, h.name}] && !s.cut[[2]string{h.name, o.name}] {
			m := o.core.Self()
			if o.old {
				m = oldMember(m)
			}
			members = append(members, m)
		}
	}
	s.at(s.between(time.Millisecond, s.gossipLag), func() {
		h.do(life, func() { h.core.SetMembers(h.clock(), members) })
	})
}

// take acts on what the core wants.
func (h *simHost) take() {
	s := h.s
	for h.core != nil && !h.down {
		o := h.core.Take()
		for _, m := range o.Send {
			s.send(h, m)
		}
		for _, r := range o.Results {
			s.result(h, r)
		}
		if o.Write == nil {
			break
		}
		h.write(o.Write)
	}
	h.answers = nil
	if h.core != nil && !h.down {
		s.observe(h)
	}
}

// crash kills the process: what was not written is gone, what was being
// written may be there.
func (h *simHost) crash() {
	if h.down {
		return
	}
	s := h.s
	if c := h.core; c.Cluster != 0 {
		h.last = state.Image{Name: c.Name, Disk: c.Disk, Cluster: c.Cluster, Generation: c.Generation, Origin: c.Origin, Seen: map[uint64]uint64{}}
	}
	for _, w := range h.flight {
		if s.rng.Intn(2) == 0 {
			h.persist(w.Body)
		}
	}
	h.down = true
	s.logf("%s crashes", h.name)
}
