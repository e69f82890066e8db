package serving

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// Rate is how often something is answered.
type Rate struct {
	// All is for everybody together, Each for one address, per second. As many may
	// come at once.
	All, Each float64
}

// maxSources is how many addresses are told apart.
const maxSources = 64

// Throttle answers with h at that rate, and beyond it with 503 and Retry-After at
// once. One address that asks too often takes nothing from the others where All is
// more than Each.
func Throttle(h http.Handler, r Rate) http.Handler {
	return ThrottleElse(h, r, func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "asked too often", http.StatusServiceUnavailable)
	})
}

// ThrottleElse is Throttle with an answer of one's own for what is too often.
func ThrottleElse(h http.Handler, r Rate, refuse http.HandlerFunc) http.Handler {
	return &throttle{gate: newGate(r), next: h, refuse: refuse}
}

type throttle struct {
	gate   gate
	next   http.Handler
	refuse http.HandlerFunc

	mu   sync.Mutex // guards busy
	busy int
}

// mostBusy is how many answers are made at a time: a slow reader holds one of them.
const mostBusy = 4

// bucket holds what may still be answered.
type bucket struct {
	level float64
	at    time.Time
}

// fill brings the level up to date.
func (b *bucket) fill(now time.Time, rate float64) {
	b.level = min(rate, b.level+rate*now.Sub(b.at).Seconds())
	b.at = now
}

// ServeHTTP answers or refuses.
func (t *throttle) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !t.enter(Host(r.RemoteAddr)) {
		w.Header().Set("Retry-After", "1")
		t.refuse(w, r)
		return
	}
	defer t.leave()
	t.next.ServeHTTP(w, r)
}

// Host is where a remote address is, without its port: one source.
func Host(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}

func (t *throttle) enter(host string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.busy >= mostBusy || !t.gate.pass(host, time.Now()) {
		return false
	}
	t.busy++
	return true
}

func (t *throttle) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.busy--
}

// gate lets so many through.
type gate struct {
	rate Rate

	mu   sync.Mutex // guards what follows
	all  bucket
	each map[string]*bucket
}

func newGate(r Rate) gate {
	return gate{rate: r, all: bucket{level: r.All, at: time.Now()}, each: map[string]*bucket{}}
}

// pass takes one from what is left, if there is one for this host.
func (g *gate) pass(host string, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all.fill(now, g.rate.All)
	own := g.source(host, now)
	if own == nil || g.all.level < 1 || own.level < 1 {
		return false
	}
	g.all.level--
	own.level--
	return true
}

// source returns the address's own bucket, nil where too many ask at a time.
func (g *gate) source(host string, now time.Time) *bucket {
	if b := g.each[host]; b != nil {
		b.fill(now, g.rate.Each)
		return b
	}
	if len(g.each) >= maxSources {
		for other, o := range g.each {
			if o.fill(now, g.rate.Each); o.level >= g.rate.Each {
				delete(g.each, other) // it is as if it had never asked
			}
		}
		if len(g.each) >= maxSources {
			return nil
		}
	}
	b := &bucket{level: g.rate.Each, at: now}
	g.each[host] = b
	return b
}
