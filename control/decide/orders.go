package decide

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// Exclude is the record in which a node is excluded, or is not any more; nil where it
// is so already. The active cannot be excluded.
func Exclude(rec *model.Record, node string, excluded bool) (*model.Record, error) {
	switch {
	case rec.IsExcluded(node) == excluded:
		return nil, nil
	case excluded && rec.Active == node:
		return nil, fmt.Errorf("%s is the active: move the writers first (haproxyctl active set NODE)", node)
	}
	return rec.WithExcluded(node, excluded), nil
}

// Freeze is the record in which the automatic changes are stopped, or go on; nil where
// it is so already. Frozen already, it takes another reason instead of the one that
// stands there.
func Freeze(rec *model.Record, frozen bool, reason, by string) *model.Record {
	if rec.Frozen == frozen && (!frozen || reason == "" || reason == rec.FrozenWhy) {
		return nil
	}
	next := rec.Clone()
	next.Frozen, next.FrozenWhy = frozen, ""
	if frozen {
		next.FrozenWhy = cmp.Or(reason, by)
	} else {
		next.AutoMoves = nil // somebody has looked: count from here
	}
	return next
}

// NotFollowing names the expected proxies that could not follow a move to node
// at once: the voters and the live members that have a HAProxy, where its daemon
// does not steer or the HAProxy itself calls the node down.
func NotFollowing(in *Input, node string) []string {
	out := in.notHeard()
	for _, v := range in.Voices {
		p := v.View.Proxy
		switch {
		case p == nil:
		case v.View.Observe:
			out = append(out, v.Member+" only observes")
		case !p.Steering:
			out = append(out, v.Member+" does not steer ("+cmp.Or(p.Problem, "settling")+")")
		default:
			if state := v.View.Node(node).Server; shut(state) {
				out = append(out, fmt.Sprintf("the HAProxy of %s calls %s %s", v.Member, node, state))
			}
		}
	}
	slices.Sort(out)
	return out
}

// MayReview tells whether a leader that has waited for so long may look at what the
// HAProxies did meanwhile: when every voter has told what it sees and does, but not
// after long: a dead voter never will. Where a majority steered all the time there is
// nothing to wait for: nobody can have moved by itself.
func MayReview(in *Input, waited, wait time.Duration) bool {
	heard, steered, views := 0, 0, 0
	for _, voter := range in.Voters {
		view := in.Voice(voter)
		if view == nil {
			continue
		}
		p := view.Proxy
		if views++; p != nil && !p.Reachable {
			continue
		}
		heard++
		if p != nil && !p.Native {
			steered++
		}
	}
	if Unprobed(in) != "" && waited < 5*wait {
		return false
	}
	if heard == len(in.Voters) || steered >= in.Majority() {
		return true
	}
	// HAProxies that do not answer tell nothing, however long one waits.
	return heard >= in.Majority() && waited >= wait || views >= in.Majority() && waited >= 5*wait
}
