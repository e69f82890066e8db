package gcomm

import (
	"slices"
	"time"
)

type life int

const (
	alive        life = iota
	disconnected      // mysqld runs, its group layer has ended
	dead
)

type evsState int

const (
	joining evsState = iota
	operational
	gather
	installing
	leaving
)

func (s evsState) String() string {
	return [...]string{"JOINING", Operational, Gather, Install, "LEAVING"}[s]
}

// timer names the timers of a process.
type timer int

const (
	checkTimer timer = iota
	retransTimer
	installTimer
	tendTimer
	timers
)

// longAgo is a time stamp that every timeout has passed.
const longAgo = -time.Hour

// proc is one process with its group layer.
type proc struct {
	c      *Cluster
	host   *host
	uuid   string
	timers Timers
	life   life
	hung   bool
	inbox  []*message
	late   []func() // what was due while it was hung
	armed  [timers]int
	due    [timers]time.Duration
	fifo   int
	bans   []ban
	retry  []time.Duration // per host: not before then

	// EVS.
	state         evsState
	view          *view
	previous      []viewID
	gathered      []viewID // views that were heard of while gathering
	known         []*peer  // in the order of the UUIDs, self among them
	self          *peer
	install       *message
	attempt       int
	maxSeq        int
	timeouts      int
	evicted       []eviction
	lastCheck     time.Duration
	lastJoin      time.Duration
	isolatedUntil time.Duration
	traffic       traffic
	cursor        []int // per member of the view: how much of what it has sent is delivered
	delivering    bool
	lastKeepalive time.Duration
	reads         []*causal
	waiting       []func() // what is to be sent when a view is there again

	pc  component
	gcs group
}

// eviction is an entry of an evict list.
type eviction struct {
	p    *proc
	uuid string // where nobody is known by it
}

// peer is what a process knows of another one, and of itself.
type peer struct {
	p                    *proc
	operational          bool
	suspected, inactive  bool
	committed, installed bool
	heard                time.Duration
	fifo                 int
	join                 *message
	leave                *message
}

func (c *Cluster) newProc(h *host) *proc {
	p := &proc{
		c: c, host: h, uuid: c.nextUUID(h), timers: h.Timers, attempt: 1, lastKeepalive: c.now,
		lastJoin: longAgo, lastCheck: c.now, retry: make([]time.Duration, len(c.hosts)),
	}
	p.view = newView(viewID{by: p}, []*proc{p})
	p.traffic, p.cursor = newTraffic(1), make([]int, 1)
	p.self = p.know(p)
	p.pc.begin(p)
	if h.proc != nil {
		p.gcs.history = slices.Clone(h.proc.gcs.history) // it is on the disk
	}
	h.proc = p
	c.procs = append(c.procs, p)
	p.arm(tendTimer, c.between(0, tendEvery))
	return p
}

// know adds a process to the known ones.
func (p *proc) know(q *proc) *peer {
	k := &peer{p: q, operational: true, heard: p.c.now}
	at, _ := slices.BinarySearchFunc(p.known, q, func(a *peer, q *proc) int { return byUUID(a.p, q) })
	p.known = slices.Insert(p.known, at, k)
	return k
}

func (p *proc) peer(q *proc) *peer {
	for _, k := range p.known {
		if k.p == q {
			return k
		}
	}
	return nil
}

func (p *proc) listed(q *proc) bool {
	for _, e := range p.evicted {
		if e.p == q {
			return true
		}
	}
	return false
}

func (p *proc) list(q *proc) {
	if !p.listed(q) {
		p.evicted = append(p.evicted, eviction{p: q, uuid: q.uuid})
	}
}

// arm sets a timer anew.
func (p *proc) arm(t timer, d time.Duration) {
	p.armed[t]++
	n := p.armed[t]
	p.due[t] = p.c.now + d
	p.c.at(p.due[t], func() {
		if p.armed[t] != n || p.life != alive {
			return
		}
		if p.hung {
			p.late = append(p.late, func() { p.expire(t) })
			return
		}
		p.expire(t)
	})
}

// later calls fn when d has passed and the process runs.
func (p *proc) later(d time.Duration, fn func()) {
	p.c.After(d, func() {
		switch {
		case p.life != alive:
		case p.hung:
			p.late = append(p.late, fn)
		default:
			fn()
		}
	})
}

func (p *proc) expire(t timer) {
	switch t {
	case checkTimer:
		p.check()
		p.arm(checkTimer, p.timers.Check)
	case retransTimer:
		p.retransmit()
		p.arm(retransTimer, p.period())
	case installTimer:
		if p.state == gather || p.state == installing {
			p.giveUp()
			p.arm(installTimer, p.timers.Install)
		}
	case tendTimer:
		p.tend()
		p.arm(tendTimer, tendEvery)
	}
}

// period is that of the retransmission timer, which depends on the state.
func (p *proc) period() time.Duration {
	switch p.state {
	case gather, installing:
		return p.timers.JoinRetrans
	case joining:
		return 500 * time.Millisecond // PC::connect announces itself so often
	default:
		return p.timers.Retrans
	}
}

// expelled ends the group layer of a process that was told that it is evicted. Only a restart brings it back.
func (p *proc) expelled() {
	p.life = disconnected
	p.pc.prim = false
	p.drop()
	p.host.uuid = "" // gvwstate.dat is removed, so that the next process has a new UUID
}

// drop closes the connections and fails what waits.
func (p *proc) drop() {
	for _, h := range p.c.hosts {
		if h.proc != nil && h.proc != p {
			p.c.disconnect(p, h.proc)
		}
	}
	p.gcs.fail(p)
	for _, r := range p.reads {
		r.end(false)
	}
	p.reads, p.inbox, p.late = nil, nil, nil
	p.flush()
}

// flush lets everybody who waits for a view look again.
func (p *proc) flush() {
	w := p.waiting
	p.waiting = nil
	for _, fn := range w {
		fn()
	}
}
