package plan

import (
	"cmp"
	"slices"
)

// Between the moment at which HAProxy's own check calls the active down and the
// next look, connections would fall through to another node: a second writer for
// as long. A key of the private table keeps them (configs.StickyBackend.KeepKey).
// It also leads to a server that is down or in maintenance, and a connection that
// waits in a queue under it is never handed over (configs, "Keeping"). So it is there
// only while the active is known to serve, is set last and taken away first.

// Kept tells whether the key that keeps connections is there.
func (l *Layout) Kept(o *Observed) bool {
	if l.Steer == nil || l.Steer.KeepKey == "" {
		return false
	}
	_, there := o.entry(l.Steer.Table, l.Steer.KeepKey)
	return there
}

// keepsAll tells whether every sticky backend obeys the key. Where one does not it
// is never set: some connections would stay and others fall through.
func (l *Layout) keepsAll() bool {
	lets := func(b Backend) bool { return !b.Keeps }
	return l.Steer != nil && l.Steer.KeepKey != "" && !slices.ContainsFunc(l.Backends, lets)
}

// LetGo returns what takes away the key that keeps connections, if it is there and
// may not be: from then on HAProxy's own checks rule.
func LetGo(in *Input) []Action {
	if in.Keep || !in.Layout.Kept(&in.Observed) {
		return nil
	}
	s := in.Layout.Steer
	return []Action{{Op: OpClear, Table: s.Table, Key: s.KeepKey, Private: true, Why: cmp.Or(in.LetGo, "nothing says that the active serves")}}
}

// keep returns what sets it, once everything else is as decided.
func (r *Result) keep(in *Input) []Action {
	id, ok := steerID(in)
	if !in.Keep || in.Fence != "" || !ok || !in.Steered || !in.Layout.keepsAll() || in.Layout.Kept(&in.Observed) ||
		!r.PrivateRight || !r.Converged {
		return nil
	}
	s := in.Layout.Steer
	// The number means nothing, as in a fence.
	why := in.Active + " serves, whatever its check may say before the next look"
	return []Action{{Op: OpSet, Table: s.Table, Key: s.KeepKey, ServerID: id, Private: true, Why: why}}
}
