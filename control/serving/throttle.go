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
	return &throttle{rate: r, next: h, all: bucket{level: r.All, at: time.Now()}, each: map[string]*bucket{}}
}

type throttle struct {
	rate Rate
	next http.Handler

	mu   sync.Mutex // guards what follows
	all  bucket
	each map[string]*bucket
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
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	if !t.enter(host) {
		w.Header().Set("Retry-After", "1")
		http.Error(w, "asked too often", http.StatusServiceUnavailable)
		return
	}
	defer t.leave()
	t.next.ServeHTTP(w, r)
}

func (t *throttle) enter(host string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	t.all.fill(now, t.rate.All)
	own := t.source(host, now)
	if own == nil || t.busy >= mostBusy || t.all.level < 1 || own.level < 1 {
		return false
	}
	t.all.level--
	own.level--
	t.busy++
	return true
}

func (t *throttle) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.busy--
}

// source returns the address's own bucket, nil where too many ask at a time.
func (t *throttle) source(host string, now time.Time) *bucket {
	if b := t.each[host]; b != nil {
		b.fill(now, t.rate.Each)
		return b
	}
	if len(t.each) >= maxSources {
		for other, o := range t.each {
			if o.fill(now, t.rate.Each); o.level >= t.rate.Each {
				delete(t.each, other) // it is as if it had never asked
			}
		}
		if len(t.each) >= maxSources {
			return nil
		}
	}
	b := &bucket{level: t.rate.Each, at: now}
	t.each[host] = b
	return b
}
