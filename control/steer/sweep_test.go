package steer

import (
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/plan"
)

func TestSweep(t *testing.T) {
	backends := []plan.Backend{
		{Name: "nodes", Servers: []plan.Server{{Name: "a", ID: 1}, {Name: "b", ID: 2}}},
		{Name: "admin", Servers: []plan.Server{{Name: "a", ID: 1}, {Name: "b", ID: 2}}},
	}
	good := plan.Result{Converged: true, Usable: true}
	at := func(epoch, revision uint64) mandate.Want {
		return mandate.Want{Known: true, Active: "b", Left: "a", Version: cluster.Version{Epoch: epoch, Revision: revision}}
	}
	now := time.Unix(1000, 0)
	var s sweep
	look := func(what string, after time.Duration, want mandate.Want, r plan.Result, closes int) {
		t.Helper()
		now = now.Add(after)
		got := s.actions(now, want, backends, &r)
		if len(got) != closes {
			t.Errorf("%s: %+v, expected %d", what, got, closes)
		}
		for _, a := range got {
			if a.Op != plan.OpClose || a.Server != "a" {
				t.Errorf("%s: %+v", what, a)
			}
		}
	}
	look("a daemon that starts", 0, at(4, 4), good, 0)
	look("the same decision", time.Second, at(4, 5), good, 0)
	look("a new one, not converged yet", 0, at(5, 6), plan.Result{Usable: true}, 0)
	look("the active is not usable here", 0, at(5, 6), plan.Result{Converged: true}, 0)
	look("converged", time.Millisecond, at(5, 6), good, 2)
	look("too early for the next", 20*time.Millisecond, at(5, 6), good, 0)
	look("the plan closes one by itself", 80*time.Millisecond, at(5, 7), plan.Result{Converged: true, Usable: true,
		Actions: []plan.Action{{Op: plan.OpClose, Backend: "nodes", Server: "a", Sessions: 3}}}, 1)
	look("the last", 100*time.Millisecond, at(5, 7), good, 2)
	look("no more", time.Second, at(5, 7), good, 0)
}
