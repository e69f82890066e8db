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
		key, ok := b.keepRule(be.section, be.section.dirs[at])
		if !ok || key == st.ActiveKey || key == st.FenceKey || key == st.HoldKey || st.KeepKey != "" && st.KeepKey != key {
			continue
		}
		st.KeepKey, s.KeepKey = key, key
	}
}

// keepRule reads the condition of a force-persist line.
func (b *builder) keepRule(s *section, d directive) (key string, ok bool) {
	c, unless, found := parseClause(s, d.words)
	if !found || unless || len(c) != 1 || len(c[0]) != 2 {
		return "", false
	}
	st := b.t.Steering
	var steers, tabled bool
	for _, x := range c[0] {
		if x.neg {
			return "", false
		}
		if k, table, is := x.inTable(); is && len(x.words) == 1 && table == st.Table {
			key, tabled = k, true
		} else if backend, server, is := x.srvUp(s); is && backend == st.BeaconBackend && server == st.BeaconServer {
			steers = true
		}
	}
	return key, steers && tabled
}
