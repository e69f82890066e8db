package configs

import "slices"

// keeps finds the sticky backends whose connections a key of the private table keeps on the active node although its
// check calls it down:
//
//	force-persist if { srv_is_up(BEACON) } { KEY,in_table(PRIVATE) }
//
// Exactly that: without the first part it would outlive the daemon, without the second it would send clients to a dead
// node while nobody decides. The first such rule that is true decides, so that no other one may be before it.
func (b *builder) keeps() {
	st := b.t.Steering
	if st == nil {
		return
	}
	for i := range b.t.Sticky {
		s := &b.t.Sticky[i]
		be, ok := b.t.backend(s.Name)
		if !ok || !s.Steered {
			continue
		}
		at := slices.IndexFunc(be.section.dirs, func(d directive) bool { return d.has("force-persist") || d.has("ignore-persist") })
		if at < 0 || !be.section.dirs[at].has("force-persist") {
			continue
		}
		g, ok := b.t.guard(be.section, be.section.dirs[at])
		if !ok || !g.bare || g.backend != st.BeaconBackend || g.server != st.BeaconServer {
			continue
		}
		if g.key == st.ActiveKey || g.key == st.FenceKey || g.key == st.HoldKey || st.KeepKey != "" && st.KeepKey != g.key {
			continue
		}
		st.KeepKey, s.KeepKey = g.key, g.key
	}
}
