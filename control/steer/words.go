package steer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/haproxy-peers/haproxy-peers/control/plan"
	"github.com/haproxy-peers/haproxy-peers/runtimeapi"
)

// What is said here is for people: nodes by name, and no command lines, table keys or server
// numbers. The log has those.

// because says why HAProxy's admin socket did not do what it was asked for.
func because(err error) string {
	switch no, refused := errors.AsType[*runtimeapi.CommandError](err); {
	case refused && no.Denied():
		return "it lets nobody change anything: the stats socket needs level admin (" + no.Message + ")"
	case refused:
		return "HAProxy says: " + no.Message
	case errors.Is(err, runtimeapi.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, runtimeapi.ErrIncomplete):
		return "it breaks off its answers"
	case errors.Is(err, runtimeapi.ErrMalformed), errors.Is(err, runtimeapi.ErrTooLarge):
		return "what answers there is not understood"
	case errors.Is(err, fs.ErrPermission):
		return "this user may not open it: see mode, user and group of the stats socket line"
	case errors.Is(err, syscall.EAGAIN):
		return "it takes no more connections"
	case errors.Is(err, runtimeapi.ErrUnreachable):
		return "nobody listens there"
	}
	return err.Error()
}

// done says what a command has done; active is the node that it was for.
func done(a *plan.Action, steer *plan.Steer, active string) string {
	switch a.Op {
	case plan.OpDrain:
		return fmt.Sprintf("%s takes no new connections in backend %s", a.Server, a.Backend)
	case plan.OpReady:
		return fmt.Sprintf("%s takes new connections in backend %s again", a.Server, a.Backend)
	case plan.OpClose:
		if a.Sessions == 0 {
			return fmt.Sprintf("closed what was on its way to %s in backend %s", a.Server, a.Backend)
		}
		return fmt.Sprintf("closed %d sessions to %s in backend %s", a.Sessions, a.Server, a.Backend)
	}
	switch private := steer != nil && a.Table == steer.Table; {
	case private && a.Key == steer.FenceKey && a.Op == plan.OpClear:
		return "new connections are taken again"
	case private && a.Key == steer.FenceKey:
		return "new connections are refused"
	case private && a.Key == steer.KeepKey && a.Op == plan.OpClear:
		return "HAProxy's own check of " + active + " counts again"
	case private && a.Key == steer.KeepKey:
		return "connections stay on " + active
	case private:
		return "new connections go to " + active
	case steer != nil:
		return fmt.Sprintf("HAProxy's own stickiness of backend %s leads to %s too", a.Backend, active)
	}
	return fmt.Sprintf("new connections of backend %s go to %s", a.Backend, active)
}

// undone is done of a command that was not.
func undone(a *plan.Action, steer *plan.Steer, active string, err error) string {
	return fmt.Sprintf("HAProxy did not do as it was told (%s): %s", done(a, steer, active), because(err))
}

// unheld says why new connections do not wait as they should.
func unheld(err error) string {
	if text := because(err); text != err.Error() {
		return "new connections do not wait as they should: " + text
	}
	return err.Error()
}
