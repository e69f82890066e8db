package sim

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/evict"
)

// mutant is the product with one thing left out or wrong. The zero value is the product.
type mutant struct {
	name string
	// seed is of a history that it breaks.
	seed uint64

	waive string // a rule of the decision
	hangs func(*probe) bool
	next  func(x *execution, age time.Duration, seen []evict.Seen) evict.Action

	noAcquittal, busyBelieved, keepsEntries, onlyOwner, keepsPeriod bool
}

func (m *mutant) act(x *execution, age time.Duration, seen []evict.Seen) evict.Action {
	if m.next != nil {
		return m.next(x, age, seen)
	}
	return x.next(age, seen)
}

// decide decides without the rule that is left out. Those after "one view" rely on a survivor.
func (m *mutant) decide(in *evict.Input) (is evict.Verdict) {
	if in.Waive = m.waive; m.waive == "one view" {
		defer func() { _ = recover() }()
	}
	return evict.Decide(in)
}

// mutants are broken products. What the simulation cannot see is not among them:
//
//   - version, mode, rights and frozen: policy; here all daemons are new, and have the rights.
//   - quiet times: while an order stands the procedure refuses another, if a list is not empty; what is left is found.
//   - clearing before the view is made: it is done again, and what is left is found.
//   - one at a time: evicting one of two only wins nothing; Galera's timers end it as before.
//   - void, the procedure's conf_id, membership and OPERATIONAL: each covers the others, and what is left on a list is found.
//   - all others: of a member that is not known the entry is left, and found; who has the weight is another rule's.
//   - lists, and the procedure's: a second entry costs 5 s of the next view, and is found.
//   - the SQL port alone: whoever hears the group port objects ("nobody reaches it").
//   - one look instead of two: a look that is wrong has to be so on every survivor at once, for a majority.
//   - one period: what was read during an eviction is no node's own (evict.Periods); the rule is for members that were started anew.
//   - the second look at the lists: an entry that is taught anew is found later, and taken off.
//   - the wait for the others' period: it costs a second at the most.
var mutants = []mutant{
	// The decision without one of its rules.
	{name: "nobody reaches it", seed: 8216, waive: "nobody reaches it"},
	{name: "majority", seed: 219, waive: "majority"},
	{name: "one view", seed: 10214, waive: "one view"},
	{name: "weight", seed: 138, waive: "weight"},
	{name: "the group waits", seed: 9, waive: "the group waits"},

	// The evidence.
	{name: "a read hangs at once", seed: 159, hangs: func(p *probe) bool { return !p.Wait.Since.IsZero() && p.Wait.First.After(p.Wait.Since) }},
	{name: "a read that hangs is enough", seed: 1137, hangs: func(p *probe) bool {
		return !p.Wait.Since.IsZero() && p.d.w.now().Sub(p.Wait.Since) >= 50*ms
	}},
	{name: "a busy node is a witness", seed: 1441, busyBelieved: true},
	{name: "nobody is acquitted", seed: 633, noAcquittal: true},

	// The execution.
	{name: "never clears", seed: 2, next: func(x *execution, age time.Duration, seen []evict.Seen) evict.Action {
		a := x.next(age, seen)
		if len(a.Clear) > 0 {
			a.Clear, a.Paid = nil, true
		}
		return a
	}},
	{name: "waits for those that have ended", seed: 39, next: func(x *execution, age time.Duration, seen []evict.Seen) evict.Action {
		for i := range seen {
			seen[i].Ended = false
		}
		return x.next(age, seen)
	}},
	{name: "leaves the period short", seed: 8, keepsPeriod: true},
	{name: "only the owner carries out", seed: 269, onlyOwner: true},
	{name: "leaves entries that it finds", seed: 11, keepsEntries: true},
	{name: "clears only once", seed: 1511, next: func(x *execution, age time.Duration, seen []evict.Seen) evict.Action {
		a := x.next(age, seen)
		if x.cleared {
			a.Clear = nil
		}
		x.cleared = x.cleared || len(a.Clear) > 0
		return a
	}},
}

// broken tells whether something is wrong after a history, or a period is left that may be a finding's.
func broken(r *result) bool { return len(r.wrongs) > 0 || r.sums[periodLeft] > 0 }

// Each mutant breaks a history that the product does not. It is that of its seed in the table; MUTANTS=3000 looks for another among so many,
// which is wanted whenever the simulation changes.
func TestMutants(t *testing.T) {
	n := envInt("MUTANTS", 0)
	for i := range mutants {
		m := &mutants[i]
		t.Run(m.name, func(t *testing.T) {
			var bitten *result
			bite := func(r result) bool {
				if broken(&r) && (bitten == nil || r.seed < bitten.seed) {
					bitten = &r
				}
				return bitten != nil
			}
			if m.seed > 0 {
				many(m.seed, 1, m, bite)
			}
			if bitten == nil && n > 0 {
				many(1, n, m, bite)
			}
			if bitten == nil {
				t.Errorf("it breaks no history: look for one with MUTANTS=3000, or find out what covers it")
				return
			}
			if r := play(bitten.seed, &mutant{}); broken(&r) {
				t.Errorf("seed %d: the product breaks it, too: %s", r.seed, strings.Join(r.wrongs, "; "))
			}
			t.Logf("seed %d: %s", bitten.seed, strings.Join(bitten.wrongs, "; "))
			if os.Getenv("MUTANTS") != "" && testing.Verbose() {
				t.Log(strings.Join(bitten.script, "\n"))
			}
		})
	}
}
