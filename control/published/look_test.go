package published

import (
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/plan"
)

// A process that was stopped and goes on does not tell the others what was true
// before: its HAProxy may have moved by itself meanwhile.
func TestLookAsOf(t *testing.T) {
	start := time.Unix(1000, 0)
	l := &Look{At: start, Reachable: true, Beacon: true, Steering: true, Effective: "a", Fenced: "why", Move: &model.MoveView{}, Result: plan.Result{Converged: true}}
	if got := l.AsOf(start.Add(time.Second)); got != l {
		t.Errorf("got %+v", got)
	}
	if got := l.AsOf(start.Add(time.Minute)); got.Reachable || !got.Native || got.Beacon || got.Steering || got.Result.Converged || got.Fenced != "" || got.Move != nil || got.Problem == "" {
		t.Errorf("got %+v", got)
	}
	if !l.Reachable || l.Native {
		t.Error("a stored look was changed")
	}
	l = &Look{At: start, Native: true, Problem: "the socket hangs"}
	if got := l.AsOf(start.Add(time.Minute)); got.Problem != "the socket hangs" {
		t.Errorf("got %+v", got)
	}
}
