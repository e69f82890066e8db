package gossip

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"
)

// scale is a simulation of many members in virtual time. It runs this package's
// code for publishing, receiving, queueing and relaying. Of memberlist it models
// the round of gossip (every 100 ms, three random members, up to 1,400 bytes
// each) and the network, which delays, reorders and loses packets. Push/pull is
// left out, so what arrives does so without the repair.
type scale struct {
	all    []*Gossip
	index  map[string]int
	events events
	random *rand.Rand
	loss   float64
	bytes  int
	most   int // queued messages at one member
}

type event struct {
	at    time.Time
	node  int
	inbox []byte // nil: a round of gossip
}

type events []event

func (e events) Len() int           { return len(e) }
func (e events) Less(i, j int) bool { return e[i].at.Before(e[j].at) }
func (e events) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)        { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	old := *e
	last := old[len(old)-1]
	*e = old[:len(old)-1]
	return last
}

// packet sends a packet over the modelled network.
func (s *scale) packet(to string, parts ...[]byte) {
	for _, p := range parts {
		s.bytes += len(p) + 2
	}
	if s.random.Float64() < s.loss {
		return
	}
	at := time.Now().Add(time.Duration(200+s.random.IntN(5000)) * time.Microsecond)
	for _, p := range parts {
		heap.Push(&s.events, event{at: at, node: s.index[to], inbox: p})
	}
}

func (s *scale) SendBestEffort(to *memberlist.Node, message []byte) error {
	s.packet(to.Name, message)
	return nil
}

func (s *scale) SendReliable(to *memberlist.Node, message []byte) error {
	s.packet(to.Name, message)
	return nil
}

func newScale(t *testing.T, members, voters int, loss float64) *scale {
	s := &scale{index: map[string]int{}, random: rand.New(rand.NewPCG(1, 2)), loss: loss}
	states := map[string]*memberState{}
	for i := range members {
		meta := Meta{Name: fmt.Sprintf("px%d", i), Voter: i < voters, Settled: true, Cluster: 1}
		var g *Gossip
		g, err := New(Config{
			Meta: meta, Label: "scale", Bind: "127.0.0.1:0", Deliver: func(Message) {},
			Offered: func(r Record) { g.PublishRecord(r) }, // this owner believes everything
			Status:  func() Status { return Status{Cluster: 1, Voter: meta.Voter, Quorum: true} },
		})
		if err != nil {
			t.Fatal(err)
		}
		g.out = s
		s.index[g.process] = i
		s.all = append(s.all, g)
		states[g.process] = &memberState{
			Member: Member{Meta: meta, Process: g.process, Live: true},
			node:   memberlist.Node{Name: g.process, Addr: net.IPv4(10, 0, byte(i>>8), byte(i)), Port: 7946},
		}
	}
	for i, g := range s.all {
		for p, state := range states {
			g.members[p] = state
		}
		own := *states[g.process]
		own.Self = true
		g.members[g.process] = &own
		(*delegate)(g).lift()
		heap.Push(&s.events, event{at: time.Now().Add(time.Duration(s.random.IntN(100_000)) * time.Microsecond), node: i})
	}
	return s
}

// until runs the simulation until done holds, and reports whether it came to that in time.
func (s *scale) until(limit time.Time, done func() bool) bool {
	var r rivals
	for !done() {
		e := heap.Pop(&s.events).(event)
		if e.at.After(limit) {
			heap.Push(&s.events, e)
			time.Sleep(time.Until(limit))
			return done()
		}
		time.Sleep(time.Until(e.at))
		g := s.all[e.node]
		if e.inbox != nil {
			if err := g.handle(&r, e.inbox); err != nil {
				panic(err)
			}
			select {
			case <-g.publish:
				sent := published{seq: g.ownLocked().held}
				g.publishChanges(&sent)
			default:
			}
			s.most = max(s.most, g.queue.len())
			continue
		}
		for range 3 {
			to := s.all[s.random.IntN(len(s.all))].process
			if parts := (*delegate)(g).GetBroadcasts(2, packetSize-packetOverhead); len(parts) > 0 && to != g.process {
				s.packet(to, parts...)
			}
		}
		e.at = e.at.Add(100 * time.Millisecond)
		heap.Push(&s.events, e)
	}
	return true
}

func (s *scale) knowing(o Order) int {
	n := 0
	for _, g := range s.all {
		if g.record != nil && g.record.Order.Compare(o) >= 0 {
			n++
		}
	}
	return n
}

// TestThousandMembersLearnADecisionWithinASecond: with five voters repeating
// their views all the while, and one packet in twenty lost.
func TestThousandMembersLearnADecisionWithinASecond(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	synctest.Test(t, func(t *testing.T) {
		const members, voters = 1000, 5
		s := newScale(t, members, voters, 0.05)
		value := make([]byte, 700)
		for i := range value {
			value[i] = byte(s.random.Uint32()) // does not compress: the worst case
		}
		beats := func() {
			for i := range voters {
				s.all[i].Publish(fmt.Appendf(nil, "view of %d", i))
				s.all[i].sendView(false)
			}
		}
		for decision := range uint64(3) {
			beats()
			s.until(time.Now().Add(500*time.Millisecond), func() bool { return false })
			beats()
			start, before := time.Now(), s.bytes
			origin := s.all[decision%voters]
			origin.PublishRecord(Record{Cluster: 1, Order: Order{0, decision + 1, decision + 1}, Data: value})
			sent := published{seq: origin.ownLocked().held}
			origin.publishChanges(&sent)
			half := time.Duration(0)
			ok := s.until(start.Add(time.Second), func() bool {
				n := s.knowing(Order{0, decision + 1, decision + 1})
				if n >= members/2 && half == 0 {
					half = time.Since(start)
				}
				return n == members
			})
			took := time.Since(start)
			t.Logf("decision %d: half of %d members after %s, the last after %s; %.1f kB sent per member; %d messages queued at most",
				decision+1, members, half, took, float64(s.bytes-before)/members/1000, s.most)
			if !ok {
				t.Errorf("decision %d: %d of %d members after %s", decision+1, s.knowing(Order{0, decision + 1, decision + 1}), members, took)
			}
		}
		fresh := 0
		for _, v := range s.all[members-1].Views() {
			if v.Voter && time.Since(v.Published) < 1500*time.Millisecond {
				fresh++
			}
		}
		if fresh < voters {
			t.Errorf("the last member has heard %d of %d voters within 1.5 s", fresh, voters)
		}
	})
}
