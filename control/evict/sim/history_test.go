package sim

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/evict"
	"github.com/haproxy-peers/haproxy-peers/control/evict/gcomm"
)

const (
	// warm is the time before the first fault: the daemons meet the processes, and causal reads say something again.
	warm = 1200 * ms
	// quiet is how long after the last repair everything has to be as before.
	quiet = 90 * time.Second
)

// result is what a history came to.
type result struct {
	seed   uint64
	wrongs []string
	script []string
	sums   sums
}

// play plays one history. A seed alone decides what happens in it.
func play(seed uint64, m *mutant) result {
	rng := rand.New(rand.NewPCG(seed, 0x5851f42d4c957f2d))
	w := draw(seed, rng, m)
	plain := rng.IntN(8) == 0
	if plain {
		w.plainCrash()
	} else {
		w.faults()
	}
	w.repair()
	w.settle()
	w.silent = true
	w.c.Run(time.Second)
	for _, what := range w.c.Wrong() {
		w.wrong("%s", what)
	}
	if w.whole() && !w.c.Same() {
		w.wrong("the nodes differ at the end")
	}
	return result{seed, w.judge.wrongs, w.script, w.judge.sums}
}

// pick draws one, those that stand there more often more often.
func pick[T any](rng *rand.Rand, of ...T) T { return of[rng.IntN(len(of))] }

func draw(seed uint64, rng *rand.Rand, m *mutant) *world {
	d := drawn{nodes: pick(rng, 3, 3, 3, 4, 5), voters: pick(rng, 3, 3, 5), transfer: pick(rng, 100*ms, 300*ms, 4*time.Second)}
	if rng.IntN(4) == 0 {
		d.slow, d.late = pick(rng, 0.005, 0.02, 0.3), pick(rng, 20*ms, 50*ms, 80*ms)
	}
	uneven := rng.IntN(4) == 0
	for range d.nodes {
		weight := 1
		if uneven {
			weight = pick(rng, 1, 1, 2, 3)
		}
		d.weights = append(d.weights, weight)
		d.periods = append(d.periods, pick(rng, "PT1S", "PT1S", "PT0.5S", "PT0.3S"))
	}
	w := newWorld(seed, rng, &d, m)
	w.mode = pick(rng, evict.ModeGone, evict.ModeSilent, evict.ModeSilent)
	w.slowStatements, w.lostAnswers = pick(rng, 0.02, 0.02, 0.3), pick(rng, 0.01, 0.01, 0.2)
	far := time.Duration(0)
	if rng.IntN(8) == 0 {
		far = w.between(5*ms, 40*ms)
	}
	interval, slow := pick(rng, 20*ms, 50*ms, 50*ms, 100*ms, 100*ms, 100*ms, 100*ms, 100*ms), time.Duration(0)
	if rng.IntN(8) == 0 {
		slow = w.between(5*ms, 200*ms)
	}
	for i, d := range w.daemons {
		d.interval = interval
		if i == 0 {
			d.delay = slow
		}
		for _, p := range d.probes {
			p.delay = far + d.delay/8
		}
	}
	if rng.IntN(8) == 0 {
		w.daemons[len(w.daemons)-1].gone = true
		w.daemons[len(w.daemons)-1].crash()
	}
	w.note("seed %d, --evict %s, %d nodes of weights %v and periods %v, %d voters, probes every %v, transfers of %v, slow %v up to %v, far %v, px0 slow %v",
		seed, w.mode, d.nodes, d.weights, d.periods, d.voters, interval, d.transfer, d.slow, d.late, far, slow)
	for n := range w.nodes {
		if n == 0 || rng.IntN(2) == 0 {
			pause := pick(rng, 40*ms, 150*ms, 400*ms)
			reads := rng.IntN(8) == 0
			w.note("%s is written to every %v, causal reads %v", w.nodes[n].name, pause, reads)
			w.write(n, pause, reads)
		}
	}
	w.c.Run(w.between(warm, warm+600*ms))
	return w
}

// plainCrash is one node's process killed, and nothing else.
func (w *world) plainCrash() {
	v := w.rng.IntN(len(w.nodes))
	uuid := w.c.Observe(v).UUID
	total, rest, up := 0, 0, 0
	for _, n := range w.nodes {
		if total += n.weight; n.n != v {
			rest += n.weight
		}
	}
	for _, d := range w.daemons {
		if d.works() {
			up++
		}
	}
	w.note("plain: %s is killed", w.nodes[v].name)
	w.kill(v)
	began := w.c.Now()
	ended := func() bool {
		for n := range w.nodes {
			if o := w.c.Observe(n); n != v && (o.Status != gcomm.Primary || o.EVS != gcomm.Operational || w.c.Member(n, uuid)) {
				return false
			}
		}
		return true
	}
	for !ended() && w.c.Now() < began+15*time.Second {
		w.c.Run(5 * ms)
	}
	if took := w.c.Now() - began; 2*rest > total && 2*up > len(w.daemons) {
		w.judge.crashed(len(w.nodes), took)
		w.note("plain: ended after %v", took)
	}
	w.c.Run(w.between(0, 3*time.Second))
}

// spare is how many daemons more may be gone for good.
func (w *world) spare() int {
	n := (len(w.daemons) - 1) / 2
	for _, d := range w.daemons {
		if d.gone {
			n--
		}
	}
	return n
}

// repair undoes all that is not undone.
func (w *world) repair() {
	w.note("repair")
	w.hooks = hooks{}
	w.slowStatements, w.lostAnswers = 0, 0
	w.c.HealAll()
	w.join()
	for n := range w.nodes {
		w.c.Resume(n)
		w.c.Busy(n, false)
		w.c.Throttle(n, false)
	}
	for _, d := range w.daemons {
		d.resume()
		if !d.gone {
			d.start()
		}
	}
}

// settle waits until all is as it was before, and a while longer. An operator restarts what does not come back by itself.
func (w *world) settle() {
	until := w.c.Now() + quiet
	since := time.Duration(-1)
	for w.c.Now() < until && (since < 0 || w.c.Now()-since < 2500*ms) {
		w.c.Run(250 * ms)
		for n := range w.nodes {
			w.c.Resume(n) // by a fault whose time was not over
			w.operate(n)
		}
		if w.owes() != "" || !w.whole() {
			since = -1
		} else if since < 0 {
			since = w.c.Now()
		}
	}
	switch owes := w.owes(); {
	case len(w.c.Primaries()) == 0:
		w.judge.sums["ended without a primary component"]++
	case strings.HasPrefix(owes, "evs.") && w.crossed():
		w.finding(periodLeft, "%s", owes)
	case owes != "":
		w.wrong("%v after the repair %s", quiet, owes)
	case !w.whole():
		w.wrong("%v after the repair the nodes are not together again: %s", quiet, w.states())
	}
}

func (w *world) states() string {
	s := ""
	for _, n := range w.nodes {
		o := w.c.Observe(n.n)
		s += fmt.Sprintf("%s %s %s %d of %d (%s); ", n.name, o.Status, o.EVS, o.LocalState, o.Size, o.UUID)
	}
	return s
}

// operate starts what is dead, and restarts what has left its cluster.
func (w *world) operate(n int) {
	if w.c.Observe(n).Status == gcomm.Disconnected {
		w.note("the operator restarts %s", w.nodes[n].name)
		w.kill(n)
	}
	if w.c.Dead(n) {
		w.c.Start(n, 300*ms)
	}
}
