package galera

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
)

// Values of wsrep_local_state (Galera documentation, "Node state changes").
const (
	StateDonor  = 2 // also a desynced node
	StateJoined = 3
	StateSynced = 4
)

// Reading is what one probe read from a node. The fields are the server's
// variables of the same name.
type Reading struct {
	ClusterStatus string // wsrep_cluster_status: Primary, non-Primary, Disconnected
	LocalState    int    // wsrep_local_state, see StateSynced; -1 if absent
	Ready         bool   // wsrep_ready
	RejectQueries string // wsrep_reject_queries: NONE, ALL, ALL_KILL; "" if absent
	DonorRejects  bool   // wsrep_sst_donor_rejects_queries
	ReadOnly      bool   // read_only
	MaintMode     string // pxc_maint_mode: DISABLED, SHUTDOWN, MAINTENANCE; "" if absent (MariaDB)
	StateUUID     string // wsrep_cluster_state_uuid
	LastCommitted int64  // wsrep_last_committed, a seqno; -1 if undefined
	// Replicated is wsrep_replicated: the write sets that this node has sent, DDL and
	// those that then failed certification among them. Measured (Galera 26.4.23): it
	// counts a commit when the group has ordered it, so not while flow control holds
	// it back; it stays where nothing is written (a rollback, an UPDATE of no row, a
	// write set of another node) and over FLUSH STATUS, and begins at 0 with the
	// server's process. A canary's commits count too.
	Replicated int64
	// ReplicatedBytes, Received and ReceivedBytes are wsrep_replicated_bytes, wsrep_received and wsrep_received_bytes: see
	// [Intake].
	ReplicatedBytes, Received, ReceivedBytes int64
	// FlowPausedNs is wsrep_flow_control_paused_ns, in ns since the server's start.
	// Measured: during a pause it grows as the clock does, on every node of the
	// cluster, and not only at the pause's end; FLUSH STATUS resets the share
	// (wsrep_flow_control_paused), but not this. wsrep_flow_control_active, which
	// Percona calls wsrep_flow_control_status, is not asked: it holds for one
	// moment, and a busy cluster pauses for moments all the time.
	FlowPausedNs int64
	// Waiting counts the writes and commits that wait while the node is a donor; 0
	// for one that is none, and without the privilege PROCESS.
	Waiting int
	// Gcomm is wsrep_gcomm_uuid: the name of this process in the group layer.
	Gcomm string
	// ConfID is wsrep_cluster_conf_id, the number of the view; -1 outside the primary component. Size and Weight are
	// wsrep_cluster_size and wsrep_cluster_weight: of the view, weights being pc.weight of each; -1 if absent.
	ConfID, Size, Weight int64
	// EvsState is wsrep_evs_state: OPERATIONAL, or another while a view is made. Evicted is
	// wsrep_evs_evict_list, "" where it is empty.
	EvsState, Evicted string
	// Latency is how long a message of this node usually takes until all members have it: by wsrep_evs_repl_latency, which
	// Galera measures over a minute; the last one that was known while it knows none, 0 if it never did. Its maximum and
	// deviation are those of the last view change or large transaction, and say nothing of now.
	Latency time.Duration
	// Refused is true if the node answered a plain SELECT with error 1047, as it
	// does to its applications.
	Refused bool
}

// parser collects a reading value by value. It reuses the strings of the
// previous reading where they are equal: at thirty probes a second that
// spares most of the garbage.
type parser struct {
	r, prev              Reading
	status, ready, state bool // seen
}

func newParser(prev Reading) parser {
	return parser{prev: prev, r: Reading{LocalState: -1, LastCommitted: -1, ConfID: -1, Size: -1, Weight: -1}}
}

func (p *parser) set(name, value []byte) (err error) {
	switch string(name) {
	case "wsrep_cluster_status":
		p.r.ClusterStatus, p.status = reuse(p.prev.ClusterStatus, value), true
	case "wsrep_ready":
		p.r.Ready, p.ready = isOn(value), true
	case "wsrep_local_state":
		var n int64
		n, err = conn.Seqno(name, value)
		p.r.LocalState, p.state = int(n), true
	case "wsrep_last_committed":
		p.r.LastCommitted, err = conn.Seqno(name, value)
	case "wsrep_replicated":
		p.r.Replicated, err = conn.Seqno(name, value)
	case "wsrep_replicated_bytes":
		p.r.ReplicatedBytes, err = conn.Seqno(name, value)
	case "wsrep_received":
		p.r.Received, err = conn.Seqno(name, value)
	case "wsrep_received_bytes":
		p.r.ReceivedBytes, err = conn.Seqno(name, value)
	case "wsrep_flow_control_paused_ns":
		p.r.FlowPausedNs, err = conn.Seqno(name, value)
	case "wsrep_gcomm_uuid":
		p.r.Gcomm = reuse(p.prev.Gcomm, value)
	case "wsrep_cluster_conf_id":
		p.r.ConfID, err = conn.Seqno(name, value)
	case "wsrep_cluster_size":
		p.r.Size, err = conn.Seqno(name, value)
	case "wsrep_cluster_weight":
		p.r.Weight, err = conn.Seqno(name, value)
	case "wsrep_evs_state":
		p.r.EvsState = reuse(p.prev.EvsState, value)
	case "wsrep_evs_repl_latency":
		p.r.Latency = latency(value, p.prev.Latency)
	case "wsrep_evs_evict_list":
		p.r.Evicted = reuseUpTo(p.prev.Evicted, value, longestList)
	case "wsrep_cluster_state_uuid":
		p.r.StateUUID = reuse(p.prev.StateUUID, value)
	case "wsrep_reject_queries":
		p.r.RejectQueries = reuse(p.prev.RejectQueries, value)
	case "wsrep_sst_donor_rejects_queries":
		p.r.DonorRejects = isOn(value)
	case "read_only":
		// Newer MariaDB has more values than ON (NO_LOCK, ...): all but OFF restrict writes.
		p.r.ReadOnly = !isOff(value)
	case "pxc_maint_mode":
		p.r.MaintMode = reuse(p.prev.MaintMode, value)
	}
	return err
}

// reading returns what was collected if it is enough to judge by. A server
// without a loaded provider has a status but no local state, so that is
// demanded of a ready node in the primary component only.
func (p *parser) reading() (Reading, error) {
	switch {
	case !p.status:
		return Reading{}, conn.ErrNotGalera
	case !p.ready:
		return Reading{}, fmt.Errorf("%w: it lacks wsrep_ready", conn.ErrIncomplete)
	case p.r.ClusterStatus == primary && p.r.Ready && !p.state:
		return Reading{}, fmt.Errorf("%w: it lacks wsrep_local_state", conn.ErrIncomplete)
	}
	return p.r, nil
}

// longestValue is beyond every value that is kept: a UUID has 36 bytes.
const longestValue = 128

// longestList is beyond an evict list with all entries that can be ours: model.MaxEvictions UUIDs and their commas.
const longestList = 512

// reuse is a value as text, which goes into sentences and so to the other members.
func reuse(prev string, value []byte) string { return reuseUpTo(prev, value, longestValue) }

func reuseUpTo(prev string, value []byte, longest int) string {
	if prev == string(value) {
		return prev
	}
	return conn.PlainText(string(value[:min(len(value), longest)]), longest)
}

// underWay is how many messages of a node may wait for one view change: twice evs.send_window (4 by default).
const underWay = 8

// latency reads "minimum/mean/maximum/deviation/number", in seconds, and returns what is usual: the mean without what the maximum has
// added to it. Messages that waited for a view change spoil the mean for a minute, most of all on a node that sends few (measured, a
// second after one: 0.001/0.334/1.000/0.471/3, at 1.5 ms). If the mean m and the deviation s come from a share of messages that took
// the maximum M, and others that took next to nothing, that share is (s*s+m*m)/(M*M). Only few may be left out, as many as may have been
// under way at a time: where more take as long, that is usual. It is never less than the minimum.
func latency(value []byte, before time.Duration) time.Duration {
	parts := strings.Split(string(value[:min(len(value), longestValue)]), "/")
	if len(parts) != 5 || parts[4] == "0" {
		return before
	}
	var n [5]float64
	for i := range n {
		var err error
		if n[i], err = strconv.ParseFloat(parts[i], 64); err != nil || !(n[i] >= 0 && n[i] < 1e6) {
			return before
		}
	}
	least, mean, most, deviation := n[0], n[1], n[2], n[3]
	if share := (deviation*deviation + mean*mean) / max(most*most, 1e-18); share*n[4] <= underWay {
		mean = max(least, mean-share*most)
	}
	return time.Duration(mean * float64(time.Second))
}

func isOn(value []byte) bool {
	return bytes.EqualFold(value, []byte("ON")) || string(value) == "1"
}

func isOff(value []byte) bool {
	return bytes.EqualFold(value, []byte("OFF")) || string(value) == "0"
}
