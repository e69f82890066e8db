package steer

import (
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
)

// pace says when a native table may be corrected. A wrong entry is put right at
// once, again and again for two seconds: peers that were written at the same
// moment teach each other in any order. After that it is calm: an unsteered
// proxy keeps teaching its own node, and a duel with it would only cost. It is
// a value that the proxy loop advances.
type pace struct {
	urgent time.Duration // how long corrections are made at once
	calm   time.Duration // the pause between them afterwards

	version cluster.Version
	wrong   time.Time // since when entries are wrong; zero: they are right
	right   time.Time // since when they are right again
	last    time.Time // the last correction
}

// note takes one comparison. Entries that are right for less than the urgent
// time do not end a duel; a new decision does.
func (p *pace) note(now time.Time, version cluster.Version, right bool) {
	if version != p.version {
		p.version, p.wrong, p.right = version, time.Time{}, time.Time{}
	}
	if !right {
		p.right = time.Time{}
		if p.wrong.IsZero() {
			p.wrong = now
		}
		return
	}
	if p.right.IsZero() {
		p.right = now
	}
	if now.Sub(p.right) >= p.urgent {
		p.wrong = time.Time{}
	}
}

// due tells whether a correction may be made now.
func (p *pace) due(now time.Time) bool {
	return p.wrong.IsZero() || now.Sub(p.wrong) < p.urgent || now.Sub(p.last) >= p.calm
}
