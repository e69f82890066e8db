package api

import "time"

// Paths of the API. GET answers with the type named behind it, POST takes the
// request type and answers with the response type.
const (
	PathStatus          = "/v1/status"           // GET Status
	PathActive          = "/v1/active"           // GET Active; POST SetRequest -> SetResponse
	PathHistory         = "/v1/active/history"   // GET History
	PathNodes           = "/v1/nodes"            // GET []Node
	PathMembers         = "/v1/members"          // GET []Member
	PathMembersRemove   = "/v1/members/remove"   // POST MemberRequest -> RemoveResponse
	PathExclude         = "/v1/exclude"          // POST NodeRequest -> Active
	PathInclude         = "/v1/include"          // POST NodeRequest -> Active
	PathFreeze          = "/v1/freeze"           // POST Reasoned -> Active
	PathUnfreeze        = "/v1/unfreeze"         // POST Reasoned -> Active
	PathRegister        = "/v1/register"         // GET Register
	PathRegisterInit    = "/v1/register/init"    // POST InitRequest -> Register
	PathRegisterRecover = "/v1/register/recover" // POST RecoverRequest -> Register
	PathRegisterLower   = "/v1/register/lower"   // POST LowerRequest -> LowerResponse
	PathRegisterRaise   = "/v1/register/raise"   // POST -> Register
	PathCheck           = "/v1/check"            // GET ?address=IP:PORT -> Check
	PathMove            = "/v1/move"             // GET Move: the last move, pending or over; of those at once the ones asked for here
	PathMoveCancel      = "/v1/move/cancel"      // POST CancelRequest -> Move: roll a pending move back
	PathExplain         = "/v1/explain"          // GET Explanation
	PathOverview        = "/v1/overview"         // GET Overview
	PathOpenAPI         = "/v1/openapi.yaml"     // GET: what is described of this API, OpenAPI
)

// Active is the agreement and how far it is carried out. Its first ten keys are
// a fixed interface (`haproxyctl active show -o json`).
type Active struct {
	// Active is the node that takes the writes; empty before the first decision.
	Active string `json:"active"`
	// Epoch numbers the changes of the active within one recovery generation.
	Epoch uint64 `json:"epoch"`
	// Agreed tells whether a majority of the voters stands behind this now.
	Agreed bool `json:"agreed"`
	// Reason says in a sentence why the active is what it is, or why it is not
	// agreed.
	Reason string `json:"reason"`
	// By names the member (or the operator through a member) that decided.
	By string `json:"by"`
	// OrderedBy is who ordered it, "ana (uid 1000)" as the admin socket of that member
	// saw it; none where nobody ordered it, and before every voter can keep it.
	OrderedBy string `json:"ordered_by,omitempty"`
	// Since is when it was decided, by the clock of the member that proposed it.
	Since time.Time `json:"since"`
	// Members counts the live members, this one included.
	Members int `json:"members"`
	// Steering counts the proxies whose daemon steers (in the layout with a
	// beacon: whose beacon answers 200, and whose HAProxy sees it).
	Steering int `json:"steering"`
	// Converged counts the proxies whose every key of every sticky backend
	// effectively routes to the active.
	Converged int `json:"converged"`
	// Proxies counts the members that have a HAProxy (all but witnesses).
	Proxies int `json:"proxies"`
	// Recovery and Revision complete the version of the record.
	Recovery uint64 `json:"recovery"`
	Revision uint64 `json:"revision"`
	// Frozen: no automatic change happens.
	Frozen bool `json:"frozen"`
	// Excluded nodes are never chosen automatically.
	Excluded []string `json:"excluded"`
	// NotConverged names the proxies that do not route to the active, with why.
	NotConverged []string `json:"not_converged"`
	// Fenced names the proxies that serve nobody, with why.
	Fenced []string `json:"fenced"`
	// Moved names the proxies that have another address for a node than their haproxy.cfg,
	// where it is probed.
	Moved []string `json:"moved"`
	// Astray names the proxies whose tables lead to the active, and that have sent
	// connections elsewhere all the same.
	Astray []string `json:"astray"`
	// LocalOnly is the node that an operator forced on the proxy of the asked
	// daemon alone, without a majority.
	LocalOnly string `json:"local_only,omitempty"`
	// State and Headline are Status's, in the answer to GET PathActive alone.
	State    string `json:"state,omitempty"`
	Headline string `json:"headline,omitempty"`
	// Move is the pending move, nil when there is none.
	Move *Move `json:"move,omitempty"`
}

// Decision is one entry of the history.
type Decision struct {
	Recovery uint64    `json:"recovery"`
	Epoch    uint64    `json:"epoch"`
	Active   string    `json:"active"`
	From     string    `json:"from,omitempty"`
	Kind     string    `json:"kind"` // adopt, failover, operator, native, recover
	Reason   string    `json:"reason"`
	By       string    `json:"by"`
	At       time.Time `json:"at"`
	// OrderedBy is who ordered it; none where nobody did.
	OrderedBy string `json:"ordered_by,omitempty"`
}

// Order is an order that changed no active: who gave it, where and why.
type Order struct {
	Kind string `json:"kind"` // exclude, include, freeze, unfreeze, remove, init, recover
	// What is the node, the member or the voters that it is about.
	What      string    `json:"what,omitempty"`
	Reason    string    `json:"reason,omitempty"`
	OrderedBy string    `json:"ordered_by,omitempty"`
	By        string    `json:"by"` // the member that took it
	At        time.Time `json:"at"`
}

// History lists decisions and orders, the newest first, and the last turns of
// this member's loop that changed something.
type History struct {
	Decisions []Decision `json:"decisions"`
	Orders    []Order    `json:"orders"`
	Events    []Event    `json:"events"`
}

// Event is something this member's loop did or noticed.
type Event struct {
	At      time.Time `json:"at"`
	Message string    `json:"message"`
}

// Opinion is what one member says of one node.
type Opinion struct {
	Member  string `json:"member"`
	Verdict string `json:"verdict"` // healthy, down, unknown
	// Eligible: the node may be chosen; Avoid: it may stay but should be left.
	Eligible bool   `json:"eligible"`
	Avoid    bool   `json:"avoid,omitempty"`
	Reason   string `json:"reason"`
	// Class is the reason in one stable word: refused, timeout, not-primary, access-denied
	// and so on (haproxyd_galera_probe_errors_total has the same); "" without a probe.
	Class string `json:"class,omitempty"`
	// HAProxy is the server's state in that member's HAProxy: up, down, maint,
	// drain, unknown.
	HAProxy string `json:"haproxy"`
	// Refused: it is up there, and the last check of it has failed.
	Refused  bool  `json:"refused,omitempty"`
	Sessions int   `json:"sessions"`
	AgeMS    int64 `json:"age_ms"`
	Voter    bool  `json:"voter"`
	// Stuck says why the node's own commits hang, "" if they do not; Paused that
	// flow control holds the node back; Seqno what it has applied.
	Stuck  string `json:"stuck,omitempty"`
	Paused bool   `json:"paused,omitempty"`
	Seqno  int64  `json:"seqno,omitempty"`
	// Lacks is the GRANT that the probe's user lacks for drains.
	Lacks string `json:"lacks,omitempty"`
	// Going says why the node is about to end, "" if it is not.
	Going string `json:"going,omitempty"`
	// Moved says that the node has another address in that member's HAProxy than where it is
	// probed, "" where it has not.
	Moved string `json:"moved,omitempty"`
	// Group is what the member knows of the node's process in Galera's group layer; absent without a probe.
	Group *Group `json:"group,omitempty"`
}

// Group is a database process in Galera's group layer. What the process itself said is of the last time that it answered.
type Group struct {
	UUID string `json:"uuid"` // wsrep_gcomm_uuid, another with every start
	// Weight is its pc.weight, ConfID, Size and ClusterWeight are of the view that it is in (wsrep_cluster_conf_id,
	// wsrep_cluster_size, wsrep_cluster_weight); -1 if not known.
	Weight        int   `json:"weight"`
	ConfID        int64 `json:"conf_id"`
	Size          int64 `json:"size"`
	ClusterWeight int64 `json:"cluster_weight"`
	// State is wsrep_evs_state; Evicted: its evict list is not empty; AutoEvict: evs.auto_evict is on.
	State     string `json:"state"`
	Evicted   bool   `json:"evicted,omitempty"`
	AutoEvict bool   `json:"auto_evict,omitempty"`
	// FloorMS is about how long, in ms, Galera's own timers make every commit wait after a node has died; 0 if not known.
	FloorMS int64 `json:"floor_ms,omitempty"`
	// Met: the process was heard at its group port. Ended is how its end shows itself to this member: gone, silent, or absent. Hangs:
	// a causal read on this node shows that the group waits for another; Late why it could not tell.
	Met   bool   `json:"met"`
	Ended string `json:"ended,omitempty"`
	Hangs bool   `json:"hangs,omitempty"`
	Late  string `json:"late,omitempty"`
}

// Node is a database node as all members see it.
type Node struct {
	Name     string `json:"name"`
	Address  string `json:"address"`
	Active   bool   `json:"active"`
	Excluded bool   `json:"excluded"`
	Healthy  int    `json:"healthy"` // voters that say healthy
	Down     int    `json:"down"`    // voters that say down
	Unknown  int    `json:"unknown"` // voters that say neither, or are not heard
	Eligible bool   `json:"eligible"`
	Sessions int    `json:"sessions"`
	// Lag is by how many write sets it is behind the node that has applied most, as the voter sees it that sees the least
	// of it; 0 also where nobody could read both.
	Lag int64 `json:"lag"`
	// Going says why the node is about to end, "" if nobody says that it is.
	Going string `json:"going,omitempty"`
	// StallMS is about how long, in ms, no commit would go through on any node if this one died now, and Stall a sentence on
	// it, with what keeps it from being less; absent where it is not known.
	StallMS  int64     `json:"stall_ms,omitempty"`
	Stall    string    `json:"stall,omitempty"`
	Opinions []Opinion `json:"opinions"`
}

// Member is a member of the gossip.
type Member struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	Version string `json:"version"`
	Self    bool   `json:"self"`
	Voter   bool   `json:"voter"`
	Leader  bool   `json:"leader"`
	Witness bool   `json:"witness"`
	Observe bool   `json:"observe"`
	Disk    string `json:"disk"`
	// State is the membership's word: starting, alive, leaving, gone.
	State string `json:"state"`
	Proxy *Proxy `json:"proxy,omitempty"`
}

// Proxy is one HAProxy as the daemon beside it sees it.
type Proxy struct {
	// Reachable: the Runtime API answers.
	Reachable bool   `json:"reachable"`
	Version   string `json:"version"`
	Pid       int    `json:"pid"`
	UptimeS   int64  `json:"uptime_s"`
	// Layout is "steer" (private table and beacon) or "stick-on".
	Layout   string `json:"layout"`
	Beacon   bool   `json:"beacon"`
	Steering bool   `json:"steering"`
	// Effective is the node that new connections go to; empty if the keys
	// disagree or nothing is usable.
	Effective string `json:"effective"`
	Converged bool   `json:"converged"`
	Epoch     uint64 `json:"epoch"` // the epoch that it is converged to
	Elsewhere int    `json:"elsewhere"`
	Problem   string `json:"problem,omitempty"`
	// Fenced says why this proxy serves nobody, "" while it serves.
	Fenced string `json:"fenced,omitempty"`
	// SilentMS is for how long HAProxy has not answered, 0 while it does and where it never
	// has.
	SilentMS int64 `json:"silent_ms,omitempty"`
	// Moved says that a node has another address in this HAProxy than in its haproxy.cfg, ""
	// where all are the same.
	Moved string `json:"moved,omitempty"`
	// LocalOnly is the node that an operator forced on this proxy alone.
	LocalOnly string `json:"local_only,omitempty"`
	// Held: new connections wait for the end of a planned move.
	Held bool `json:"held,omitempty"`
	// Sessions are this proxy's open sessions by node.
	Sessions map[string]int `json:"sessions"`
	// Astray are connections that went to another node although every key leads to the
	// active; none while nobody did since the proxy converged.
	Astray []Astray `json:"astray"`
}

// Astray are the connections that a HAProxy has sent to a server that is not the active's.
type Astray struct {
	Backend string `json:"backend"`
	Server  string `json:"server"`
	// Connections counts them since Since, each try of HAProxy's to connect for one.
	Connections int64     `json:"connections"`
	Since       time.Time `json:"since"`
	// Line is the line of haproxy.cfg that may have sent them there, with its place; none
	// where none is known.
	Line string `json:"line,omitempty"`
}

// Register is the replicated record as this member knows it.
type Register struct {
	State    string  `json:"state"` // waiting, voter, follower, stopped
	Cluster  string  `json:"cluster"`
	Disk     string  `json:"disk"`
	Recovery uint64  `json:"recovery"`
	Epoch    uint64  `json:"epoch"`
	Revision uint64  `json:"revision"`
	Term     uint64  `json:"term"`
	Leader   string  `json:"leader"`
	Agreed   bool    `json:"agreed"`
	Reason   string  `json:"reason,omitempty"`
	Voters   []Voter `json:"voters"`
	// Initial are the voters of a first start, the peers of haproxy.cfg.
	Initial []string `json:"initial_voters"`
	// File is where this member keeps the record.
	File string `json:"file,omitempty"`
	// Membership is what the leader does, or why it does nothing, about the voters.
	Membership string   `json:"membership,omitempty"`
	Notes      []string `json:"notes"`
	// Lowest is the version whose formats may be written: what every voter reads.
	// Reads is what this daemon reads.
	Lowest int `json:"lowest"`
	Reads  int `json:"reads"`
}

// Voter is a member of the record's own configuration.
type Voter struct {
	Name    string `json:"name"`
	Disk    string `json:"disk"`
	Live    bool   `json:"live"`
	HeardMS int64  `json:"heard_ms"` // -1: never
}

// Check is this member's word on one node, for the external check.
type Check struct {
	Node    string `json:"node"`
	Usable  bool   `json:"usable"`
	Verdict string `json:"verdict"`
	Reason  string `json:"reason"`
}

// NodeRequest names a node.
type NodeRequest struct {
	Node string `json:"node"`
	Reasoned
}

// MemberRequest names a member.
type MemberRequest struct {
	Name string `json:"name"`
	Reasoned
}

// RemoveResponse tells what became of the removal of a voter.
type RemoveResponse struct {
	Name string `json:"name"`
	// Changed is false when it was no voter any more.
	Changed bool `json:"changed"`
	// Register is the record's configuration afterwards.
	Register Register `json:"register"`
}

// InitRequest makes the first record.
type InitRequest struct {
	// Force starts with fewer than all initial voters: those that are here now.
	Force bool `json:"force"`
	Reasoned
}

// LowerRequest lets older daemons take part again.
type LowerRequest struct {
	// DryRun only tells what would be lost.
	DryRun bool `json:"dry_run,omitempty"`
}

// LowerResponse tells what became of it.
type LowerResponse struct {
	// From and Lowest are the lowest version before and after.
	From   int `json:"from"`
	Lowest int `json:"lowest"`
	// Lost are sentences: what older daemons do not know and is not kept.
	Lost    []string `json:"lost"`
	Changed bool     `json:"changed"`
	DryRun  bool     `json:"dry_run,omitempty"`
	// Register is the record afterwards.
	Register Register `json:"register"`
}

// RecoverRequest raises the recovery generation.
type RecoverRequest struct {
	// Voters are the stable names of live members that are to be the voters.
	Voters []string `json:"voters"`
	Reasoned
}

// Codes of errors; haproxyctl maps them to its exit status.
const (
	CodeBadRequest  = "bad_request"  // 400
	CodeRefused     = "refused"      // 409: checked and said no
	CodeForbidden   = "forbidden"    // 403: the certificate may not do that
	CodeNoMajority  = "no_majority"  // 503
	CodeUnavailable = "unavailable"  // 503: no record, no HAProxy
	CodeNotFound    = "not_found"    // 404
	CodeInternal    = "internal"     // 500
	CodeUnknown     = "unknown_fate" // 504: sent, outcome not known in time
)

// Error is the body of every answer that is not 2xx.
type Error struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	// Candidates are the nodes that would do instead.
	Candidates []string `json:"candidates"`
	// Winner is the agreement that came first, when two operators collided.
	Winner *Active `json:"winner,omitempty"`
}

// Error returns the one line for people.
func (e *Error) Error() string { return e.Message }
