package register

import (
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
)

// An answer makes its receiver as fresh as its sender was, never less than before,
// and not at all if the sender was out of touch for an hour or does not know.
func TestCredit(t *testing.T) {
	var f freshness
	for _, c := range []struct {
		at   time.Duration
		age  uint64
		want time.Duration
	}{
		{time.Second, never, 0},
		{time.Second, uint64(time.Hour / time.Microsecond), 0},
		{time.Second, 200_000, 800 * time.Millisecond},
		{700 * time.Millisecond, 0, 800 * time.Millisecond},
		{900 * time.Millisecond, 0, 900 * time.Millisecond},
	} {
		if f.credit(c.at, c.age); f.at != c.want {
			t.Errorf("sent at %s, answered %d µs after the sender was in touch: fresh at %s, want %s", c.at, c.age, f.at, c.want)
		}
	}
}

// The leader is as fresh as the slowest of the fastest majority, in a joint
// configuration of the one of both halves that was heard longer ago.
func TestMajorityOfTimes(t *testing.T) {
	const now = 10 * time.Second
	for what, c := range map[string]struct {
		voters, outgoing []uint64
		heard            map[uint64]time.Duration
		want             time.Duration
	}{
		"alone":                         {voters: []uint64{1}, want: now},
		"of two nobody else":            {voters: []uint64{1, 2}},
		"of two the other":              {voters: []uint64{1, 2}, heard: map[uint64]time.Duration{2: 4}, want: 4},
		"of three the later one":        {voters: []uint64{1, 2, 3}, heard: map[uint64]time.Duration{2: 4, 3: 7}, want: 7},
		"of four the second":            {voters: []uint64{1, 2, 3, 4}, heard: map[uint64]time.Duration{2: 4, 3: 7, 4: 8}, want: 7},
		"a disk that has no vote":       {voters: []uint64{1, 2}, heard: map[uint64]time.Duration{3: 7}},
		"the earlier half":              {voters: []uint64{1, 2, 3}, outgoing: []uint64{1, 4}, heard: map[uint64]time.Duration{2: 8, 4: 5}, want: 5},
		"half of a joint configuration": {voters: []uint64{1, 2, 3}, outgoing: []uint64{1, 4}, heard: map[uint64]time.Duration{2: 8}},
		"a leader that is no voter":     {voters: []uint64{2, 3, 4}, heard: map[uint64]time.Duration{2: 3, 3: 6}, want: 3},
	} {
		f := freshness{heard: c.heard}
		at := f.majority(&pb.ConfState{Voters: c.voters, VotersOutgoing: c.outgoing}, 1, now)
		if at != c.want {
			t.Errorf("%s: %d, want %d", what, at, c.want)
		}
	}
}

// What was answered counts from the latest question, and in its own term alone.
func TestHear(t *testing.T) {
	var f freshness
	f.newTerm()
	f.hear(2, 5)
	f.hear(2, 3)
	if f.heard[2] != 5 {
		t.Errorf("heard at %d, want 5", f.heard[2])
	}
	f.newTerm()
	if len(f.heard) > 0 {
		t.Error("an answer of another term is kept")
	}
}
