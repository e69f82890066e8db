package register

import (
	"errors"
	"fmt"
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
)

// One message, under whatever name and to whomever, even one that a voter itself
// has sent, costs nobody its disk, commits nothing, moves no term far, and what
// is decided stays decided, over a restart, too.
func TestOneSenderIsNeverEnough(t *testing.T) {
	for _, a := range attacks() {
		for _, who := range []string{"a stranger", "another voter's name", "a voter", "the leader"} {
			t.Run(a.name+"/"+who, func(t *testing.T) {
				t.Parallel()
				s := quietSim(t, 1, 3)
				if r := s.propose(s.hosts[0], "decision"); r == nil || r.Err != nil {
					t.Fatalf("%+v", r)
				}
				s.run(s.now+time.Second, nil)
				term := s.leader().core.term
				disks := map[string]uint64{}
				leader := s.leader().core.Disk
				for _, h := range s.hosts {
					disks[h.name] = h.core.Disk
				}
				for i, h := range s.hosts {
					from := s.hosts[(i+1)%3].core.Disk
					switch who {
					case "a stranger":
						from = 0xbad
					case "the leader":
						if from = leader; from == h.core.Disk {
							continue
						}
					}
					proof := who == "a voter" || who == "the leader"
					if proof && from == leader && a.name == leadsNow {
						// That is what leading is.
						continue
					}
					var edit func(*envelope)
					if a.edit != nil {
						edit = a.edit(h)
					}
					h.receive(forged(h, from, proof, a.kind, a.make(h, from), edit))
				}
				check := func(when string) {
					t.Helper()
					for _, h := range s.hosts {
						c := h.core
						if c.Disk != disks[h.name] || c.counters.LostDisks > 0 {
							t.Errorf("%s %s: its disk is given up: %s", when, h.name, c.Status(h.clock()).Reason)
						}
						r, _ := c.known()
						if r.CommandID != "decision" || string(r.Value) != "decision" {
							t.Errorf("%s %s: knows %s %q by %q", when, h.name, r.Version, r.Value, r.CommandID)
						}
						if c.term > term+10 || c.failed != nil || c.Log.Hard.GetTerm() > term+10 {
							t.Errorf("%s %s: term %d after %d, failed %v", when, h.name, c.term, term, c.failed)
						}
					}
				}
				s.run(s.now+300*time.Millisecond, nil)
				check("at once")
				s.untilWorks(t, 3*time.Second)
				check("later")
				for _, h := range s.hosts {
					h.crash()
				}
				for _, h := range s.hosts {
					h.start()
				}
				s.untilWorks(t, 3*time.Second)
				check("after a restart")
			})
		}
	}
}

// A single voter that goes on saying that another one has forgotten suspends it
// for a moment at most, and takes nothing from it.
func TestOneWitnessOnlySuspends(t *testing.T) {
	s := quietSim(t, 1, 3)
	h := s.hosts[2]
	if h == s.leader() {
		h = s.hosts[1]
	}
	from, disk := s.leader().core.Disk, h.core.Disk
	began := s.now
	suspended := 0
	for s.now-began < 20*time.Second {
		h.receive(forged(h, from, true, kindAsk, []byte{0, 0, 0}, func(env *envelope) { env.seen = 1 << 20 }))
		if h.core.doubt != nil {
			suspended++
			if st := h.core.Status(h.clock()); st.Voting {
				t.Fatalf("it votes while suspended: %+v", st)
			}
		}
		s.run(s.now+100*time.Millisecond, nil)
		if h.core.doubt != nil {
			t.Fatalf("%s after the word of one: still suspended: %s", s.now-began, h.core.Status(h.clock()).Reason)
		}
	}
	if h.core.Disk != disk || !s.works() {
		t.Errorf("disk %x, was %x: %s", h.core.Disk, disk, s.describe())
	}
	if suspended == 0 || suspended > 3 {
		t.Errorf("suspended %d times in 20 s by one witness that nobody confirms", suspended)
	}
}

// Two of three say so: that is a majority, without its own word.
func TestAMajorityMakesItGiveUpItsDisk(t *testing.T) {
	s := quietSim(t, 1, 3)
	h := s.hosts[2]
	if h == s.leader() {
		h = s.hosts[1]
	}
	disk := h.core.Disk
	h.forgetful = disk // for the judge: what it is told is true
	for _, o := range s.hosts {
		if o != h {
			o.core.Seen[disk] = h.core.Promises + 1
		}
	}
	s.run(s.now+5*time.Second, func() bool { return h.core.Disk != disk })
	if h.core.Disk == disk || h.core.counters.LostDisks != 1 {
		t.Fatalf("kept: %s", h.core.Status(h.clock()).Reason)
	}
	s.untilWorks(t, 10*time.Second)
}

// One says so and the other one is not there: it stays suspended, says why, and
// does so after a start at which nobody is there, too.
func TestUndecidedStaysSuspended(t *testing.T) {
	s := quietSim(t, 1, 3)
	h := s.hosts[2]
	if h == s.leader() {
		h = s.hosts[1]
	}
	witness := s.leader()
	for _, o := range s.hosts {
		if o != h && o != witness {
			o.crash()
		}
	}
	disk := h.core.Disk
	witness.core.Seen[disk] = h.core.Promises + 1
	s.run(s.now+20*time.Second, nil)
	for range 2 {
		st := h.core.Status(h.clock())
		if st.Voting || st.Disk != disk || h.core.doubt == nil {
			t.Fatalf("voting %v, disk %x, was %x: %s", st.Voting, st.Disk, disk, st.Reason)
		}
		t.Log(st.Reason)
		witness.crash()
		h.crash()
		h.start()
		s.run(s.now+10*time.Second, nil)
	}
}

// What is recorded and sent again later does nothing: neither the removal that
// an operator has once ordered, nor a command, nor a leave.
func TestOldRequestsAreNothing(t *testing.T) {
	for _, later := range []time.Duration{20 * time.Second, time.Hour} {
		testOldRequests(t, later)
	}
}

func testOldRequests(t *testing.T, later time.Duration) {
	for _, req := range []request{
		{id: 99, op: opRemove, name: "px2"}, {id: 99, op: opLeave},
		{id: 99, op: opCommand, command: Command{ID: "old", NewEpoch: true, Value: []byte("old")}}, {id: 99, op: opRead},
	} {
		s := newSim(simOptions{seed: 1, voters: 3})
		s.loss, s.dup, s.slow = 0, 0, 0
		for _, h := range s.hosts {
			h.start()
		}
		s.run(3*time.Second, nil)
		lead := s.leader()
		if lead == s.hosts[2] {
			t.Fatal("px2 leads")
		}
		h := s.hosts[1]
		if h == lead {
			h = s.hosts[0]
		}
		var captured []byte
		h.do(h.life, func() { captured = h.core.envelopeTo(lead.core.Disk, kindRequest, req.encode()).encode() })
		s.run(s.now+later, nil)
		if s.leader() != lead {
			t.Fatal("another leader")
		}
		s.hosts[2].crash()
		s.run(s.now+3500*time.Millisecond, nil)
		for range 4 {
			lead.receive(captured)
			s.run(s.now+300*time.Millisecond, nil)
		}
		s.run(s.now+5*time.Second, nil)
		if got := voterNames(lead); len(got) != 3 || lead.core.Machine.Record.Revision != 0 {
			t.Errorf("op %d: voters %v, record %s", req.op, got, lead.core.Machine.Record.Version)
		}
	}
}

// A member's first request to a leader that it has not heard of for long costs a
// round trip more, and is served.
func TestStaleEchoCostsARoundTrip(t *testing.T) {
	s := newSim(simOptions{seed: 1, voters: 3, extra: 1})
	s.loss, s.dup, s.slow = 0, 0, 0
	for _, h := range s.hosts {
		h.start()
	}
	s.run(5*time.Second, nil)
	h := s.hosts[3]
	if h.core.Cluster != 0 {
		h = s.hosts[1]
	}
	lead := s.leader().core.Disk
	k := h.core.contacts.disks[lead]
	k.stamp -= uint64(time.Hour / time.Microsecond)
	h.core.contacts.disks[lead] = k
	began := s.now
	if r := s.propose(h, "one"); r == nil || r.Err != nil {
		t.Fatalf("%+v", r)
	}
	if took := s.now - began; took > 150*time.Millisecond {
		t.Errorf("took %s", took)
	}
}

// A command that this version cannot read takes the member out of the vote: it
// must not go on with a state that those who can read it do not have.
func TestAnUnreadableCommandStopsTheVoter(t *testing.T) {
	s := quietSim(t, 1, 3)
	lead := s.leader()
	newer := append([]byte{2}, Command{ID: "x", Value: []byte("v")}.Encode()[1:]...)
	lead.do(lead.life, func() {
		if err := lead.core.node.Propose(newer); err != nil {
			t.Fatal(err)
		}
		lead.core.pump()
	})
	s.run(s.now+time.Second, nil)
	for _, h := range s.hosts {
		st := h.core.Status(h.clock())
		if st.State != StateStopped || st.Voting || !errors.Is(h.core.failed, errUnreadable) {
			t.Errorf("%s: %s, voting %v, %v", h.name, st.State, st.Voting, h.core.failed)
		}
		if h.core.Revivable() {
			t.Error("a write that works again makes it vote")
		}
	}
	t.Log(lead.core.failed)
	for _, h := range s.hosts {
		h.crash()
	}
	for _, h := range s.hosts {
		h.start()
	}
	s.run(s.now+5*time.Second, nil)
	// Who commits it again stops again; then there is no majority.
	stopped := 0
	for _, h := range s.hosts {
		if h.core.failed != nil {
			stopped++
		} else if h.core.Status(h.clock()).Fresh {
			t.Errorf("%s goes on without the command", h.name)
		}
	}
	if stopped < 2 {
		t.Errorf("%d of 3 stopped after a restart", stopped)
	}
}

// What strangers send takes no memory.
func TestStrangersTakeNoMemory(t *testing.T) {
	s := quietSim(t, 1, 3)
	h := s.hosts[0]
	c := h.core
	for i := range uint64(3_000) {
		h.receive(forged(h, 1000+i, false, kindAsk, []byte{0, 0, 0}, func(env *envelope) {
			env.sender, env.promises = fmt.Sprint("stranger", i), 5
			env.known = map[uint64]uint64{5000 + i: 1}
		}))
		h.receive(forged(h, 50_000+i, true, kindRaft, raftPayload(&pb.Message{
			Type: pb.MsgHeartbeat.Enum(), From: new(50_000 + i), To: new(c.Disk), Term: new(c.term + 1),
		}), nil))
	}
	for what, n := range map[string]int{
		"contacts": len(c.contacts.disks), "joined": len(c.founding.joined),
		"words": len(c.words), "claims": len(c.claims), "counts": len(c.Seen), "confirmations": len(c.confirmedBy), "dismissed": len(c.dismissed),
	} {
		if n > 2*maxStrangers {
			t.Errorf("%d %s", n, what)
		}
	}
	s.untilWorks(t, 3*time.Second)
}
