package vote

import (
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// untroubled counts for how long nobody has said anything against the present active
// (decide.Untroubled). Every member counts for itself, by its own clock, so that who
// leads next knows it as well. Loop.mu guards it.
type untroubled struct {
	epoch model.Epoch
	// since is when the time began that lasts, zero while somebody says something; for
	// is how long it, or the last one, has lasted.
	since time.Time
	lasts time.Duration
}

// lasted is what look said last of an epoch.
func (u *untroubled) lasted(epoch model.Epoch) time.Duration {
	if u.epoch != epoch {
		return 0
	}
	return u.lasts
}

// note takes what is so now, and returns how long nobody has said anything in this
// epoch, until now or until the words of now began; 0 for never.
func (u *untroubled) note(epoch model.Epoch, now bool, at time.Time) time.Duration {
	if u.epoch != epoch {
		u.epoch, u.since, u.lasts = epoch, time.Time{}, 0
	}
	switch {
	case !now:
		u.since = time.Time{}
	case u.since.IsZero():
		u.since, u.lasts = at, 1 // it counts from the first moment
	default:
		u.lasts = max(u.lasts, at.Sub(u.since))
	}
	return u.lasts
}

// forgetNewer takes out of a view what older daemons would not keep.
func forgetNewer(view *model.View, rec *model.Record) {
	for i := range view.Nodes {
		if n := &view.Nodes[i]; !rec.Speaks(3) {
			n.Group = nil
		}
		if n := &view.Nodes[i]; !rec.Speaks(2) {
			n.Refused = false
		}
	}
	if !rec.Speaks(3) {
		view.Arbitrators = nil
	}
	if view.Proxy != nil && !rec.Speaks(2) {
		view.Proxy.CanWait, view.Proxy.Moved, view.Proxy.Astray, view.Proxy.SilentMS = false, "", nil, 0
	}
}
