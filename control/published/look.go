package published

import (
	"net/netip"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/plan"
)

// LookWithin is how old a look may be to say something of the present.
const LookWithin = time.Second

// Look is what this member's HAProxy does, as one turn of the proxy loop found and left it.
type Look struct {
	// At is when the turn began.
	At time.Time
	// Reachable: the Runtime API answered. Problem is what is wrong, "" for nothing.
	Reachable bool
	Problem   string
	// Silent is since when HAProxy has not answered on its admin socket, zero while it does.
	Silent time.Time
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
	// Addresses are the servers' addresses as HAProxy has them now, by name resolved or
	// changed at run time, and which server is there. They are as of the last full look.
	Addresses map[netip.AddrPort]string
	// Effective is the node to which every key leads, "" for none.
	Effective string
	// Native: HAProxy does by itself what it does. LastSteered is when this daemon last
	// wrote what is agreed, or found it there, zero for never; WentDown are the nodes that
	// HAProxy has called down since.
	Native      bool
	LastSteered time.Time
	WentDown    []string
	// Fenced is why this proxy serves nobody, "" while it serves.
	Fenced string
	// CanHold and CanWait are model.ProxyView's.
	CanHold, CanWait bool
	// Moved says that a node has another address in HAProxy than in haproxy.cfg, "" where all
	// are the same.
	Moved string
	// Astray is model.ProxyView's.
	Astray []model.Astray
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

// AsOf is the look for the other members at now. One that is too old, because this
// process was stopped or a turn hangs, says nothing of the present: above all not that
// this HAProxy was steered all the time, on which a new leader would build.
func (l *Look) AsOf(now time.Time) *Look {
	if !l.Reachable || now.Sub(l.At) <= LookWithin {
		return l
	}
	old := *l
	old.Reachable, old.Native, old.Beacon, old.Steering, old.Result.Converged = false, true, false, false, false
	old.Fenced, old.Move, old.Astray = "", nil, nil
	old.Problem = "HAProxy was not looked at lately: this daemon did not run, or the socket hangs"
	return &old
}

// Moment is one of each, from which one question is answered.
type Moment struct {
	*Situation
	// Look is empty before the first, and on a witness.
	Look *Look
}
