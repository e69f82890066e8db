package vote

import (
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/published"
)

// versions follows which version all members read; only the vote loop writes it.
// Loop.mu guards it.
type versions struct {
	common int
	since  time.Time // when common became what it is
}

// followVersions tells the cluster which formats may be written, and counts for
// how long all members have read what they read now.
func (v *Loop) followVersions(s *joined, ag *cluster.Agreement, rec *model.Record, now time.Time) {
	common := decide.Common(published.VoterNames(ag), published.Readers(s.cluster.Members()))
	v.mu.Lock()
	if v.versions.common != common {
		v.versions = versions{common: common, since: now}
	}
	v.mu.Unlock()
	setLowest(s.cluster, rec)
}

// setLowest tells the cluster what the record allows.
func setLowest(c Cluster, rec *model.Record) {
	lowest := 1
	if rec != nil {
		lowest = max(rec.Lowest, 1)
	}
	c.SetLowest(uint8(lowest)) //nolint:gosec // at most model.Protocol, or it could not be decoded
}

// firstLowest is the lowest version of a first record: a later one only where all
// members read it.
func (v *Loop) firstLowest() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.versions.common <= 1 {
		return 0
	}
	return v.versions.common
}
