package gcomm

import "time"

// Answer is how the ports of a process answer somebody who can reach its host.
type Answer int

// Answers.
const (
	Refused Answer = iota // no process: the kernel resets
	Silent                // a process that is stopped: its kernel accepts, nobody speaks
	Speaks
)

func (a Answer) String() string { return [...]string{"refused", "silent", "speaks"}[a] }

// Observation is what a daemon reads of one process. Where Answer is not Speaks, nothing but the answers counts: the rest
// is for those who look into the model.
type Observation struct {
	// Answer is the SQL port's answer, Group the group layer's.
	Answer, Group Answer
	// UUID is wsrep_gcomm_uuid.
	UUID string
	// Status is wsrep_cluster_status: Primary, non-Primary or Disconnected.
	Status string
	// ConfID is wsrep_cluster_conf_id, -1 outside of a primary component.
	ConfID int64
	// Size is wsrep_cluster_size, Weight wsrep_cluster_weight.
	Size, Weight int
	// EVS is wsrep_evs_state: OPERATIONAL, GATHER, INSTALL or CLOSED.
	EVS string
	// Evicted is wsrep_evs_evict_list, sorted.
	Evicted []string
	// LocalState is wsrep_local_state: 1 joiner or open, 2 donor, 3 joined, 4 synced.
	LocalState int
	// Queue is wsrep_local_recv_queue, in write sets.
	Queue int
	// Delivered is how many write sets the group has delivered to this process (wsrep_received and wsrep_replicated).
	Delivered int
	// Paused is whether flow control stops the node's commits (wsrep_flow_control_active).
	Paused bool
	// Applier is for how long an applier has been at one write set or statement, 0 for an idle one.
	Applier time.Duration
}

// Values of Observation.Status.
const (
	Primary      = "Primary"
	NonPrimary   = "non-Primary"
	Disconnected = "Disconnected"
)

// Values of Observation.EVS.
const (
	Operational = "OPERATIONAL"
	Gather      = "GATHER"
	Install     = "INSTALL"
	Closed      = "CLOSED"
)

// Values of Observation.LocalState.
const (
	StateJoiner = 1
	StateDonor  = 2
	StateJoined = 3
	StateSynced = 4
)
