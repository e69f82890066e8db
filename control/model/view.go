package model

import (
	"fmt"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/keep"
)

// Verdict is what a member says of a node's health.
type Verdict string

// The verdicts of DESIGN section 5. The empty string decodes as Unknown.
const (
	Unknown Verdict = "unknown"
	Healthy Verdict = "healthy"
	Down    Verdict = "down"
)

// ServerState is what a HAProxy says of a server, in one word.
type ServerState string

// Server states.
const (
	ServerUnknown ServerState = "unknown"
	ServerUp      ServerState = "up"
	ServerDown    ServerState = "down"
	ServerMaint   ServerState = "maint"
	ServerDrain   ServerState = "drain"
)

// NodeView is one member's view of one node.
type NodeView struct {
	Name    string  `json:"n"`
	Verdict Verdict `json:"v"`
	// Eligible: the node may be chosen. Avoid: it may stay the active, but is
	// to be left by a planned move where policy says so (donor, maintenance).
	Eligible bool   `json:"e,omitempty"`
	Avoid    bool   `json:"a,omitempty"`
	Reason   string `json:"r,omitempty"`
	// Server is the state in this member's HAProxy.
	Server ServerState `json:"s,omitempty"`
	// Sessions counts the open sessions to the node in sticky backends.
	Sessions int `json:"c,omitempty"`
	// Used: there is such a session, or there was one within the last two seconds.
	Used bool `json:"b,omitempty"`
	// Refused: this HAProxy's check has begun to refuse the node, which is up there
	// until the last of `fall` failed checks; from version 2 on.
	Refused bool `json:"h,omitempty"`
	// UUID is the node's wsrep_cluster_state_uuid, if the probe could read it.
	UUID string `json:"u,omitempty"`
	// Class is the probe's reason in one stable word (galera.Class): policy
	// names the classes that are left by a planned move.
	Class string `json:"k,omitempty"`
	// Seqno is wsrep_last_committed: what the node has applied. 0: not read.
	Seqno int64 `json:"q,omitempty"`
	// Stuck says why the node's own commits hang although it answers, "" if they
	// do not. Alone: another node's proceed meanwhile, so it is the node, and only
	// then it is a vote.
	Stuck string `json:"x,omitempty"`
	Alone bool   `json:"y,omitempty"`
	// Paused: Galera's flow control holds the node back.
	Paused bool `json:"f,omitempty"`
	// Lacks is the privilege that the probe's user lacks there, as the GRANT
	// that would give it, for what needs more than a probe.
	Lacks string `json:"g,omitempty"`
	// Going: the node is about to end, nil if nobody has said so.
	Going *Going `json:"z,omitempty"`
	// Revision names the template that the node's pod was made from (a StatefulSet's
	// controller-revision-hash), "" where it is not known.
	Revision string `json:"w,omitempty"`
	// Group is what is known of the node's process in the group layer, nil without a probe; from version 3 on.
	Group *Group `json:"o,omitempty"`
	// Rest is what a newer version has added.
	Rest keep.Rest `json:"-"`
}

// LacksProbe is NodeView.Lacks of a member that does not probe.
const LacksProbe = "a probe user (--probe-user)"

// View is what a member tells the others: its word on every node, and what its
// own proxy does.
type View struct {
	// Epoch and Recovery are of the record that the member had when it looked.
	Recovery uint64     `json:"rec,omitempty"`
	Epoch    uint64     `json:"ep,omitempty"`
	Nodes    []NodeView `json:"nodes"`
	Proxy    *ProxyView `json:"proxy,omitempty"` // nil for a witness
	// Agreed: the member hears a majority.
	Agreed bool `json:"ag,omitempty"`
	// Observe: the member never writes.
	Observe bool `json:"ob,omitempty"`
	// ReviewedTerm is set by a leader that has looked, in this term, at what the
	// HAProxies did while nothing could be decided. Members that lost the
	// majority wait for it before they enforce the old decision again.
	ReviewedTerm uint64 `json:"rt,omitempty"`
	// Arbitrators are the group ports, as they were given, of those that speak; from version 3 on.
	Arbitrators []string `json:"ar,omitempty"`
	// Rest is what a newer version has added.
	Rest keep.Rest `json:"-"`
}

// ProxyView is what a member's HAProxy does.
type ProxyView struct {
	Reachable bool   `json:"ok,omitempty"`
	Version   string `json:"ver,omitempty"`
	Pid       int    `json:"pid,omitempty"`
	UptimeS   int64  `json:"up,omitempty"`
	Layout    string `json:"lay,omitempty"`
	Beacon    bool   `json:"be,omitempty"`
	Steering  bool   `json:"st,omitempty"`
	Effective string `json:"eff,omitempty"`
	Converged bool   `json:"con,omitempty"`
	Elsewhere int    `json:"els,omitempty"`
	Problem   string `json:"pb,omitempty"`
	// SilentMS is for how long HAProxy has not answered on its admin socket, 0 while it does;
	// from version 2 on.
	SilentMS int64 `json:"si,omitempty"`
	// Native: this member does not steer now (it was cut off, or has just
	// started): what its HAProxy does, HAProxy does by itself.
	Native bool `json:"nat,omitempty"`
	// WentDown lists nodes that this HAProxy or this member's probe saw down
	// since the member last steered.
	WentDown []string `json:"wd,omitempty"`
	// Fenced says why this proxy serves nobody, "" while it serves.
	Fenced string `json:"fen,omitempty"`
	// LocalOnly is the node that an operator forced on this proxy alone, without
	// a majority.
	LocalOnly string `json:"lo,omitempty"`
	// CanHold: new connections can be made to wait here (the layout has what it needs).
	CanHold bool `json:"ch,omitempty"`
	// CanWait: they can be made to wait for a new node here, but not be brought back
	// to the old one: enough for a move that is never rolled back.
	CanWait bool `json:"cw,omitempty"`
	// Moved says that a node has another address in this HAProxy than in its haproxy.cfg, which
	// is where the probe looks; from version 2 on.
	Moved string `json:"ma,omitempty"`
	// Astray are the connections that went to another node than every key leads to;
	// from version 2 on.
	Astray []Astray `json:"as,omitempty"`
	// Move is how far this proxy is with a planned move.
	Move *MoveView `json:"mv,omitempty"`
	// Rest is what a newer version has added.
	Rest keep.Rest `json:"-"`
}

// Astray are the connections that a HAProxy has sent to a server that is not the active's,
// while every key of its tables led to the active.
type Astray struct {
	Backend string `json:"b"`
	Server  string `json:"s"`
	// Connections counts them, each try of HAProxy's to connect for one, since Since, which
	// is by the clock of the member.
	Connections int64     `json:"n"`
	Since       time.Time `json:"t"`
	// Line is the line of haproxy.cfg that may have sent them there, "" where none is known.
	Line string `json:"l,omitempty"`
	// Rest is what a newer version has added.
	Rest keep.Rest `json:"-"`
}

// Words says it in a sentence without an end: what went where, and since when.
func (a *Astray) Words(active string) string {
	n := fmt.Sprintf("%d connections", a.Connections)
	if a.Connections == 1 {
		n = "1 connection"
	}
	s := fmt.Sprintf("%s went to %s of backend %s since %s although its tables lead to %s", n, a.Server, a.Backend, a.Since.Format(time.RFC3339), active)
	if a.Line != "" {
		s += ", by " + a.Line
	}
	return s
}

// Layouts of a proxy's configuration.
const (
	LayoutSteer   = "steer"    // private table and beacon (DESIGN section 3)
	LayoutStickOn = "stick-on" // an existing configuration: the native table only
)

// Encode returns the view's bytes.
func (v *View) Encode() []byte { return mustEncode(v) }

// DecodeView reads what Encode wrote, and keeps what a newer version has added.
func DecodeView(b []byte) (*View, error) {
	var v View
	if err := keep.Unmarshal(b, &v); err != nil {
		return nil, fmt.Errorf("view cannot be understood: %w", err)
	}
	for i := range v.Nodes {
		if n := &v.Nodes[i]; n.Verdict != Healthy && n.Verdict != Down {
			n.Verdict, n.Eligible = Unknown, false
		}
	}
	return &v, nil
}

// Node returns the view of one node, or an unknown one, as that of no view is.
func (v *View) Node(name string) NodeView {
	if v == nil {
		v = &View{}
	}
	for _, n := range v.Nodes {
		if n.Name == name {
			return n
		}
	}
	return NodeView{Name: name, Verdict: Unknown, Server: ServerUnknown, Reason: "not looked at"}
}

// Sessions counts the open sessions of this proxy in sticky backends.
func (v *View) Sessions() int {
	total := 0
	for _, n := range v.Nodes {
		total += n.Sessions
	}
	return total
}

// ServedNode returns the node that serves this proxy's clients and whether there is
// one: the node with the most sessions (a tie is none) or, while no session is open,
// the effective node, if it had one lately. An entry that nobody follows is none.
func (v *View) ServedNode() (string, bool) {
	if v.Sessions() == 0 && v.Proxy != nil {
		return v.Proxy.Effective, v.Node(v.Proxy.Effective).Used
	}
	best, name, tie := 0, "", false
	for _, n := range v.Nodes {
		switch {
		case n.Sessions > best:
			best, name, tie = n.Sessions, n.Name, false
		case n.Sessions == best && best > 0:
			tie = true
		}
	}
	return name, best > 0 && !tie
}
