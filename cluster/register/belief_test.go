package register

import (
	"fmt"
	"math"
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/haproxy-peers/haproxy-peers/cluster/register/state"
)

// followerSim is a cluster of three with a follower, px5, that is not willing
// to vote: five voters would take it in else.
func followerSim(t *testing.T) (*sim, *simHost) {
	t.Helper()
	s := newSim(simOptions{seed: 1, voters: 5, extra: 1})
	s.loss, s.dup, s.slow = 0, 0, 0
	for _, h := range s.hosts {
		h.start()
	}
	s.run(5*time.Second, nil)
	s.untilWorks(t, 5*time.Second)
	if r := s.propose(s.hosts[0], "decision"); r == nil || r.Err != nil {
		t.Fatalf("%+v", r)
	}
	s.run(s.now+2*time.Second, nil)
	f := s.hosts[5]
	if f.core.Cluster != 0 || f.core.view == nil {
		t.Fatalf("px5 is no follower: %s", s.describe())
	}
	return s, f
}

// A member that does not vote believes what the leader or a majority of the
// voters says when it asks them, and no announcement, whoever sends it; and one
// that was invented keeps no true one from being known.
func TestAFollowerBelievesNoOneSender(t *testing.T) {
	for _, largest := range []uint64{7, 1 << 40, math.MaxUint64} {
		for _, who := range []string{"a stranger", "a voter's name", "a voter"} {
			for _, k := range []kind{kindAnswer, kindAnnounce} {
				t.Run(fmt.Sprintf("%x/%s/%d", largest, who, k), func(t *testing.T) {
					s, f := followerSim(t)
					v := f.core.view
					from := s.hosts[1].core.Disk
					if from == v.leader {
						from = s.hosts[2].core.Disk
					}
					if who == "a stranger" {
						from = 0xbad
					}
					a := v.announcement
					a.index, a.leader = largest, from
					a.record = Record{Version: Version{Epoch: largest, Revision: largest}, Value: []byte("attacker"), CommandID: "attacker"}
					invented := a
					invented.conf, invented.names = &pb.ConfState{Voters: []uint64{from}, AutoLeave: new(false)}, map[uint64]string{from: "px1"}
					for _, a := range []announcement{a, invented} {
						f.receive(forged(f, from, who == "a voter", k, a.encode(), func(env *envelope) {
							env.scope = v.scope
						}))
						f.receive(forged(f, from, who == "a voter", k, a.encode(), func(env *envelope) { env.cluster, env.generation = 0xdead, 0 }))
						later := a
						later.record.Recovery = 9
						f.receive(forged(f, from, who == "a voter", k, later.encode(), func(env *envelope) { env.cluster, env.generation = v.cluster, 9 }))
					}
					check := func() {
						t.Helper()
						if r, _ := f.core.known(); string(r.Value) == "attacker" || f.core.view.cluster != v.cluster {
							t.Fatalf("it believes %s %q of cluster %x", r.Version, r.Value, f.core.view.cluster)
						}
					}
					check()
					s.run(s.now+time.Second, nil)
					check()
					if r := s.propose(s.hosts[0], "second"); r == nil || r.Err != nil {
						t.Fatalf("%+v", r)
					}
					s.run(s.now+1500*time.Millisecond, nil)
					if r, _ := f.core.known(); r.CommandID != "second" {
						t.Fatalf("it does not learn what was decided after that: %s by %q", r.Version, r.CommandID)
					}
					s.untilWorks(t, 2*time.Second)
				})
			}
		}
	}
}

// Who knows nothing yet asks the voters that it sees: one that has made up a
// cluster is not believed while three belong to another.
func TestANewcomerBelievesTheMajority(t *testing.T) {
	s := quietSim(t, 1, 3)
	n := &simHost{s: s, name: "px7", down: true}
	liar := Member{Name: "px6", Disk: 0xbad, Cluster: 0xdead, Voter: true}
	s.hosts = append(s.hosts, n)
	n.start()
	members := []Member{liar}
	for _, h := range s.hosts[:3] {
		members = append(members, h.core.Self())
	}
	n.do(n.life, func() { n.core.SetMembers(n.clock(), members) })
	a := announcement{
		leader: 0xbad, index: 1 << 20, conf: &pb.ConfState{Voters: []uint64{0xbad}}, names: map[uint64]string{0xbad: "px6"},
		record: Record{Version: Version{Revision: 1 << 20}, Value: []byte("attacker"), CommandID: "attacker"},
	}
	n.receive(forged(n, 0xbad, true, kindAnswer, a.encode(), func(env *envelope) { env.cluster = 0xdead }))
	if n.core.view != nil {
		t.Fatalf("it believes %+v", n.core.view)
	}
	n.receive(forged(n, 0xbad, true, kindRaft, raftPayload(&pb.Message{
		Type: pb.MsgHeartbeat.Enum(), From: new(uint64(0xbad)), To: new(n.core.Disk), Term: new(uint64(9)),
	}), func(env *envelope) { env.cluster = 0xdead }))
	s.run(s.now+300*time.Millisecond, nil)
	if c := n.core.scope().cluster; c != s.hosts[0].core.Cluster {
		t.Errorf("it follows %x, not the three", c)
	}
}

// An offer is believed from who has proved itself alone: by an empty initial
// voter, and by a voter that is out of touch with its majority.
func TestAnOfferThatNobodyProvesIsNothing(t *testing.T) {
	s := newSim(simOptions{seed: 1, voters: 3})
	s.loss, s.dup, s.slow = 0, 0, 0
	h := s.hosts[0]
	h.start()
	s.run(time.Second, nil)
	o := offer{conf: &pb.ConfState{Voters: []uint64{77, h.core.Disk}}, machine: state.Machine{Names: map[uint64]string{77: "px1", h.core.Disk: "px0"}}}
	h.receive(forged(h, 77, false, kindOffer, o.encode(), func(env *envelope) { env.cluster = 5 }))
	if s.run(s.now+time.Second, nil); h.core.Cluster != 0 {
		t.Error("an empty voter takes an offer that nobody has proved")
	}
	s = quietSim(t, 1, 3)
	h = s.hosts[2]
	for _, other := range s.hosts[:2] {
		other.crash()
	}
	s.run(s.now+10*time.Second, nil)
	from := s.hosts[0].core.Disk
	o = offer{conf: &pb.ConfState{Voters: []uint64{from, h.core.Disk}}, machine: state.Machine{
		Names: map[uint64]string{from: "px0", h.core.Disk: "px2"}, Record: Record{Version: Version{Recovery: 1}},
	}}
	h.receive(forged(h, from, false, kindOffer, o.encode(), func(env *envelope) { env.generation, env.origin = 1, 5 }))
	if s.run(s.now+time.Second, nil); h.core.Generation != 0 {
		t.Error("a voter without its majority takes a recovery that nobody has proved")
	}
}

// A disk's stamp says nothing about another disk's, nor does it grow old well.
func TestEchoes(t *testing.T) {
	s := quietSim(t, 1, 3)
	c := s.hosts[0].core
	k := &c.contacts
	one, two := s.hosts[1].core.Disk, s.hosts[2].core.Disk
	env := envelope{from: one, echo: k.stampFor(one, c.now)}
	if _, ok := k.echoed(&env, c.now); !ok {
		t.Error("its own stamp proves nothing")
	}
	env.from = two
	if _, ok := k.echoed(&env, c.now); ok {
		t.Error("one disk's stamp proves another one")
	}
	env = envelope{from: one, echo: k.stampFor(one, c.now)}
	for _, age := range []time.Duration{echoFor, provenFor} {
		if env.echo = k.stampFor(one, c.now) - uint64((age+time.Second)/time.Microsecond); c.now > age {
			if p := k.prove(&env, c.now); p.recent {
				t.Errorf("a stamp of %s ago counts as one of now", age)
			}
		}
	}
	if env.echo = k.stampFor(one, c.now) + uint64(time.Second/time.Microsecond); k.prove(&env, c.now).proven {
		t.Error("a stamp that was not sent yet proves something")
	}
}
