package register

import (
	"encoding/binary"
	"log/slog"
	"runtime"
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/haproxy-peers/haproxy-peers/cluster/register/state"
)

// A voter whose majority is gone holds what may be the last copy. One sender that
// announces a configuration of which it is the only voter is no majority.
func TestOneSenderDoesNotRemoveTheLastOne(t *testing.T) {
	for _, who := range []string{"a stranger", "a voter"} {
		t.Run(who, func(t *testing.T) {
			s := quietSim(t, 1, 3)
			if r := s.propose(s.hosts[0], "decision"); r == nil || r.Err != nil {
				t.Fatalf("%+v", r)
			}
			s.run(s.now+time.Second, nil)
			h, liar := s.hosts[2], uint64(0xbad)
			if who == "a voter" {
				liar = s.hosts[0].core.Disk
			}
			s.hosts[0].crash()
			s.hosts[1].crash()
			disk := h.core.Disk
			for began := s.now; s.now-began < 30*time.Second; {
				a := h.core.announce()
				a.index, a.leader = a.index+1, liar
				a.conf = &pb.ConfState{Voters: []uint64{liar}, AutoLeave: new(false)}
				a.names = map[uint64]string{liar: "px0"}
				h.receive(forged(h, liar, true, kindAnswer, a.encode(), nil))
				s.run(s.now+150*time.Millisecond, nil)
				if h.core.Disk != disk || h.core.Cluster == 0 {
					t.Fatalf("%s after: it has given up its disk: %s", s.now-began, h.core.Status(h.clock()).Reason)
				}
			}
		})
	}
}

// Two disks that call themselves the later configuration take no voter away from
// the leader that it is in touch with.
func TestALaterConfigurationWaitsForSilence(t *testing.T) {
	s := quietSim(t, 1, 3)
	if r := s.propose(s.hosts[0], "decision"); r == nil || r.Err != nil {
		t.Fatalf("%+v", r)
	}
	s.run(s.now+time.Second, nil)
	h := s.hosts[2]
	if h == s.leader() {
		h = s.hosts[1]
	}
	for began := s.now; s.now-began < 5*time.Second; {
		c := h.core
		last := c.Log.Last()
		m := &pb.Message{
			Type: pb.MsgApp.Enum(), From: new(uint64(0xbad1)), To: new(c.Disk), Term: new(c.term + 1), Index: new(last.Index), LogTerm: new(last.Term),
		}
		forgedEntry(h, m)
		h.receive(forged(h, 0xbad1, true, kindRaft, raftPayload(m), nil))
		for _, from := range []uint64{0xbad1, 0xbad2} {
			a := c.announce()
			a.index, a.leader = a.index+1, 0xbad1
			a.conf = &pb.ConfState{Voters: []uint64{0xbad1, 0xbad2}, AutoLeave: new(false)}
			a.names = map[uint64]string{0xbad1: "px8", 0xbad2: "px9"}
			h.receive(forged(h, from, true, kindAnswer, a.encode(), func(env *envelope) {
				env.known = map[uint64]uint64{factTerm: m.GetTerm()}
			}))
		}
		if r, _ := h.core.known(); r.CommandID != "decision" {
			t.Fatalf("%s after: it believes %s by %q", s.now-began, r.Version, r.CommandID)
		}
		s.run(s.now+50*time.Millisecond, nil)
	}
	s.untilWorks(t, 3*time.Second)
}

// What is bounded for those who prove nothing is bounded for those who do: one
// member gets a stamp under as many disks as it asks with.
func TestProvenStrangersTakeNoMemory(t *testing.T) {
	s := quietSim(t, 1, 3)
	h := s.hosts[0]
	c := h.core
	for i := range uint64(3_000) {
		h.receive(forged(h, 50_000+i, true, kindAsk, []byte{0, 0, 0}, func(env *envelope) { env.sender = "px9" }))
	}
	for what, n := range map[string]int{"contacts": len(c.contacts.disks), "words": len(c.words)} {
		if n > 2*maxStrangers {
			t.Errorf("%d %s", n, what)
		}
	}
	// Members come and go.
	for i := range uint64(3_000) {
		h.do(h.life, func() {
			c.SetMembers(h.clock(), []Member{{Name: "px9", Disk: 90_000 + i, Cluster: c.Cluster}})
			c.Step(h.clock(), forged(h, 90_000+i, false, kindRequest, nil, nil))
		})
	}
	if n := len(c.contacts.disks); n > 2*maxStrangers {
		t.Errorf("%d contacts after members came and went", n)
	}
}

// A number in a message costs nothing that the message does not bear out.
func TestANumberAllocatesNothing(t *testing.T) {
	many := func(b []byte) []byte {
		return append(binary.AppendUvarint(b, 1<<19), make([]byte, 1<<19)...)
	}
	env := envelope{kind: kindAsk, from: 1, to: 2}
	head := env.encode()
	for what, f := range map[string]func(){
		"counts": func() {
			// Everything up to the counts, of which there are half a million.
			b := append(head[:35:35], 0, 0, 0)
			_, _ = decodeEnvelope(summed(many(b)))
		},
		"names": func() {
			var names map[uint64]string
			_ = state.Unmarshal(many(nil), func(c *state.Codec) { c.Names(&names) })
		},
		"done": func() {
			b := state.Marshal(func(c *state.Codec) { c.Format(1); c.Record(&Record{}) })
			_, _ = state.DecodeMachine(many(b))
		},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 8<<20 {
			t.Errorf("%s: half a megabyte costs %d MiB", what, n>>20)
		}
	}
}

func summed(b []byte) []byte {
	s := checksum(b)
	return append(b, byte(s), byte(s>>8), byte(s>>16), byte(s>>24))
}

// What waits while a node is held up is bounded in bytes, too.
func TestInboxHoldsFewBytes(t *testing.T) {
	n, err := New(Config{Name: "px0", Dir: t.TempDir(), InitialVoters: []string{"px0"}, Transport: testPort{&testNet{}, "px0"}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer n.disk.Close()
	for range 2 * inboxSize {
		n.Receive(make([]byte, 200<<10))
		n.Receive(make([]byte, 1<<20))
	}
	held := 0
	for range len(n.inbox) {
		held += len(<-n.inbox)
	}
	if held == 0 || held > inboxBytes {
		t.Errorf("%d MiB wait", held>>20)
	}
}

// liesAbout makes from say at h that conf has come after h's own configuration.
func liesAbout(h *simHost, from uint64, voters []uint64, edit func(env *envelope)) []byte {
	a := h.core.announce()
	a.index, a.leader = a.index+1, from
	a.conf = &pb.ConfState{Voters: voters, AutoLeave: new(false)}
	a.names = map[uint64]string{}
	for _, id := range voters {
		a.names[id] = h.core.nameOf(id)
	}
	return forged(h, from, true, kindAnswer, a.encode(), edit)
}

// A witness that announces a configuration of itself and the suspect alone is no
// majority: where one voter is away the suspect stays suspended, with its disk.
func TestAWitnessMakesNoJury(t *testing.T) {
	s := quietSim(t, 1, 3)
	s.run(s.now+time.Second, nil)
	h, liar := s.hosts[2], s.hosts[1].core.Disk
	s.hosts[0].crash()
	s.hosts[1].crash()
	disk := h.core.Disk
	for began := s.now; s.now-began < 15*time.Second; {
		h.receive(liesAbout(h, liar, []uint64{liar, disk}, func(env *envelope) { env.seen = h.core.Promises + 1 }))
		s.run(s.now+100*time.Millisecond, nil)
		if h.core.Disk != disk {
			t.Fatalf("%s after: it has given up its disk", s.now-began)
		}
	}
	if h.core.doubt == nil {
		t.Error("it is not suspended")
	}
}

// After a start nobody makes a voter promise anything by announcing that it has
// become the only one, nor a stranger by saying so of itself and the voter.
func TestAnAnnouncementConfirmsNoStart(t *testing.T) {
	s := quietSim(t, 1, 3)
	s.run(s.now+time.Second, nil)
	h, liar := s.hosts[2], uint64(0xbad)
	for _, o := range s.hosts {
		o.crash()
	}
	h.start()
	for range 20 {
		for _, voters := range [][]uint64{{h.core.Disk}, {liar, h.core.Disk}} {
			h.receive(liesAbout(h, liar, voters, nil))
			if h.core.confirmed {
				t.Fatalf("confirmed by one stranger that announces %x", voters)
			}
		}
		s.run(s.now+100*time.Millisecond, nil)
	}
}

// A member that is there and cannot be heard is admitted once in a while, and not
// twenty times a second for as long as that lasts.
func TestAdmissionThatFailsIsNotRepeatedAtOnce(t *testing.T) {
	s := newSim(simOptions{seed: 1, voters: 3, extra: 1})
	s.loss, s.dup, s.slow = 0, 0, 0
	for _, h := range s.hosts[:3] {
		h.start()
	}
	s.run(5*time.Second, nil)
	mute := s.hosts[3]
	s.drop = func(from, _ *simHost, _ *envelope) bool { return from == mute }
	mute.start()
	lead := s.leader()
	before := lead.core.counters.ConfigChanges
	s.run(s.now+35*time.Second, nil)
	if s.leader() != lead {
		t.Fatal("another leader")
	}
	if n := lead.core.counters.ConfigChanges - before; n == 0 || n > 40 {
		t.Errorf("%d changes of the configuration in 35 s for a member that is not heard", n)
	}
	s.drop = nil
	s.run(s.now+30*time.Second, nil)
	if got := voterNames(lead); len(got) != 4 {
		t.Errorf("the voters are %v", got)
	}
}

// The only voter has nobody who could outvote a witness. Once that one has gone,
// it goes on by itself, after a start, too.
func TestTheOnlyVoterOutlivesAWitness(t *testing.T) {
	s := quietSim(t, 1, 1)
	if r := s.propose(s.hosts[0], "decision"); r == nil || r.Err != nil {
		t.Fatalf("%+v", r)
	}
	h := s.hosts[0]
	disk := h.core.Disk
	for range 20 {
		a := h.core.announce()
		h.receive(forged(h, 0xbad, true, kindAnswer, a.encode(), func(env *envelope) { env.commit, env.seen = 1<<40, h.core.Promises+1 }))
		s.run(s.now+100*time.Millisecond, nil)
	}
	if h.core.doubt == nil {
		t.Error("it was not suspended")
	}
	for range 2 {
		s.untilWorks(t, 15*time.Second)
		if h.core.Disk != disk {
			t.Fatal("its disk is given up")
		}
		s.run(s.now+2*time.Second, nil) // that it goes on is written down
		h.crash()
		h.start()
	}
}

// Neither what a lone voter announces far ahead nor how fresh it then calls itself
// counts for a follower that has lost its majority.
func TestAFollowerBelievesNoLeapOfALoneVoter(t *testing.T) {
	leads := func(v *view) uint64 { return v.leader }
	first := func(v *view) uint64 { return v.conf.GetVoters()[0] }
	for _, ahead := range []uint64{0, 1 << 40} {
		testLoneVoter(t, ahead, first)
		testLoneVoter(t, ahead, leads)
	}
}

func testLoneVoter(t *testing.T, ahead uint64, who func(*view) uint64) {
	t.Helper()
	s, f := followerSim(t)
	liar := s.hosts[0]
	before, _ := f.core.known()
	at := f.core.fresh.at
	for _, h := range s.hosts {
		if h != f {
			h.crash()
		}
	}
	for began := s.now; s.now-began < 8*time.Second; {
		f.do(f.life, func() {
			f.core.SetMembers(f.clock(), []Member{{Name: liar.name, Disk: f.core.Disk + 1}, {Name: "px0", Disk: who(f.core.view), Cluster: f.core.view.cluster, Voter: true}})
		})
		v := f.core.view
		from := who(v)
		a := v.announcement
		a.index, a.leader = v.index+ahead, from
		a.record = Record{Version: Version{Epoch: 1 << 40, Revision: 1 << 40}, CommandID: "attacker", Value: []byte("attacker")}
		f.receive(forged(f, from, true, kindAnswer, a.encode(), func(env *envelope) {
			env.scope = v.scope
		}))
		if r, _ := f.core.known(); r.CommandID != before.CommandID {
			t.Fatalf("%s after: it believes %s by %q", s.now-began, r.Version, r.CommandID)
		}
		s.run(s.now+100*time.Millisecond, nil)
	}
	if f.core.fresh.at > at {
		t.Errorf("fresh %s later, by the word of one that says what cannot be", f.core.fresh.at-at)
	}
}

// Nor does one count that calls itself the only voter that is left, as far as it leaps.
func TestAFollowerBelievesNoLeapOfTheOnlyVoter(t *testing.T) {
	s, f := followerSim(t)
	for _, h := range s.hosts {
		if h != f {
			h.crash()
		}
	}
	v := f.core.view
	from := v.conf.GetVoters()[0]
	for began := s.now; s.now-began < 15*time.Second; {
		f.do(f.life, func() {
			f.core.SetMembers(f.clock(), []Member{{Name: "px0", Disk: from, Cluster: v.cluster, Voter: true}})
		})
		a := v.announcement
		a.index, a.leader = a.index+1, from
		a.conf = &pb.ConfState{Voters: []uint64{from}, AutoLeave: new(false)}
		a.record.Version.Epoch, a.record.CommandID = 1<<40, "attacker"
		f.says(from, &a, nil)
		if r, _ := f.core.known(); r.CommandID != "decision" {
			t.Fatalf("%s after: it believes %s by %q", s.now-began, r.Version, r.CommandID)
		}
		s.run(s.now+100*time.Millisecond, nil)
	}
}

// One message in the leader's name says that another voter has promised more than
// it has. It is not noted: that voter would be told so, honestly, for ever. Nor are
// two, with what the leader itself says between them.
func TestNoOneMessageMakesALeaderSlander(t *testing.T) {
	for _, messages := range []int{1, 2} {
		s, lead, a, b := three(t, 1)
		s.decide(t, lead, "first")
		s.run(s.now+time.Second, nil)
		before := a.core.Seen[b.core.Disk]
		for range messages {
			m := &pb.Message{Type: pb.MsgHeartbeat.Enum(), From: new(lead.core.Disk), To: new(a.core.Disk), Term: new(a.core.term)}
			a.receive(forged(a, lead.core.Disk, true, kindRaft, raftPayload(m), func(env *envelope) {
				env.known = map[uint64]uint64{b.core.Disk: before + 1}
			}))
			s.run(s.now+time.Second, func() bool { return b.core.doubt != nil })
		}
		if got := a.core.Seen[b.core.Disk]; got != before || b.core.doubt != nil {
			t.Errorf("%d messages: noted %d, not %d; suspended: %v", messages, got, before, b.core.doubt != nil)
		}
		s.decide(t, b, "second")
	}
}

// Who does not lead says nothing of others' promises, as often as it may.
func TestTheLeaderAloneSpeaksOfOthersPromises(t *testing.T) {
	s, lead, a, b := three(t, 1)
	s.decide(t, lead, "first")
	s.run(s.now+time.Second, nil)
	before := a.core.Seen[lead.core.Disk]
	for range 3 {
		a.receive(forged(a, b.core.Disk, true, kindAsk, []byte{0, 0, 0}, func(env *envelope) {
			env.known = map[uint64]uint64{lead.core.Disk: before + 1}
		}))
	}
	if got := a.core.Seen[lead.core.Disk]; got != before {
		t.Errorf("noted %d, not %d", got, before)
	}
}

// A copy of the time when a disk was the only voter meets a voter of later, which
// knows better and is then away for longer than 5 s. It stays suspended, over a start too.
func TestTheOnlyVoterWaitsForAKnownWitness(t *testing.T) {
	for _, after := range []string{"", "a start"} {
		s := newSim(simOptions{seed: 1, voters: 1, extra: 1})
		s.loss, s.dup, s.slow = 0, 0, 0
		first, later := s.hosts[0], s.hosts[1]
		first.start()
		s.run(3*time.Second, nil)
		old := first.disk.simFile
		later.start()
		s.run(s.now+30*time.Second, func() bool { return len(voterNames(first)) == 2 })
		s.decide(t, first, "of both")
		s.run(s.now+time.Second, nil)
		first.crash()
		s.restore(first, old)
		first.start()
		s.run(s.now+4*time.Second, func() bool { return first.core.doubt != nil && first.core.doubt.repeated })
		s.run(s.now+300*time.Millisecond, nil)
		later.crash()
		if after != "" {
			first.crash()
			first.start()
		}
		s.run(s.now+20*time.Second, nil)
		if first.core.doubt == nil || s.excused != 0 {
			t.Errorf("%s: it goes on with what it has forgotten; %d copies excused", after, s.excused)
		}
	}
}
