package sim

import (
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// register stands for cluster/register, which has a simulation of its own: one record that a majority of the voters holds, changed by
// a compare-and-set of the leader's, who may believe to lead when it does no longer.
type register struct {
	rec     *model.Record
	version int
	leader  int
	term    int
}

// found is the record of the beginning.
func (w *world) found(voters int) {
	w.reg = register{rec: &model.Record{Active: w.nodes[0].name, Lowest: model.Protocol}, version: 1, term: 1}
	for _, d := range w.daemons {
		d.rec, d.version = w.reg.rec, w.reg.version
	}
	w.reg.leader = w.rng.IntN(voters)
}

// linked tells whether two daemons that work hear each other.
func (w *world) linked(a, b *daemon) bool {
	return a == b || a.works() && b.works() && !w.apart[a.n][b.n] && !w.apart[b.n][a.n]
}

// hasMajority tells whether a daemon reaches more than half of the voters.
func (w *world) hasMajority(d *daemon) bool {
	n := 0
	for _, o := range w.daemons {
		if d.works() && w.linked(d, o) {
			n++
		}
	}
	return 2*n > len(w.daemons)
}

// heartbeat is a tenth of a second of the register: who is fresh, who leads, and who learns late of a record.
func (w *world) heartbeat() {
	lead := w.daemons[w.reg.leader]
	if !lead.works() || !w.hasMajority(lead) {
		if w.chance(0.2) { // its followers wait for 400 ms and more
			w.elect()
		}
		lead = w.daemons[w.reg.leader]
	}
	for _, d := range w.daemons {
		if w.hasMajority(d) && w.linked(d, lead) {
			d.freshAt = w.c.Now()
			w.follow(d)
		}
	}
}

// follow is what a daemon that hears the leader knows.
func (w *world) follow(d *daemon) {
	if d.n == w.reg.leader {
		d.term = w.reg.term
	} else {
		d.term = 0
	}
	if d.version < w.reg.version {
		d.version, d.rec = w.reg.version, w.reg.rec
		d.wake()
	}
}

// elect makes another daemon lead. The one before does not know at once.
func (w *world) elect() {
	var able []*daemon
	for _, d := range w.daemons {
		if d.n != w.reg.leader && w.hasMajority(d) {
			able = append(able, d)
		}
	}
	if len(able) == 0 {
		return
	}
	d := able[w.rng.IntN(len(able))]
	w.reg.leader = d.n
	w.reg.term++
	w.note("%s leads in term %d", d.name, w.reg.term)
	d.freshAt = w.c.Now()
	w.follow(d)
	d.wake()
}

// propose is a compare-and-set on the record that this daemon knows.
func (d *daemon) propose(rec *model.Record) {
	w, base, term := d.w, d.version, d.term
	d.proposing = true
	took := w.between(ms, 8*ms)
	if w.chance(0.05) {
		took = w.between(8*ms, 300*ms)
	}
	life := d.life
	w.c.After(took, func() {
		lead := w.daemons[w.reg.leader]
		// Another's proposal goes through the leader; one that was made as the leader is refused in another term.
		ok := base == w.reg.version && w.linked(d, lead) && w.hasMajority(lead) && (term == 0 || d == lead && term == w.reg.term)
		if ok {
			w.commit(rec)
		}
		w.c.After(w.between(ms/5, 2*ms), func() {
			d.run(life, func() {
				d.proposing = false
				d.wake()
			})
		})
	})
}

// commit makes a record the present one, and tells those that hear the leader.
func (w *world) commit(rec *model.Record) {
	before := w.reg.rec
	w.reg.rec = rec
	w.reg.version++
	w.judge.committed(w, before, rec)
	lead := w.daemons[w.reg.leader]
	w.follow(lead)
	for _, d := range w.daemons {
		if d != lead && w.linked(d, lead) {
			d.after(d.delay+w.between(ms/5, 3*ms), func() {
				if w.linked(d, w.daemons[w.reg.leader]) {
					w.follow(d)
				}
			})
		}
	}
}
