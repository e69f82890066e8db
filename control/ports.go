package control

import (
	"context"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/drain"
	"github.com/haproxy-peers/haproxy-peers/control/galera"
	"github.com/haproxy-peers/haproxy-peers/runtimeapi"
)

// Agreement is what the daemon needs of the cluster: *cluster.Cluster.
type Agreement interface {
	Agreement() cluster.Agreement
	Propose(ctx context.Context, cmd cluster.Command) (cluster.Record, error)
	Publish(view []byte)
	Views() []cluster.View
	Members() []cluster.Member
	Changed() <-chan struct{}
	Register() cluster.RegisterStatus
	InitForce(ctx context.Context) error
	Recover(ctx context.Context, voters []string) error
	Remove(ctx context.Context, name string) error
	SetInitialVoters(names []string)
	SetLowest(version uint8)
	Security() cluster.Security
}

// Inspector looks at the sessions of one database node: *sessions.Inspector. It
// needs more privileges than the probe.
type Inspector interface {
	drain.Inspector
	// Applied is the node's wsrep_last_committed.
	Applied(ctx context.Context) (int64, error)
	// Lacks is the GRANT that the probe's user lacks, "" for none.
	Lacks(ctx context.Context) (string, error)
	Close()
}

// HAProxy is what the proxy loop needs of the Runtime API: *runtimeapi.Client.
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

// Prober is what the vote loop needs of the Galera probe: *galera.Prober. A nil
// Prober means that no probe user is configured: HAProxy's own checks are the
// votes then.
type Prober interface {
	Status() []galera.NodeStatus
	Changed() <-chan struct{}
	SetNodes(nodes []galera.Target)
}
