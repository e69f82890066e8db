package control

import (
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/published"
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
	p.last = &published.Look{At: start, Reachable: true, Beacon: true, Steering: true, Effective: "a"}
	now = start.Add(time.Second)
	if got := p.recent(); got != p.last {
		t.Errorf("got %+v", got)
	}
	now = start.Add(time.Minute)
	if got := p.recent(); got.Reachable || !got.Native || got.Beacon || got.Steering || got.Problem == "" {
		t.Errorf("got %+v", got)
	}
	if !p.last.Reachable || p.last.Native {
		t.Error("a stored look was changed")
	}
	p.last = &published.Look{At: start, Native: true, Problem: "the socket hangs"}
	if got := p.recent(); got.Problem != "the socket hangs" {
		t.Errorf("got %+v", got)
	}
}
