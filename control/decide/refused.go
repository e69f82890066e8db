package decide

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// Why is a serving active left because a check begins to refuse it?
//
// A node that comes back takes its state from a donor, and Percona's check and
// clustercheck call a donor down unless they are told otherwise. With the last of
// `fall` failed checks HAProxy marks the server down and cuts every session, although
// the node serves. The first failed one is the sign, and the time from there is
// enough for most transactions to end: so this is a departure, as before a node's
// end. One HAProxy is enough where a probe says itself that the node should not
// serve (a donor, in maintenance, read-only): check and probe agree on a fact. Where
// no probe finds anything, one HAProxy may be alone with its trouble: it takes most
// of them, and an active that they have accepted for Policy.MinStay, or a cluster
// under too much load, where checks fail everywhere, would be moved to and fro.

// classDonor is galera.ClassDonor.
const classDonor = "donor"

// blockedTimeout is how long the transactions of a donor whose commits hang may take
// to end: none ends before the transfer does, and until then its clients wait. A short
// transfer is over by then; it took the canary a second to find out.
const blockedTimeout = time.Second

// refusedHold is how long new connections wait at most while the old ones' transactions
// end, so that no two nodes are written to. What is open then goes on beside them.
const refusedHold = 2 * time.Second

// refusal is what HAProxies and voters say against an active that serves.
type refusal struct {
	// by are the members whose HAProxy's check has begun to refuse it, of proxies
	// that were heard.
	by      []string
	proxies int
	// avoid are the voters whose probe says that it should not serve, and why.
	avoid []string
	why   string
	// blocked are the voters that see a donor's own commits hang.
	blocked []string
	// donor: it is one, for somebody.
	donor bool
}

func refusals(in *Input, node string) *refusal {
	r := &refusal{}
	for _, v := range in.Voices {
		if !v.answers() {
			continue
		}
		r.proxies++
		if v.View.Node(node).Refused {
			r.by = append(r.by, v.Member)
		}
	}
	for v, n := range in.words(node) {
		if n.Verdict != model.Healthy || !n.Avoid || n.Class == "" {
			continue
		}
		r.avoid, r.why = append(r.avoid, v), n.Reason
		if n.Class == classDonor {
			r.donor = true
			if stuck(n) {
				r.blocked = append(r.blocked, v)
			}
		}
	}
	slices.Sort(r.by)
	return r
}

// Untroubled tells whether a majority finds that the active serves and nobody says
// anything against it: no donor, no check that begins to refuse it.
func Untroubled(in *Input) bool {
	if in.Record == nil || Count(in, in.Record.Active).Healthy < in.Majority() {
		return false
	}
	r := refusals(in, in.Record.Active)
	return len(r.by) == 0 && len(r.avoid) == 0
}

// because says why the active is to be left, "" if it is not.
func (r *refusal) because(in *Input) string {
	node := in.Record.Active
	checks := fmt.Sprintf("the check of %s begins to refuse it", strings.Join(r.by, ", "))
	majority := in.Majority()
	switch {
	case in.Untroubled <= 0:
		// It was so when it was made the active, or since nobody knows when: whoever
		// chose it knew, and a donor that was left once is not left again.
		return ""
	case len(r.blocked) >= majority:
		return fmt.Sprintf("%s is a donor and its commits hang, say %s", node, strings.Join(r.blocked, ", "))
	case Count(in, node).Healthy < majority:
		return ""
	case len(r.by) > 0 && len(r.avoid) > 0:
		return fmt.Sprintf("%s serves, but %s (%s), and %s", node, r.why, strings.Join(r.avoid, ", "), checks)
	case 2*len(r.by) > r.proxies && in.Untroubled >= in.Policy.MinStay:
		return fmt.Sprintf("the probes find that %s serves, and %s", node, checks)
	}
	return ""
}

// refused leaves an active that HAProxies are about to mark down although it serves,
// and a donor whose transfer blocks its commits: by a planned move, before its
// sessions are cut. It is a departure (see depart): not delayed by MinStay, not
// counted, not a matter of Policy.Leave.
func refused(in *Input) (Outcome, bool) {
	node := in.Record.Active
	r := refusals(in, node)
	because := r.because(in)
	if because == "" {
		return Outcome{}, false
	}
	timeout := in.Policy.LeaveTimeout
	if len(r.blocked) >= in.Majority() {
		timeout = min(timeout, blockedTimeout)
	}
	if to := in.best(func(node string) bool { return welcome(in, node) }); to != "" {
		out := plannedMove(in, to, model.KindDeparture, because, timeout)
		if m := out.Propose.Move; m.Drain == model.DrainTransactions && !slices.ContainsFunc(in.Voices, cannotWait) {
			m.Hold, m.MaxHoldMS = true, min(refusedHold.Milliseconds(), m.TimeoutMS)
		}
		return out, true
	}
	if len(r.blocked) > 0 {
		return Outcome{}, false // a failover may find one
	}
	alert := because + "; no other node would do: if HAProxy marks it down its sessions are cut"
	if r.donor {
		alert += " (wsrep_sst_donor keeps the active from being the donor)"
	}
	return Outcome{Reason: alert, Alert: alert}, true
}

// cannotWait tells whether a member's HAProxy cannot let new connections wait, not even
// where nobody is ever brought back.
func cannotWait(v Voice) bool {
	p := v.View.Proxy
	return p != nil && !v.View.Observe && !p.CanHold && !p.CanWait
}

// DonorHint says how the active is kept from being a donor, "" where it is none.
func DonorHint(in *Input) string {
	if in.Record == nil || !refusals(in, in.Record.Active).donor {
		return ""
	}
	return fmt.Sprintf("%s is a donor: a node that comes back takes its state from it. A node whose wsrep_sst_donor names the others first, "+
		"as in wsrep_sst_donor=pxc-2,pxc-0, takes it from one that takes no writes (docs/moves.md)", in.Record.Active)
}

// welcome tells whether every HAProxy that was heard calls a node up and its check
// does not begin to refuse it.
func welcome(in *Input, node string) bool {
	return !slices.ContainsFunc(in.Voices, func(v Voice) bool {
		n := v.View.Node(node)
		return v.answers() && (n.Refused || n.Server != model.ServerUp)
	})
}
