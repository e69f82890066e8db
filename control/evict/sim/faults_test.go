package sim

import (
	"fmt"
	"slices"
	"time"
)

// faultsFor is in what time faults begin.
const faultsFor = 8 * time.Second

// faults lets one thing after the other happen.
func (w *world) faults() {
	if w.rng.IntN(3) == 0 {
		w.hooks = hooks{resume: w.rng.IntN(2) == 0, crash: w.rng.IntN(3) == 0, leader: w.rng.IntN(3) == 0}
		w.note("right after a statement: %+v", w.hooks)
	}
	if w.rng.IntN(3) == 0 {
		w.scene()
	} else {
		at := slices.Repeat([]time.Duration{0}, 1+w.rng.IntN(4))
		spread := pick(w.rng, 100*ms, 600*ms, 2*time.Second, faultsFor, faultsFor)
		for i := range at {
			at[i] = w.c.Now() + w.between(0, spread)
		}
		slices.Sort(at)
		for _, t := range at {
			w.c.Run(t - w.c.Now())
			w.fault(pick(w.rng, faultNames...), w.rng.IntN(len(w.nodes)))
		}
	}
	w.c.Run(w.between(0, 7*time.Second))
}

// scene are faults that are near to what may go wrong, and that chance brings together seldom.
func (w *world) scene() {
	n := w.rng.IntN(len(w.nodes))
	o := (n + 1 + w.rng.IntN(len(w.nodes)-1)) % len(w.nodes)
	switch w.rng.IntN(5) {
	case 0: // a live node behind a firewall, and then another one that the group has to wait for, or seems to
		w.fault("firewall", n)
		w.c.Run(w.between(0, pick(w.rng, 200*ms, 5*time.Second)))
		w.fault(pick(w.rng, "kill", "hang", "cut", "link", "link", "busy", "busy", "busy", "throttle", "shutdown"), o)
	case 1: // a joiner while the lists are emptied
		w.fault("kill", n)
		w.c.Start(n, w.between(20*ms, 2*time.Second))
	case 2: // survivors that hang while they are told
		w.slowStatements, w.lostAnswers = 0.5, 0.3
		w.fault("kill", n)
		w.c.Run(w.between(0, 400*ms))
		w.fault(pick(w.rng, "hang", "hang", "link", "cut"), o)
	case 3: // one eviction soon after another
		w.fault("kill", n)
		w.c.Start(n, 50*ms)
		w.c.Run(w.between(500*ms, 4*time.Second))
		w.fault("kill", o)
	case 4: // all that is between two sides
		w.fault("cut", n)
		w.c.Run(w.between(0, 2*time.Second))
		w.fault(pick(w.rng, "cut", "daemons part", "leader", "weight", "firewall", "daemon ends"), o)
	}
}

var faultNames = []string{
	"kill", "kill", "kill", "kill", "slow end", "hang", "hang", "hang", "shutdown", "cut", "cut", "link", "partition", "daemons part",
	"firewall", "firewall", "firewall", "firewall", "busy", "busy", "throttle", "leader", "daemon ends", "daemon stops", "weight", "record",
}

// course is how a fault goes on: what it is about, and for how long where it ends by itself.
type course struct {
	says string
	t    time.Duration
	end  func()
}

// fault is one of the things that happen to clusters, to a node or elsewhere.
func (w *world) fault(what string, n int) {
	d := w.daemons[w.rng.IntN(len(w.daemons))]
	f := course{says: w.nodes[n].name, t: w.between(100*ms, 8*time.Second)}
	w.ofProcess(what, n, &f)
	w.ofNetwork(what, n, &f)
	w.ofDaemons(what, d, &f)
	if f.end == nil {
		w.note("%s %s", what, f.says)
		return
	}
	w.note("%s %s for %v", what, f.says, f.t)
	w.c.After(f.t, func() {
		w.note("over: %s %s", what, f.says)
		f.end()
	})
}

func (w *world) ofProcess(what string, n int, f *course) {
	switch what {
	case "kill":
		w.kill(n)
		if w.rng.IntN(2) == 0 {
			boot := pick(w.rng, w.between(30*ms, 300*ms), w.between(300*ms, 5*time.Second))
			f.says += fmt.Sprintf(", which starts again in %v", boot)
			w.c.Start(n, boot)
		}
	case "slow end": // its memory is freed before its sockets are closed
		w.c.Hang(n)
		f.t, f.end = w.between(0, 2*time.Second), func() { w.kill(n) }
	case "hang":
		w.c.Hang(n)
		f.t = pick(w.rng, w.between(20*ms, 400*ms), w.between(400*ms, 1500*ms), w.between(time.Second, 15*time.Second))
		f.end = func() { w.c.Resume(n) }
	case "shutdown":
		w.c.Shutdown(n)
		w.c.Start(n, w.between(500*ms, 4*time.Second))
	case "busy": // an applier, or DDL on all
		on := []int{n}
		if w.rng.IntN(2) == 0 {
			for i := range w.nodes {
				on = append(on, i)
			}
		}
		f.says = fmt.Sprint(on)
		busy := func(is bool) {
			for _, i := range on {
				w.c.Busy(i, is)
			}
		}
		busy(true)
		f.end = func() { busy(false) }
	case "throttle":
		w.c.Throttle(n, true)
		f.end = func() { w.c.Throttle(n, false) }
	case "weight":
		if weight := w.rng.IntN(4); w.c.SetWeight(n, weight) {
			f.says += fmt.Sprintf(": %d", weight)
			w.nodes[n].weight = weight
		}
	}
}

func (w *world) ofNetwork(what string, n int, f *course) {
	switch what {
	case "cut":
		whom := w.daemons[:w.rng.IntN(2)*len(w.daemons)]
		f.says += fmt.Sprintf(", from the others and from %d daemons", len(whom))
		w.c.Isolate(n, true)
		w.wall(n, whom, swallow, true, true)
		f.t = pick(w.rng, w.between(100*ms, time.Second), w.between(time.Second, 12*time.Second))
		f.end = func() {
			w.c.Isolate(n, false)
			w.wall(n, whom, open, true, true)
		}
	case "link":
		o := (n + 1 + w.rng.IntN(len(w.nodes)-1)) % len(w.nodes)
		back := w.rng.IntN(2) == 0
		f.says += fmt.Sprintf(" to %s, and back %v", w.nodes[o].name, back)
		if w.judge.cut++; w.judge.cut == 1 {
			w.judge.from = w.c.Now()
		}
		w.c.Link(n, o, false)
		if back {
			w.c.Link(o, n, false)
		}
		f.end = func() {
			w.judge.cut--
			w.c.Link(n, o, true)
			w.c.Link(o, n, true)
		}
	case "partition":
		var sides [2][]int
		for i := range w.nodes {
			s := w.rng.IntN(2)
			sides[s] = append(sides[s], i)
		}
		f.says = fmt.Sprint(sides)
		if len(sides[0]) == 0 || len(sides[1]) == 0 {
			return // the model would heal what is not cut, which delays messages
		}
		w.c.Partition(sides[:]...)
		if w.rng.IntN(2) == 0 {
			w.part(sides[1])
		}
		f.end = func() {
			w.c.HealAll()
			w.join()
		}
	case "firewall":
		whom := slices.Clone(w.daemons)
		if w.rng.IntN(2) == 0 {
			whom = whom[:1+w.rng.IntN(len(whom))]
		}
		is := pick(w.rng, refuse, refuse, swallow)
		ports := pick(w.rng, [2]bool{true, true}, [2]bool{true, true}, [2]bool{true, false}, [2]bool{false, true})
		f.says += fmt.Sprintf(" (%s, SQL %v, group %v) for %d daemons", is, ports[0], ports[1], len(whom))
		w.wall(n, whom, is, ports[0], ports[1])
		f.end = func() { w.wall(n, whom, open, ports[0], ports[1]) }
	}
}

func (w *world) ofDaemons(what string, d *daemon, f *course) {
	switch what {
	case "daemons part":
		w.part(nil)
		f.says, f.end = "", w.join
	case "leader":
		f.says = ""
		w.elect()
	case "daemon ends":
		d.crash()
		f.says, f.t, f.end = d.name, w.between(50*ms, 5*time.Second), d.start
	case "daemon stops":
		d.stop()
		f.says, f.t, f.end = d.name, w.between(50*ms, 2500*ms), d.resume
	case "record": // somebody else changes it
		f.says = ""
		w.commit(w.reg.rec.Clone())
	}
}

// wall shuts daemons out of a node, or lets them in again.
func (w *world) wall(n int, whom []*daemon, is way, sql, group bool) {
	for _, d := range whom {
		if sql {
			w.put(d.n, n, sqlPort, is)
		}
		if group {
			w.put(d.n, n, groupPort, is)
		}
	}
}

// part cuts the daemons in two, and the first of the sides off from some nodes.
func (w *world) part(nodes []int) {
	side := make([]int, len(w.daemons))
	for i, d := range w.daemons {
		side[i] = w.rng.IntN(2)
		for _, n := range nodes {
			if side[i] == 0 {
				w.wall(n, []*daemon{d}, swallow, true, true)
			}
		}
	}
	for a := range side {
		for b := range side {
			w.apart[a][b] = side[a] != side[b]
		}
	}
	w.note("sides of the daemons %v, of which 0 does not reach the nodes %v", side, nodes)
}

func (w *world) join() {
	for n := range w.nodes {
		w.wall(n, w.daemons, open, true, true)
	}
	for a := range w.apart {
		clear(w.apart[a])
	}
}

// aftermath is what happens right after a statement took effect.
func (w *world) aftermath(x *execution) {
	soon := func(on bool, what string, f func()) {
		if on {
			w.c.After(w.between(0, 60*ms), func() {
				w.note("right after the statement: %s", what)
				f()
			})
		}
	}
	soon(w.hooks.leader, "another leader", w.elect)
	soon(w.hooks.resume, x.order.Node+" goes on", func() { w.c.Resume(w.node(x.order.Node).n) })
	soon(w.hooks.crash, x.d.name+" ends", func() {
		x.d.crash()
		if x.d.gone = w.chance(0.5) && w.spare() > 0; !x.d.gone {
			w.c.After(w.between(50*ms, 4*time.Second), x.d.start)
		}
	})
}
