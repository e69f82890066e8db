package vote

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/drain"
	"github.com/haproxy-peers/haproxy-peers/control/galera"
	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
	"github.com/haproxy-peers/haproxy-peers/control/haproxycfg"
	"github.com/haproxy-peers/haproxy-peers/control/journal"
	"github.com/haproxy-peers/haproxy-peers/control/kube"
	"github.com/haproxy-peers/haproxy-peers/control/published"
)

const (
	// voteInterval is the time between turns when nothing is heard; what is heard turns
	// the loop at once.
	voteInterval = 250 * time.Millisecond
	// publishEvery is the pause between views when nothing changes, and watchedEvery
	// while somebody watches a move's progress.
	publishEvery = 500 * time.Millisecond
	watchedEvery = 100 * time.Millisecond
	// reviewWait is how long a new leader waits for the voters' views before it looks
	// at what HAProxies did meanwhile.
	reviewWait = time.Second
	// noMajorityAlert is how long without a majority until the alert.
	noMajorityAlert = 10 * time.Second
	// pausedAfter is how long without a turn says that this process did not run.
	pausedAfter = time.Second
)

// Cluster is what is needed of the cluster: *cluster.Cluster.
type Cluster interface {
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

// Prober is what is needed of the Galera probe: *galera.Prober. A nil Prober means
// that no probe user is configured: HAProxy's own checks are the votes then.
type Prober interface {
	Status() []galera.NodeStatus
	// Arbitrators are those that speak.
	Arbitrators() []string
	Changed() <-chan struct{}
	SetNodes(nodes []galera.Target)
	Open(ctx context.Context, node, setup string) (*conn.Session, error)
}

// Pods knows the database pods of the namespace, and which of them are being
// deleted (kube.Watcher). What it does not know changes nothing.
type Pods interface {
	Pods() []kube.Pod
	// Problem is why it does not know them, "" if it does.
	Problem() string
	// Changed is woken when one of the two may have changed.
	Changed() <-chan struct{}
}

// Config is what a Loop is made of. Look and Pods may be nil; everything else is needed.
type Config struct {
	// Name is this member's.
	Name string
	// Observe: this daemon never writes to its HAProxy. Canary: the probe commits on every
	// node.
	Observe, Canary bool
	// Policy is what may be chosen about decisions.
	Policy decide.Policy
	// Evict is what --evict says: evict.ModeGone, ModeSilent or ModeOff.
	Evict string
	// EvictLast is --evict-last.
	EvictLast bool

	// Files are haproxy.cfg's, which name the nodes.
	Files *haproxycfg.Files
	// Inspectors look at the nodes' sessions.
	Inspectors *drain.Inspectors
	// Pods are the database pods; nil outside Kubernetes.
	Pods Pods
	// Look is the last look at this member's HAProxy; nil for a witness.
	Look func() *published.Look
	// Wake has that HAProxy looked at now, because something else is wanted of it.
	Wake func()
	// UUID is told the record's Galera state UUID when it is another one.
	UUID func(string)

	// Now is time.Now.
	Now     func() time.Time
	Events  *journal.Journal
	Log     *slog.Logger
	Metrics Metrics
}

// Metrics count what is done.
type Metrics struct {
	// Turns of the loop; BadViews could not be understood; Cut is about nodes that ended
	// while sessions were in a transaction on them.
	Turns, BadViews, Cut prometheus.Counter
	// Evictions are by result: ordered, done, vain.
	Evictions *prometheus.CounterVec
	// Proposals are by kind and result.
	Proposals *prometheus.CounterVec
	// MoveSeconds is how long moves took, by how they ended (api.MoveDone and so on).
	MoveSeconds *prometheus.HistogramVec
	// Decisions are those that this member has seen come about, by kind.
	Decisions *prometheus.CounterVec
}
