package galera

import (
	"cmp"
	"strconv"
	"strings"
)

const (
	primary       = "Primary"
	disconnected  = "Disconnected"
	rejectNone    = "NONE"
	maintDisabled = "DISABLED"
)

// Kind is what one attempt says of a node.
type Kind int

const (
	// KindUnknown means: the attempt says nothing of the node.
	KindUnknown Kind = iota
	// KindHealthy means: the node takes writes and is synced.
	KindHealthy
	// KindDegraded means: the node serves and may stay the active, but should not be chosen
	// while there is another, and policy may leave it by a planned move.
	KindDegraded
	// KindDown means: the node cannot be used.
	KindDown
)

// Class is why, in one word that is stable: for metrics and for policy.
type Class string

// The classes of the outcomes, by kind.
const (
	// Healthy.
	ClassSynced Class = "synced"

	// Degraded, the gravest first.
	ClassReadOnly    Class = "read-only"
	ClassMaintenance Class = "maintenance"
	ClassDonor       Class = "donor"

	// Down.
	ClassRefused      Class = "refused"
	ClassTimeout      Class = "timeout"
	ClassSilent       Class = "silent" // it let a connection be made, and says nothing on it
	ClassLost         Class = "connection-lost"
	ClassUnreachable  Class = "unreachable"
	ClassShutdown     Class = "shutdown"
	ClassNotPrimary   Class = "not-primary"
	ClassNotReady     Class = "not-ready"
	ClassRejecting    Class = "rejecting-queries"
	ClassOtherCluster Class = "other-cluster"

	// Unknown.
	ClassNotProbed       Class = "not-probed"
	ClassName            Class = "name"
	ClassAccessDenied    Class = "access-denied"
	ClassCredentials     Class = "credentials"
	ClassPrivilege       Class = "privilege"
	ClassTLS             Class = "tls"
	ClassTooManyConns    Class = "too-many-connections"
	ClassHostBlocked     Class = "host-blocked"
	ClassServerResources Class = "server-resources"
	ClassNotGalera       Class = "not-galera"
	ClassProtocol        Class = "protocol"
	ClassLocal           Class = "local"
	ClassOther           Class = "other"
)

// WantsAccess tells whether the probe says nothing because it is not let in: a matter of its
// account or of TLS, which an administrator must mend.
func (c Class) WantsAccess() bool {
	switch c {
	case ClassAccessDenied, ClassCredentials, ClassPrivilege, ClassTLS, ClassHostBlocked:
		return true
	}
	return false
}

// Outcome is what one attempt at probing a node came to.
type Outcome struct {
	Kind  Kind
	Class Class
	// Reason is a sentence about the node, without its name.
	Reason string
}

// Judge says what a reading means. want is the state UUID of the cluster's
// record; "" accepts any. Not being in a primary component goes before the
// UUID, for outside of one the UUID is that of the past.
func Judge(r Reading, want string) Outcome {
	switch {
	case r.ClusterStatus == disconnected:
		return down(ClassNotPrimary, "the node has left its cluster (wsrep_cluster_status is Disconnected) and does not come back by itself, as after an eviction: restart mysqld there")
	case r.ClusterStatus != primary:
		return down(ClassNotPrimary, "the node is outside the primary component (wsrep_cluster_status is "+r.ClusterStatus+")")
	case want != "" && r.StateUUID != "" && !strings.EqualFold(r.StateUUID, want):
		return down(ClassOtherCluster, "the node belongs to another cluster: its state UUID is "+r.StateUUID+", the record's is "+want)
	case !r.Ready && r.LocalState == StateDonor && r.DonorRejects:
		return down(ClassNotReady, "the node is a donor and rejects queries meanwhile (wsrep_sst_donor_rejects_queries is ON)")
	case !r.Ready:
		return down(ClassNotReady, "the node is not ready for queries (wsrep_ready is OFF)")
	case r.RejectQueries != "" && r.RejectQueries != rejectNone:
		return down(ClassRejecting, "the node rejects queries (wsrep_reject_queries is "+r.RejectQueries+")")
	case r.Refused:
		return down(ClassRejecting, "the node refuses queries (error 1047: WSREP has not yet prepared node)")
	case r.LocalState != StateSynced && r.LocalState != StateDonor && r.LocalState != StateJoined:
		return down(ClassNotReady, "the node is not synced (wsrep_local_state is "+strconv.Itoa(r.LocalState)+")")
	}
	return judgeServing(r)
}

// judgeServing is Judge for a node that answers its applications.
func judgeServing(r Reading) Outcome {
	var class Class
	var why []string
	add := func(c Class, reason string) {
		class = cmp.Or(class, c)
		why = append(why, reason)
	}
	if r.ReadOnly {
		add(ClassReadOnly, "is read-only")
	}
	if r.MaintMode != "" && r.MaintMode != maintDisabled {
		add(ClassMaintenance, "is in maintenance (pxc_maint_mode is "+r.MaintMode+")")
	}
	switch r.LocalState {
	case StateDonor:
		add(ClassDonor, "is a donor or desynced (wsrep_local_state is 2)")
	case StateJoined:
		add(ClassDonor, "has joined and is catching up (wsrep_local_state is 3)")
	}
	if class == "" {
		return Outcome{Kind: KindHealthy, Class: ClassSynced, Reason: "the node is synced"}
	}
	return Outcome{Kind: KindDegraded, Class: class, Reason: "the node " + strings.Join(why, " and ")}
}

func down(c Class, reason string) Outcome {
	return Outcome{Kind: KindDown, Class: c, Reason: reason}
}

func unknown(c Class, reason string) Outcome {
	return Outcome{Kind: KindUnknown, Class: c, Reason: reason}
}
