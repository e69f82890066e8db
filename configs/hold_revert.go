package configs

import (
	"strconv"
	"strings"
)

// HoldReverts tells whether connections that are held here can be brought back to the old node on a HAProxy of that
// version (as `show info` gives it). `set server ... state maint` of the new node hands its queue to the servers that
// are left in load balancing, and which option that takes has changed: 2.6.12 needs `option redispatch`; 3.0.11,
// 3.2.26 and 3.4.7 need it to be off, and with it let the whole queue connect to the node in maint (run on each).
// Versions between have not been run: false.
func (s StickyBackend) HoldReverts(version string) bool {
	return s.HoldSocket != "" && s.HandsOver(version)
}

// HandsOver tells whether the queue of a server that is put into maintenance goes to the other servers here.
func (s StickyBackend) HandsOver(version string) bool {
	v, ok := parseVersion(version)
	switch {
	case !ok:
		return false
	case v >= version3:
		return !s.Redispatch
	}
	return v <= version26 && s.Redispatch
}

const (
	version26 = 2<<16 + 6
	version3  = 3 << 16
)

// holdRedispatch is what HoldReverts wants of a rendered file. Without a version it is an older one, which most
// distributions have.
func holdRedispatch(version string) bool {
	v, ok := parseVersion(version)
	return !ok || v < version3
}

// parseVersion gives major<<16 + minor of a version like 2.6.12-1+deb12u3 or 3.3-dev4.
func parseVersion(version string) (int, bool) {
	major, rest, ok := strings.Cut(version, ".")
	if !ok {
		return 0, false
	}
	if end := strings.IndexAny(rest, ".-+ "); end >= 0 {
		rest = rest[:end]
	}
	a, err1 := strconv.ParseUint(major, 10, 8)
	b, err2 := strconv.ParseUint(rest, 10, 16)
	return int(a)<<16 + int(b), err1 == nil && err2 == nil
}

// redispatch tells whether the last line about it, the section's own or inherited, turns it on.
func (b *builder) redispatch(s *section) bool {
	on := false
	for _, part := range b.withDefaults(s) {
		for _, d := range part.dirs {
			switch {
			case d.has("option", "redispatch"):
				on = true
			case d.has("no", "option", "redispatch"):
				on = false
			}
		}
	}
	return on
}
