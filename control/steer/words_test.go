package steer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"github.com/haproxy-peers/haproxy-peers/control/plan"
	"github.com/haproxy-peers/haproxy-peers/runtimeapi"
)

// Whatever HAProxy does to a command, what people read has no command in it.
func TestNoCommandLines(t *testing.T) {
	const command = "show info;show table haproxyd-steer"
	wrapped := func(err error) error { return fmt.Errorf("runtimeapi: %q on /run/a.sock: %w", command, err) }
	for _, c := range []struct {
		err  error
		want string
	}{
		{wrapped(fmt.Errorf("%w: connect: %w", runtimeapi.ErrTimeout, context.DeadlineExceeded)), "no answer in time"},
		{wrapped(runtimeapi.ErrIncomplete), "it breaks off its answers"},
		{wrapped(runtimeapi.ErrMalformed), "what answers there is not understood"},
		{wrapped(fmt.Errorf("%w: %w", runtimeapi.ErrUnreachable, syscall.ECONNREFUSED)), "nobody listens there"},
		{wrapped(fmt.Errorf("%w: %w", runtimeapi.ErrUnreachable, syscall.EAGAIN)), "it takes no more connections"},
		{wrapped(fmt.Errorf("%w: %w", runtimeapi.ErrUnreachable, fs.ErrPermission)), "this user may not open it: see mode, user and group of the stats socket line"},
		{&runtimeapi.CommandError{Command: command, Message: "No such server."}, "HAProxy says: No such server."},
		{&runtimeapi.CommandError{Command: command, Message: "Permission denied"}, "it lets nobody change anything: the stats socket needs level admin (Permission denied)"},
		{errors.New("another one"), "another one"},
	} {
		if got := because(c.err); got != c.want {
			t.Errorf("%v: got %q", c.err, got)
		}
		if got := unheld(c.err); strings.Contains(got, "show") || !strings.Contains(got, c.want) {
			t.Errorf("%v: got %q", c.err, got)
		}
	}
}

// What was done is told by the names of nodes.
func TestDone(t *testing.T) {
	steer := &plan.Steer{Table: "haproxyd-steer", ActiveKey: "1", FenceKey: "2", HoldKey: "3", KeepKey: "4"}
	for _, c := range []struct {
		a     plan.Action
		steer *plan.Steer
		want  string
	}{
		{plan.Action{Op: plan.OpSet, Table: "haproxyd-steer", Key: "1", ServerID: 2}, steer, "new connections go to db1"},
		{plan.Action{Op: plan.OpSet, Table: "haproxyd-steer", Key: "2", ServerID: 2}, steer, "new connections are refused"},
		{plan.Action{Op: plan.OpClear, Table: "haproxyd-steer", Key: "2"}, steer, "new connections are taken again"},
		{plan.Action{Op: plan.OpSet, Table: "haproxyd-steer", Key: "4", ServerID: 2}, steer, "connections stay on db1"},
		{plan.Action{Op: plan.OpClear, Table: "haproxyd-steer", Key: "4"}, steer, "HAProxy's own check of db1 counts again"},
		{plan.Action{Op: plan.OpClearSet, Table: "galera-nodes", Key: "1", ServerID: 2, Backend: "galera-nodes"}, steer, "HAProxy's own stickiness of backend galera-nodes leads to db1 too"},
		{plan.Action{Op: plan.OpClearSet, Table: "galera-nodes", Key: "1", ServerID: 2, Backend: "galera-nodes"}, nil, "new connections of backend galera-nodes go to db1"},
		{plan.Action{Op: plan.OpClose, Backend: "galera-nodes", Server: "db0", Sessions: 5}, steer, "closed 5 sessions to db0 in backend galera-nodes"},
		{plan.Action{Op: plan.OpClose, Backend: "galera-nodes", Server: "db0"}, steer, "closed what was on its way to db0 in backend galera-nodes"},
		{plan.Action{Op: plan.OpDrain, Backend: "readers", Server: "db1"}, nil, "db1 takes no new connections in backend readers"},
		{plan.Action{Op: plan.OpReady, Backend: "readers", Server: "db0"}, nil, "db0 takes new connections in backend readers again"},
	} {
		if got := done(&c.a, c.steer, "db1"); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	a := plan.Action{Op: plan.OpSet, Table: "haproxyd-steer", Key: "1", ServerID: 2}
	if got, want := undone(&a, steer, "db1", runtimeapi.ErrTimeout), "HAProxy did not do as it was told (new connections go to db1): no answer in time"; got != want {
		t.Errorf("got %q", got)
	}
}
