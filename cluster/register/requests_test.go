package register

import (
	"errors"
	"slices"
	"testing"
	"time"
)

// A request is sent at once, again when it is not answered in time, and at once to
// another leader.
func TestWhenARequestIsSent(t *testing.T) {
	sent := localRequest{sentAt: time.Second, sentTo: 1}
	for what, c := range map[string]struct {
		l      localRequest
		now    time.Duration
		leader uint64
		moved  bool
		want   bool
	}{
		"never sent":                  {localRequest{}, time.Second, 1, false, true},
		"just sent":                   {sent, time.Second + retryAfter - 1, 1, false, false},
		"not answered in time":        {sent, time.Second + retryAfter, 1, false, true},
		"another leader":              {sent, time.Second + 1, 2, true, true},
		"the same leader again":       {sent, time.Second + 1, 1, true, false},
		"another one, by hearsay yet": {sent, time.Second + 1, 2, false, false},
	} {
		if got := c.l.due(c.now, c.leader, c.moved); got != c.want {
			t.Errorf("%s: %v", what, got)
		}
	}
}

// Every verdict of the leader has its answer to the user who asked.
func TestOutcomesOfRequests(t *testing.T) {
	l := localRequest{request: request{name: "px2", command: Command{Expect: Version{Revision: 3}}}, user: 7}
	rec := Record{Version: Version{Revision: 4}}
	for v, want := range map[verdict]error{verdictDone: nil, verdictAlive: ErrAlive, verdictLastVoter: ErrLastVoter} {
		r := l.outcome(reply{verdict: v, record: rec}, "px0")
		if r.ID != 7 || !errors.Is(r.Err, want) || (r.Err == nil) != (want == nil) || want == nil && r.Record.Version != rec.Version {
			t.Errorf("verdict %d: %+v, want %v", v, r, want)
		}
	}
	for v, open := range map[verdict]bool{verdictRefused: false, verdictOpen: true} {
		var refused *RefusedError
		r := l.outcome(reply{verdict: v, record: rec}, "px0")
		if !errors.As(r.Err, &refused) || refused.Open != open || refused.Expect.Revision != 3 || refused.Current.Version != rec.Version {
			t.Errorf("verdict %d: %+v", v, r)
		}
	}
}

// Who cancels asks no more, and who leaves is told when the empty disk is written, not
// before; the others' requests stay.
func TestUsersRequests(t *testing.T) {
	r := requests{local: map[uint64]*localRequest{}, nextID: 40}
	if l := r.add(1, request{op: opCommand}); l.id != 41 || r.local[41] != l {
		t.Errorf("%+v", l)
	}
	r.add(2, request{op: opLeave})
	r.add(3, request{op: opLeave})
	if r.cancel(1) || !r.cancel(3) || r.cancel(3) {
		t.Error("leaving was cancelled once")
	}
	r.add(4, request{op: opRemove})
	if r.leave(); !slices.Equal(r.leavers, []uint64{2}) || len(r.local) != 1 {
		t.Errorf("%v have left, %d requests are open", r.leavers, len(r.local))
	}
}

// Whoever asks for a command that is under way waits for its one outcome, once.
func TestWaiters(t *testing.T) {
	ws := waiters{}
	a, b := waiter{1, 1}, waiter{2, 5}
	if ws.join("x", a) {
		t.Error("a command that is not under way has waiters")
	}
	ws["x"] = []waiter{a}
	if !ws.join("x", a) || !ws.join("x", b) || !ws.join("x", b) {
		t.Error("a command that is under way has none")
	}
	if got := ws.take("x"); !slices.Equal(got, []waiter{a, b}) || len(ws) != 0 {
		t.Errorf("%v wait, %d are left", got, len(ws))
	}
}
