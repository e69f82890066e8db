package steer

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/haproxy-peers/haproxy-peers/control/drain"
	"github.com/haproxy-peers/haproxy-peers/control/haproxycfg"
	"github.com/haproxy-peers/haproxy-peers/control/journal"
	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/runtimeapi"
)

const (
	// lookInterval is the time between looks at the HAProxy.
	lookInterval = 100 * time.Millisecond
	// fullEvery is the pause between full looks at a HAProxy that does what was
	// agreed; the looks between read its tables and server states only.
	fullEvery = 500 * time.Millisecond
	// closeInterval is the time between looks while something is being put right, and
	// for watchFor after HAProxy restarted.
	closeInterval = 20 * time.Millisecond
	// watchFor is how long a restarted or reloaded HAProxy is watched closely:
	// HAProxy's own peers resync takes up to 7 s.
	watchFor = 10 * time.Second
	// nativePace is the pause between corrections of the native tables while the
	// private table steers.
	nativePace = 500 * time.Millisecond
	// beaconAfter is how long everything must be right before the beacon comes on again.
	beaconAfter = 2 * time.Second
	// verifyRuns is how many looks in a row with nothing to do end a verification: a
	// connection that matched before a write stores its server after it, within
	// milliseconds.
	verifyRuns = 4
)

// HAProxy is what is needed of the Runtime API: *runtimeapi.Client.
type HAProxy interface {
	drain.HAProxy
	Snapshot(ctx context.Context, q runtimeapi.SnapshotQuery) (runtimeapi.Snapshot, error)
	Tables(ctx context.Context) ([]runtimeapi.TableHeader, error)
	SetTable(ctx context.Context, table, key string, serverID int) error
	ClearTable(ctx context.Context, table, key string) error
	ClearSetTable(ctx context.Context, table, key string, serverID int) error
	ShutdownSessionsServer(ctx context.Context, backend, server string) error
	SetServerState(ctx context.Context, backend, server string, mode runtimeapi.ServerMode) error
	HandOverQueue(ctx context.Context, backend, server string) error
	SetServerWeight(ctx context.Context, backend, server string, weight int) error
	SetServerMaxconn(ctx context.Context, backend, server string, maxconn int) error
}

// Config is what a Proxy is made of. Every field is needed.
type Config struct {
	// Observe: look, never write.
	Observe bool
	// OnBlind is what happens where the active cannot be reached: BlindFence, BlindFollow
	// or BlindServe.
	OnBlind string
	// Readers is what reader backends do with the active: ReadersAll or ReadersExcludeActive.
	Readers string
	// DataDir keeps what was changed in HAProxy, and what it last did.
	DataDir string

	// Files are haproxy.cfg's; the loop reads them again when they change.
	Files *haproxycfg.Files
	// Dial makes a client for an admin socket, Inspect the drainer's look at a node.
	Dial    func(socket string) (HAProxy, error)
	Inspect func(node string) (drain.Inspector, error)
	// Hear takes a step of the mandate, Wanted is what the last one wanted.
	Hear, Wanted func() mandate.Want
	// Notify says that the others should hear of the last look at once; Paused that this
	// process did not run for a while.
	Notify, Paused func()

	// Now is time.Now.
	Now     func() time.Time
	Events  *journal.Journal
	Log     *slog.Logger
	Metrics Metrics
}

// Metrics count what is done.
type Metrics struct {
	Turns, RuntimeErrors, Restarts prometheus.Counter
	// Actions are by operation.
	Actions *prometheus.CounterVec
	// Sessions are those that moves and failovers have left behind, by what became of them (Outcomes).
	Sessions *prometheus.CounterVec
	// LookSeconds is how long one look takes.
	LookSeconds prometheus.Histogram
}
