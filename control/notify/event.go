package notify

import (
	"encoding/json"
	"time"
)

// Kinds of events. They are stable: programs tell events apart by them, and new ones may come.
const (
	KindFailover       = "failover"         // the active was left because it is down
	KindMoveBegun      = "move-begun"       // a planned move: an operator's, or before the active's end
	KindMoveEnded      = "move-ended"       // the same, when no old session is waited for any more
	KindMoveRolledBack = "move-rolled-back" // it was undone
	KindAdopted        = "adopted"          // what the HAProxies did by themselves became the decision
	KindEviction       = "eviction"         // a dead database is taken out of Galera's view
	KindFrozen         = "frozen"           // no automatic change happens any more
	KindUnfrozen       = "unfrozen"
	KindOrder          = "order" // an operator's order that makes no decision: exclude, include, remove, init, recover

	KindFenced        = "fenced" // a proxy serves nobody, by policy
	KindUnfenced      = "unfenced"
	KindMajorityLost  = "majority-lost"
	KindMajorityBack  = "majority-back"
	KindHAProxySilent = "haproxy-silent"
	KindHAProxyBack   = "haproxy-back"
	KindLocalOnly     = "local-only" // an operator forced a node on one proxy, without a majority
	KindLocalOnlyOver = "local-only-over"
	KindAstray        = "astray" // connections of a proxy went elsewhere
	KindAstrayOver    = "astray-over"

	KindNodeDown    = "node-down"
	KindNodeBack    = "node-back"
	KindNoSpare     = "no-spare" // no node could take over from the active
	KindSpareBack   = "spare-back"
	KindNoPrimary   = "no-primary" // no node is in Galera's primary component
	KindPrimaryBack = "primary-back"
	KindTwoWriters  = "two-writers" // two nodes took commits through the proxies at once
)

// Event is one thing that happened. Its JSON is a CloudEvent (1.0, structured mode).
type Event struct {
	// ID is the same for each repetition of one event, with the same Source.
	ID string `json:"id"`
	// Source is /haproxyd/cluster/STATE-UUID for what the record says, and /haproxyd/member/NAME for what a member sees.
	Source string `json:"source"`
	// Type is TypePrefix and the kind.
	Type string `json:"type"`
	// Subject is the node or the member that it is about, "" for neither.
	Subject string    `json:"subject,omitempty"`
	Time    time.Time `json:"time"`
	Data    Data      `json:"data"`

	SpecVersion     string `json:"specversion"`
	DataContentType string `json:"datacontenttype"`
}

// TypePrefix begins every Type.
const TypePrefix = "haproxy-peers."

// Data is what an event says.
type Data struct {
	Kind string `json:"kind"`
	// Text is a sentence for people.
	Text string `json:"text"`
	// Member is who tells of it, Node and From the database nodes: the active after and before a decision, else the one that it
	// is about.
	Member string `json:"member"`
	Node   string `json:"node,omitempty"`
	From   string `json:"from,omitempty"`
	// By is the member that decided, OrderedBy who gave the order, Order its word.
	By        string `json:"by,omitempty"`
	OrderedBy string `json:"ordered_by,omitempty"`
	Order     string `json:"order,omitempty"`
	Recovery  uint64 `json:"recovery,omitempty"`
	Epoch     uint64 `json:"epoch,omitempty"`
	Revision  uint64 `json:"revision,omitempty"`
}

// event fills in what follows from the data.
func event(id, source, subject string, at time.Time, d Data) Event {
	return Event{
		ID: id, Source: source, Type: TypePrefix + d.Kind, Subject: subject, Time: at.UTC().Truncate(time.Millisecond), Data: d,
		SpecVersion: "1.0", DataContentType: "application/json",
	}
}

// json is the body that is sent.
func (e *Event) json() []byte {
	b, err := json.Marshal(e)
	if err != nil {
		panic(err) // strings and numbers
	}
	return b
}
