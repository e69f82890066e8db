// Package drain closes the sessions to a node that is being left, each as soon as it
// is between two transactions, and counts how far that has come.
//
// A [Drainer] joins HAProxy's sessions with the old node's process list; a [Progress]
// is what a proxy tells of its part of a move.
package drain

import (
	"context"

	"github.com/haproxy-peers/haproxy-peers/control/galera/sessions"
	"github.com/haproxy-peers/haproxy-peers/runtimeapi"
)

// HAProxy is what a drain needs of the Runtime API: *runtimeapi.Client.
type HAProxy interface {
	Sessions(ctx context.Context) ([]runtimeapi.Session, error)
	SessionDetail(ctx context.Context, id string) (runtimeapi.Session, error)
	SessionDetails(ctx context.Context, backend, server string) ([]runtimeapi.Session, error)
	ShutdownSession(ctx context.Context, id string) error
}

// Inspector looks at the sessions of one database node. It needs more privileges than
// the probe.
type Inspector interface {
	// Sessions lists the node's client sessions, Session looks at one of them.
	Sessions(ctx context.Context) ([]sessions.ClientSession, error)
	Session(ctx context.Context, id uint64) (sessions.ClientSession, error)
}
