package published

import (
	"fmt"
	"slices"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/configs"
	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/evict"
	"github.com/haproxy-peers/haproxy-peers/control/haproxycfg"
	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

const (
	// ViewWithin is how old a voter's view may be to count, and this member's own.
	ViewWithin = 1500 * time.Millisecond
	// FollowerViewWithin is how old the view of a member that does not vote may be.
	FollowerViewWithin = 10 * time.Second
)

// Situation is what this member knows of the agreement and the others, and what it
// decided on that.
type Situation struct {
	// At is the moment of it: no later than the reading of what follows.
	At time.Time
	// Started: there is a cluster to know something of. Without it all is empty but
	// Topology and the problems.
	Started bool
	// Member is this member's name, Policy its own, and Born when its daemon was made.
	Member string
	Policy decide.Policy
	Born   time.Time
	// Agreement is the cluster's word, Record what is agreed, decoded, nil for nothing;
	// Unread says why it cannot be.
	Agreement cluster.Agreement
	Record    *model.Record
	Unread    error
	// Want is what the mandate's last step wanted.
	Want mandate.Want
	// Own is this member's own view, nil before the first; OwnAge is how old it is.
	Own    *model.View
	OwnAge time.Duration
	// Heard are the other members' last views.
	Heard    []Heard
	Members  []cluster.Member
	Register cluster.RegisterStatus
	Security cluster.Security
	// Topology is haproxy.cfg's in force, nil for none; FileProblem is why the file
	// cannot be used as it is now, PodsProblem why the pods are not known, and
	// ProbeProblem why the probe can tell nothing; "" for nothing.
	Topology                               *configs.Topology
	FileProblem, PodsProblem, ProbeProblem string
	// Probing: there is a probe.
	Probing bool
	// Review, Applied and Untroubled are decide.Input's; OldMoves is Ages.Old there.
	Review, Applied bool
	Untroubled      time.Duration
	OldMoves        int
	// ReadSince is since when all members read what they read now, zero for never.
	ReadSince time.Time
	// Move is the report of the last planned move.
	Move api.Move
	// EvictMode is what --evict says, and OldEvictions how many of the record's evictions count no more.
	EvictMode    string
	EvictLast    bool // --evict-last
	OldEvictions int
	// Evict is why the last process that seemed to have ended is evicted, or is not; "" while all are there.
	Evict string
	// Turn is the last turn's sentence, and Alert what an operator must see, "" for nothing.
	Turn, Alert string
}

// Heard is the last view of another member.
type Heard struct {
	Member string
	// Voter is the sender's own word; Live: its process is a member of the gossip.
	Voter, Live bool
	// Age is how long ago the member last said that it is its view.
	Age time.Duration
	// View is nil where it was too old to count, or could not be understood.
	View *model.View
}

// Counts tells whether a view is recent enough to count. Voters repeat theirs
// every half second, other members every few seconds and on change.
func Counts(voter, live bool, age time.Duration) bool {
	if voter {
		return age <= ViewWithin
	}
	return live && age <= FollowerViewWithin
}

// AsOf is the situation at now, as far as this one tells: every age has grown, and a
// majority that was last heard too long ago is none, whatever has kept the vote loop
// from hearing it again.
func (s *Situation) AsOf(now time.Time) *Situation {
	passed := now.Sub(s.At)
	if passed <= 0 {
		return s
	}
	at := *s
	at.At = now
	at.OwnAge += passed
	ag := &at.Agreement
	if ag.FreshAge >= 0 {
		ag.FreshAge += passed
	}
	if ag.Fresh && ag.FreshAge > cluster.FreshFor {
		ag.Fresh = false
		ag.Reason = fmt.Sprintf("this daemon's vote loop has not turned for %v", passed.Round(10*time.Millisecond))
	}
	ag.Voters = slices.Clone(ag.Voters)
	for i := range ag.Voters {
		if v := &ag.Voters[i]; v.Heard >= 0 && v.Name != s.Member {
			v.Heard += passed
		}
	}
	at.Heard = slices.Clone(s.Heard)
	for i := range at.Heard {
		at.Heard[i].Age += passed
	}
	return &at
}

// Epoch is the epoch of the record.
func (s *Situation) Epoch() model.Epoch { return mandate.EpochOf(s.Agreement.Record.Version) }

// VoterNames are all voters of an agreement, heard or not.
func VoterNames(ag *cluster.Agreement) []string {
	var out []string
	for _, v := range ag.Voters {
		out = append(out, v.Name)
	}
	return out
}

// Voices are the views that count: those of the others, and this member's own.
func (s *Situation) Voices() []decide.Voice {
	out := Voices(s.Heard)
	if s.Own != nil && s.OwnAge <= ViewWithin {
		out = append(out, decide.Voice{Member: s.Member, View: s.Own})
	}
	return out
}

// Voices are those of the views that count.
func Voices(heard []Heard) []decide.Voice {
	var out []decide.Voice
	for i := range heard {
		if h := &heard[i]; h.View != nil && Counts(h.Voter, h.Live, h.Age) {
			out = append(out, decide.Voice{Member: h.Member, View: h.View})
		}
	}
	return out
}

// Input is what the decision is a function of.
func (s *Situation) Input() *decide.Input {
	ag := &s.Agreement
	in := &decide.Input{
		Now: s.At, By: s.Member, Record: s.Record, Policy: s.Policy, Recovery: ag.Record.Recovery, Epoch: ag.Record.Epoch,
		Voters: VoterNames(&s.Agreement), Voices: s.Voices(), Review: s.Review, Applied: s.Applied, Untroubled: s.Untroubled,
		MoveAge: s.Want.Age(ag.Record.Version, s.At), Silence: map[string]time.Duration{},
	}
	in.Ages = &decide.Ages{Stayed: in.MoveAge, Old: s.OldMoves}
	if s.Topology != nil {
		in.Order = haproxycfg.Order(s.Topology)
	}
	for _, v := range in.Voters {
		in.Silence[v] = s.At.Sub(s.Born)
	}
	for i := range s.Heard {
		in.Silence[s.Heard[i].Member] = s.Heard[i].Age
	}
	for _, m := range s.Members {
		if m.Witness {
			in.Witnesses = append(in.Witnesses, m.Name)
		}
	}
	return in
}

// EvictInput is what the decision about evictions is a function of, beside that.
func (s *Situation) EvictInput(in *decide.Input) *evict.Input {
	return &evict.Input{Input: in, Mode: s.EvictMode, Old: s.OldEvictions, Last: s.EvictLast}
}

// Readers are those of the members that are live, and what they read.
func Readers(members []cluster.Member) []decide.Reader {
	var out []decide.Reader
	for _, m := range members {
		if m.State != cluster.MemberGone {
			out = append(out, decide.Reader{Member: m.Name, Reads: int(m.Reads)})
		}
	}
	return out
}

// Lowest is the version whose formats may be written: what every voter reads.
func (s *Situation) Lowest() int {
	switch {
	case !s.Started:
		return 0
	case s.Record == nil:
		return 1
	}
	return max(s.Record.Lowest, 1)
}

// Raise is the record with a higher lowest version, nil for none, and what keeps
// the lowest version below this build's, "" for nothing.
func (s *Situation) Raise() (*model.Record, string) {
	if s.Record == nil {
		return nil, ""
	}
	var age time.Duration
	if !s.ReadSince.IsZero() {
		age = s.At.Sub(s.ReadSince)
	}
	return decide.Raise(s.Record, VoterNames(&s.Agreement), Readers(s.Members), age)
}

// Noted is next with the order, as of the revision that it is proposed as.
func Noted(next *model.Record, o model.Order, ag *cluster.Agreement) *model.Record {
	o.Recovery, o.Revision = ag.Record.Recovery, ag.Record.Revision+1
	return next.WithOrder(o)
}
