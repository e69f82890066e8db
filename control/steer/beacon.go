package steer

import "time"

// beacon is the state behind /beacon: off at once, on late. It is a value that
// the proxy loop advances; the HTTP handler asks it with the time of the request,
// so that a daemon that was stopped and continued answers 503 before its loop
// has turned even once.
type beacon struct {
	after  time.Duration // how long all must be right before it comes on
	within time.Duration // how old a verification may be

	on        bool
	goodSince time.Time // zero: not all right
	verified  time.Time // last look at which the private table was right
}

// note takes one look: may is whether this member may steer at all (a fresh
// majority, a known record, nothing to wait for), private and native whether
// the tables are right.
func (b *beacon) note(now time.Time, may, private, native bool) {
	// A pause of the process is a gap between looks: start over.
	if !b.verified.IsZero() && now.Sub(b.verified) >= b.within {
		b.on, b.goodSince = false, time.Time{}
	}
	if may && private {
		b.verified = now
	}
	if !may {
		b.on, b.goodSince = false, time.Time{}
		return
	}
	if !private || !native {
		b.goodSince = time.Time{}
		return
	}
	if b.goodSince.IsZero() {
		b.goodSince = now
	}
	if now.Sub(b.goodSince) >= b.after {
		b.on = true
	}
}

// answer is what /beacon says at now.
func (b *beacon) answer(now time.Time, may bool) bool {
	return b.on && may && now.Sub(b.verified) < b.within
}
