package published

import (
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/plan"
)

// Look is what this member's HAProxy does, as one turn of the proxy loop found and left it.
type Look struct {
	// At is when the turn began.
	At time.Time
	// Reachable: the Runtime API answered. Problem is what is wrong, "" for nothing.
	Reachable bool
	Problem   string
	// Version, Pid and Uptime are the process's, Layout is its configuration's.
	Version string
	Pid     int
	Uptime  time.Duration
	Layout  string
	// Steered: HAProxy's beacon server is up, so that the private table is asked. Beacon is
	// what /beacon answers, Steering whether both steer it.
	Steered, Beacon, Steering bool
	// Want is what was wanted, with MayWrite and Why as haproxy.cfg allowed it; Result is
	// what was planned for that.
	Want   mandate.Want
	Result plan.Result
	// Nodes are the nodes of the sticky backends, by name.
	Nodes map[string]Node
	// Effective is the node to which every key leads, "" for none.
	Effective string
	// Native: HAProxy does by itself what it does. WentDown are the nodes that were seen
	// down since it was last steered.
	Native   bool
	WentDown []string
	// Fenced is why this proxy serves nobody, "" while it serves.
	Fenced string
	// CanHold and CanWait are model.ProxyView's.
	CanHold, CanWait bool
	// Lost is what is not known of an earlier daemon's changes, "" for nothing.
	Lost string
	// Move is how far this proxy is with a planned move, nil without one.
	Move *model.MoveView
}

// Node is a node as this HAProxy sees it, over all sticky backends.
type Node struct {
	State    model.ServerState
	Sessions int
	// Downs is how often a health check took the server down, Total how many sessions it
	// was given.
	Downs int
	Total int64
	// Refused: it is up, and the last check has failed. Used: there is a session, or there
	// was one lately.
	Refused, Used bool
}
