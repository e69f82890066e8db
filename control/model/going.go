package model

import (
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/keep"
)

// Going says that a node is about to end, by its own or its pod's word, although
// it serves still. It is a fact and no opinion: the API server or the database
// has said it, and only its end or its successor takes it back.
type Going struct {
	// Pod is the uid of the pod that is being deleted, "" where none is known to be.
	Pod string `json:"p,omitempty"`
	// Until is when the pod's containers are ended at the latest, by the API server's
	// clock: for people. LeftMS is the time until then when the view was made.
	Until  time.Time `json:"u,omitzero"`
	LeftMS int64     `json:"l,omitempty"`
	// Shutdown: the database is ending in order (pxc_maint_mode is SHUTDOWN), and waits
	// pxc_maint_transition_period (10 s by default) before it closes its sessions.
	Shutdown bool `json:"s,omitempty"`
	// Rest is what a newer version has added.
	Rest keep.Rest `json:"-"`
}

// Words says it of a node, "" for nil.
func (g *Going) Words() string {
	switch {
	case g == nil:
		return ""
	case g.Pod == "":
		return "is shutting down (pxc_maint_mode is SHUTDOWN)"
	}
	return "is being deleted (pod, until " + g.Until.UTC().Format(time.TimeOnly) + " UTC)"
}
