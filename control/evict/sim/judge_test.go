package sim

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/evict/gcomm"
	"github.com/haproxy-peers/haproxy-peers/control/galera/group"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

const (
	// justBack is for how long a process may have been well again when it is evicted: the statement was on its way, or the
	// views that say otherwise were.
	justBack = 150 * ms
	// within is how close two faults are "at once" (docs/eviction.md), and acquitted is after how long behind a firewall a
	// process is no longer taken for one that has ended, whatever happens then: the deadline, acquitAfter, and one read.
	within    = time.Second
	acquitted = 2500 * ms
	// late is how long after its decision a statement should at most take effect, with all that may be slow.
	late = 1600 * ms
	// recently is how old what a voter says may be when it is counted, on its way to the record.
	recently = 2500 * ms
	// endedWithin is how soon the survivors of a plain crash have to be in the next view.
	endedWithin = time.Second
)

// judge knows what really happened.
type judge struct {
	bad, badFrom [][]time.Duration   // per pair of nodes: when one did last not hear the other, and since when that was so
	said         [][]sighted         // per daemon and node: when it last said that its process had ended
	at           map[time.Time]truth // what the victim of the order of that time was when it was decided
	why          string
	doing        map[time.Time][]string // the daemons that carried that order out
	// cut are the single links that are cut now, from and link when the first one was and when one was last: others relay then, and
	// messages that change their way may be lost.
	cut        int
	from, link time.Duration
	wrongs     []string
	sums       sums
}

type sighted struct {
	uuid string
	at   time.Duration
}

// sums count what is seen, by its name.
type sums map[string]int

func (s sums) String() string {
	text := ""
	for _, name := range slices.Sorted(maps.Keys(s)) {
		text += fmt.Sprintf("\n%8d  %s", s[name], name)
	}
	return text
}

// The findings: what the product does that it should not, so rare that it is counted.
const (
	overlap     = "FINDING a statement on a session that has one under way"
	cameBack    = "FINDING evicted alive: it came back between the decision and the statement"
	lateTold    = "FINDING evicted alive: told later than 1.6 s after the decision"
	periodLeft  = "FINDING a period that was left short, by statements that crossed or an order that had it wrong"
	periodRead  = "FINDING an order that has a period that an eviction had set"
	newView     = "FINDING evicted alive: behind a firewall, while another's new view is made"
	inTwoFaults = "evicted alive, in two faults at once"
	justNow     = "evicted alive, just back"
)

func newJudge(nodes, voters int) judge {
	j := judge{link: -time.Hour, at: map[time.Time]truth{}, doing: map[time.Time][]string{}, sums: sums{"histories": 1}}
	for range nodes {
		j.bad = append(j.bad, slices.Repeat([]time.Duration{-time.Hour}, nodes))
		j.badFrom = append(j.badFrom, make([]time.Duration, nodes))
	}
	for range voters {
		j.said = append(j.said, make([]sighted, nodes))
	}
	return j
}

func (w *world) wrong(format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	w.judge.wrongs = append(w.judge.wrongs, what)
	w.note("WRONG: %s", what)
}

func (w *world) finding(name, format string, args ...any) {
	w.judge.sums[name]++
	w.note("%s: %s", name, fmt.Sprintf(format, args...))
}

// watch looks now and then who hears whom, and that there is one primary component.
func (w *world) watch() {
	j, now := &w.judge, w.c.Now()
	for a := range w.nodes {
		for b := range a {
			if w.c.Reaches(a, b) && w.c.Reaches(b, a) {
				continue
			}
			if now-j.bad[a][b] > 100*ms {
				j.badFrom[a][b] = now
			}
			j.bad[a][b], j.bad[b][a], j.badFrom[b][a] = now, now, j.badFrom[a][b]
		}
	}
	if j.cut > 0 {
		j.link = now
	}
	if all := w.c.Primaries(); len(all) > 1 && len(j.wrongs) == 0 {
		w.wrong("primary components %v", all)
	}
}

// saw notes whose end a daemon's own view shows.
func (j *judge) saw(d *daemon) {
	for i := range d.own.Nodes {
		if g := d.own.Nodes[i].Group; g != nil && g.End != "" {
			j.said[d.n][i] = sighted{g.UUID, d.w.c.Now()}
		}
	}
}

// truth is what an order's victim really was.
type truth int

const (
	gone      truth = iota // dead, hung, leaving, or not heard by all survivors
	back                   // well again, since a moment ago
	twoFaults              // alive, behind a firewall, and the group waits for another reason that came at the same time
	inNewView              // alive, behind a firewall, while a new view is made for another reason
	alive
)

// decided notes what a victim really is when it is decided.
func (j *judge) decided(d *daemon, o *model.Eviction) {
	d.w.note("%s decides: %s (%s, conf_id %d): %s", d.name, o.Node, o.UUID, o.ConfID, o.Reason)
	if !o.Found {
		j.at[o.At], j.why = d.w.truth(o)
	}
}

// truth looks at a victim now, and says why it is alive.
func (w *world) truth(o *model.Eviction) (truth, string) {
	j, v, now := &w.judge, w.node(o.Node).n, w.c.Now()
	if is := w.c.Observe(v); is.UUID != o.UUID || is.EVS == "LEAVING" {
		return gone, ""
	}
	last, lastOthers, from := -time.Hour, -time.Hour, -time.Hour
	var all []int
	making := false
	for _, s := range o.Survivors {
		n := w.node(s.Node).n
		if !w.c.Reaches(v, n) || !w.c.Reaches(n, v) {
			return gone, ""
		}
		last = max(last, j.bad[v][n])
		making = making || !w.c.Open(n)
		all = append(all, n)
	}
	for i, a := range append(all, v) {
		for _, b := range all[:min(i, len(all))] {
			if j.bad[a][b] > lastOthers {
				lastOthers, from = j.bad[a][b], j.badFrom[a][b]
			}
		}
	}
	if j.link > lastOthers {
		lastOthers, from = j.link, j.from
	}
	behind := w.behindFor(v)
	switch {
	case now-last < justBack:
		return back, ""
	case behind > 0 && now-lastOthers < within && from-(now-behind) < acquitted:
		return twoFaults, ""
	case behind > 0 && making: // OPERATIONAL already, while the members of a new view exchange their states, up to a second
		return inNewView, ""
	case behind > 0 && w.spikes: // a single message that takes more than a read has to hang is a second fault, too
		return twoFaults, ""
	}
	return alive, fmt.Sprintf("all have heard it since %v, the group had a reason to wait at %v (since %v), and it is behind a firewall for %v", last, lastOthers, from, behind)
}

// committed looks at each new record.
func (j *judge) committed(w *world, before, rec *model.Record) {
	e := rec.Evict
	switch {
	case e == nil && before.Evict != nil:
		w.note("committed: nothing is owed any more")
		return
	case e == nil || e.Same(before.Evict):
		return
	}
	w.note("committed: %s (%s), found %v", e.Node, e.UUID, e.Found)
	if e.Found {
		j.sums["found entries"]++
		return
	}
	j.sums["evictions"]++
	if slices.ContainsFunc(e.Survivors, func(s model.Survivor) bool { return s.Retrans != w.node(s.Node).period }) {
		w.finding(periodRead, "%v", e.Survivors)
	}
	said := 0
	for d := range j.said {
		if s := j.said[d][w.node(e.Node).n]; s.uuid == e.UUID && w.c.Now()-s.at < recently {
			said++
		}
	}
	if said < decide.Majority(len(w.daemons)) {
		w.wrong("%s is evicted by %d of %d voters", e.Node, said, len(w.daemons))
	}
}

// evicts looks at the victim at the moment at which a statement takes effect.
func (j *judge) evicts(w *world, x *execution, at int) {
	w.note("%s is evicted at %s by %s", x.order.Node, w.nodes[at].name, x.d.name)
	is, _ := w.truth(x.order)
	if is == gone {
		return
	}
	switch was := j.at[x.order.At]; {
	case was == alive:
		w.wrong("%s lives and is evicted: when it was decided %s", x.order.Node, j.why)
	case w.now().Sub(x.order.At) > late:
		w.finding(lateTold, "%s", x.order.Node)
	case is == back:
		w.finding(justNow, "%s", x.order.Node)
	case was == inNewView:
		w.finding(newView, "%s", x.order.Node)
	case was == twoFaults:
		w.finding(inTwoFaults, "%s", x.order.Node)
	default:
		w.finding(cameBack, "%s", x.order.Node)
	}
}

// behindFor is for how long a node is behind a firewall for every daemon that the others hear, 0 if it is not.
func (w *world) behindFor(n int) time.Duration {
	least := w.c.Now()
	for _, d := range w.daemons {
		switch p := d.probes[n]; {
		case !d.works() || !w.hasMajority(d):
		case p.shut():
			least = min(least, w.c.Now()-p.shutSince)
		case w.c.Now()-p.shutSince > 500*ms:
			return 0
		}
	}
	return least
}

// owes says what is not as it was before the history, "" for nothing.
func (w *world) owes() string {
	if e := w.reg.rec.Evict; e != nil {
		return "the debt for " + e.Node + " stands"
	}
	if l := w.c.Lists(); len(l) > 0 {
		return fmt.Sprintf("the lists of nodes %v are not empty: %v", l, w.c.Observe(l[0]).Evicted)
	}
	for _, n := range w.nodes {
		if is := w.c.Timers(n.n).JoinRetrans; is != group.Period(n.period) {
			return fmt.Sprintf("evs.join_retrans_period of %s is %v, and was %s", n.name, is, n.period)
		}
	}
	return ""
}

// whole tells whether all nodes are synced members of one primary component.
func (w *world) whole() bool {
	all := w.c.Primaries()
	if len(all) != 1 || len(all[0].Members) != len(w.nodes) {
		return false
	}
	for n := range w.nodes {
		if o := w.c.Observe(n); o.LocalState != gcomm.StateSynced || o.Answer != gcomm.Speaks || o.EVS != gcomm.Operational {
			return false
		}
	}
	return true
}

// crossed tells whether two daemons have carried out one order, one has told a survivor two things at once, or an order had a wrong period.
func (w *world) crossed() bool {
	for _, names := range w.judge.doing {
		if len(names) > 1 {
			return true
		}
	}
	return w.judge.sums[overlap] > 0 || w.judge.sums[periodRead] > 0
}

// Plain crashes, by how many nodes there are.
var (
	crashes = [...]string{"plain crashes of three nodes", "plain crashes of more nodes"}
	ended   = [...]string{"plain crashes of three nodes, over within 1 s", "plain crashes of more nodes, over within 1 s"}
)

func (j *judge) crashed(nodes int, took time.Duration) {
	size := min(nodes-3, 1)
	j.sums[crashes[size]]++
	if took <= endedWithin {
		j.sums[ended[size]]++
	}
}
