package api

import (
	"bytes"
	"encoding/json"
)

// Status is everything, for the operator's screen.
type Status struct {
	// State is ok, degraded, outage or unknown.
	State string `json:"state"`
	// Headline says in one sentence what is broken, who takes the writes on how many
	// proxies, and what is left if that node dies.
	Headline string `json:"headline"`
	// Problems are what is not as it should be, the worst first, and behind it what should
	// be known.
	Problems []Problem `json:"problems"`
	Member   string    `json:"member"`
	Version  string    `json:"version"`
	Mode     string    `json:"mode"` // steer, observe, witness
	Active   Active    `json:"active"`
	Nodes    []Node    `json:"nodes"`
	Members  []Member  `json:"members"`
	Register Register  `json:"register"`
	// Warnings are sentences on how the asked daemon is set up: what is no problem
	// now and would let somebody make one.
	Warnings []string `json:"warnings"`
	// Turn is what the last turn of the loop did and why, in a sentence.
	Turn string `json:"turn"`
}

// Overview is all answers of one moment.
type Overview struct {
	Status      Status      `json:"status"`
	Explanation Explanation `json:"explanation"`
	History     History     `json:"history"`
	// Move is the last move, pending or over.
	Move Move `json:"move"`
}

// The states of Status and Active: what they mean for the clients.
const (
	// StateOK: the clients are served as agreed, and nothing is broken.
	StateOK = "ok"
	// StateDegraded: clients are served, and something is broken or in doubt.
	StateDegraded = "degraded"
	// StateOutage: no proxy that is heard serves anybody.
	StateOutage = "outage"
	// StateUnknown: it cannot be told whether clients are served.
	StateUnknown = "unknown"
)

// The severities of a Problem.
const (
	// SeverityCritical: clients are not served, or two nodes may take writes, or nothing
	// would fail over.
	SeverityCritical = "critical"
	// SeverityWarning: something is broken, and what is left serves.
	SeverityWarning = "warning"
	// SeverityInfo: nothing is broken, and it should be known.
	SeverityInfo = "info"
)

// Codes of problems. They are stable: programs tell problems apart by them, and new ones
// may come.
const (
	ProblemNotStarted       = "not-started"       // haproxyd has not started yet, for want of a haproxy.cfg that it can use
	ProblemFirstStart       = "first-start"       // there is no record yet: its first voters are waited for
	ProblemNoMajority       = "no-majority"       // no majority of the voters: nothing is decided
	ProblemNotDecided       = "not-decided"       // there is a majority, and no active node yet
	ProblemRecordUnreadable = "record-unreadable" // a newer daemon wrote a record that this one cannot read
	ProblemOlderDaemon      = "older-daemon"      // a member does not read what the record holds
	ProblemMemberSilent     = "member-silent"     // a member is not heard
	ProblemDiskLost         = "disk-lost"         // this member lost its disk and votes under a new id
	ProblemForeignMessage   = "foreign-message"   // a message of another cluster, generation or disk was refused
	ProblemPeersDiffer      = "peers-differ"      // the peers of haproxy.cfg are not the members
	ProblemAlert            = "alert"             // what the last turn of the vote needs an operator for

	ProblemNotServing     = "not-serving"      // a proxy has no node that it could send its clients to
	ProblemFenced         = "fenced"           // a proxy serves nobody, by policy
	ProblemHAProxySilent  = "haproxy-silent"   // a HAProxy does not answer on its admin socket
	ProblemNotConverged   = "not-converged"    // a proxy's new connections do not all go to the active
	ProblemNotSteered     = "not-steered"      // a proxy's connections go to the active, and its daemon cannot keep them there
	ProblemAstray         = "astray"           // a proxy's connections went elsewhere although its tables lead to the active
	ProblemLocalOnly      = "local-only"       // an operator forced a node on one proxy, without a majority
	ProblemAddressDiffers = "address-differs"  // a node has another address in HAProxy than where it is probed
	ProblemConfigUnusable = "config-unusable"  // haproxy.cfg as it is now cannot be used: the one before is in force
	ProblemConfigUnsafe   = "config-unsafe"    // a line of haproxy.cfg lets connections go elsewhere
	ProblemChangesUnknown = "changes-unknown"  // what an earlier daemon changed in HAProxy is not known
	ProblemObserves       = "observes"         // a daemon only observes and never writes
	ProblemPodsNotWatched = "pods-not-watched" // the end of database pods is not seen
	ProblemProbeShutOut   = "probe-shut-out"   // the probe is let into no node
	ProblemGrantMissing   = "grant-missing"    // the probe's account may not tell which sessions are in a transaction
	ProblemNodeDown       = "node-down"        // a node is down
	ProblemNodeDisputed   = "node-disputed"    // some members call a node down and others do not
	ProblemNodeUnknown    = "node-unknown"     // nobody can tell whether a node is healthy
	ProblemNodeStalls     = "node-stalls"      // a node's commits hang or are held back
	ProblemNodeGoing      = "node-going"       // a node is about to end
	ProblemNoPrimary      = "no-primary"       // no node is in Galera's primary component
	ProblemNoSpare        = "no-spare"         // no node could take over from the active
	ProblemExcluded       = "excluded"         // a node is never chosen automatically
	ProblemFrozen         = "frozen"           // no automatic change happens
	ProblemUncoded        = "uncoded"          // an older daemon's sentence, which has no code
)

// Problem is one thing that is not as it should be, or that should be known.
type Problem struct {
	// Code is one of the words above.
	Code string `json:"code"`
	// Severity is critical, warning or info.
	Severity string `json:"severity"`
	// Member and Node are what it is about, "" where it is about none, or several.
	Member string `json:"member"`
	Node   string `json:"node"`
	// Text is a sentence for people.
	Text string `json:"text"`
	// Next is the command or the SQL to type, "" where there is none.
	Next string `json:"next"`
}

// UnmarshalJSON takes also the bare sentence that older daemons send.
func (p *Problem) UnmarshalJSON(b []byte) error {
	if bytes.HasPrefix(bytes.TrimSpace(b), []byte(`"`)) {
		*p = Problem{Code: ProblemUncoded, Severity: SeverityWarning}
		return json.Unmarshal(b, &p.Text)
	}
	type plain Problem
	return json.Unmarshal(b, (*plain)(p))
}

// String is the sentence.
func (p Problem) String() string { return p.Text }
