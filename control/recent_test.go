package control

import (
	"testing"
	"time"
)

// A process that was stopped and goes on does not tell the others what was true
// before: its HAProxy may have moved by itself meanwhile.
func TestRecent(t *testing.T) {
	start := time.Unix(1000, 0)
	now := start
	p := &proxy{now: func() time.Time { return now }}
	if p.recent() != nil {
		t.Error("a look before the first")
	}
	p.last = &look{at: start, reachable: true, beacon: true, steering: true, effective: "a"}
	now = start.Add(time.Second)
	if got := p.recent(); got != p.last {
		t.Errorf("got %+v", got)
	}
	now = start.Add(time.Minute)
	if got := p.recent(); got.reachable || !got.native || got.beacon || got.steering || got.problem == "" {
		t.Errorf("got %+v", got)
	}
	if !p.last.reachable || p.last.native {
		t.Error("a stored look was changed")
	}
	p.last = &look{at: start, native: true, problem: "the socket hangs"}
	if got := p.recent(); got.problem != "the socket hangs" {
		t.Errorf("got %+v", got)
	}
}
