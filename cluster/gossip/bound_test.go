package gossip

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func newQuiet(t *testing.T, change func(*Config)) *Gossip {
	t.Helper()
	cfg := Config{
		Meta: Meta{Name: "px0"}, Label: "test", Bind: "127.0.0.1:0",
		Deliver: func(Message) {}, Status: func() Status { return Status{} },
	}
	if change != nil {
		change(&cfg)
	}
	g, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *Gossip) takeIn(t *testing.T, b []byte) {
	t.Helper()
	if err := g.handle(&rivals{self: g.process}, b); err != nil {
		t.Fatal(err)
	}
}

// nodeOf is a member as memberlist tells of it.
func nodeOf(process string, meta Meta) *memberlist.Node {
	return &memberlist.Node{Name: process, Addr: net.IPv4(192, 0, 2, 1).To4(), Port: 7946, Meta: meta.encode()}
}

// TestInventedProcessesLeaveNothing: no view of a process that is no member is
// kept beyond a moment and a number.
func TestInventedProcessesLeaveNothing(t *testing.T) {
	g := newQuiet(t, nil)
	data := bomb(viewLimit)
	for i := range 1000 {
		h := Header{Name: "x", Process: fmt.Sprintf("x-%08x", i), Seq: 1, DataSeq: 1}
		g.takeIn(t, encodeView(h, data, true, 0))
	}
	if n := len(g.Views()); n != 0 {
		t.Errorf("%d views of invented processes", n)
	}
	if n := len(g.early); n > earlyViews {
		t.Errorf("%d wait", n)
	}
	g.forget(time.Now().Add(earlyFor + time.Second))
	if n := len(g.early); n != 0 {
		t.Errorf("%d wait for ever", n)
	}
}

// TestEarlyViewWaitsForItsMember: a view may overtake the news of its process.
func TestEarlyViewWaitsForItsMember(t *testing.T) {
	g := newQuiet(t, nil)
	h := Header{Name: "px1", Process: "px1-00000001", Seq: 1, DataSeq: 1}
	g.takeIn(t, encodeView(h, g.packer.pack([]byte("early")), true, 3*time.Second))
	(*delegate)(g).NotifyJoin(nodeOf(h.Process, Meta{Name: "px1"}))
	g.takeIn(t, <-g.inbound)
	views := g.Views()
	if len(views) != 1 || string(views[0].Data) != "early" || time.Since(views[0].Published) < 3*time.Second {
		t.Fatalf("%+v", views)
	}
}

// TestViewsShareABudget: members that come later, invented ones, take nothing
// from those that were there, and no view is larger than its limit.
func TestViewsShareABudget(t *testing.T) {
	g := newQuiet(t, nil)
	join := func(i int) Header {
		p := fmt.Sprintf("px1-%08x", i)
		(*delegate)(g).NotifyJoin(nodeOf(p, Meta{Name: "px1"}))
		return Header{Name: "px1", Process: p, Seq: 1, DataSeq: 1}
	}
	first := join(0)
	g.takeIn(t, encodeView(first, g.packer.pack([]byte("true")), true, 0))
	large := g.packer.pack(make([]byte, viewLimit))
	for i := 1; i < 400; i++ {
		g.takeIn(t, encodeView(join(i), large, true, 0))
	}
	held, kept := 0, false
	for _, v := range g.Views() {
		held += len(v.Data)
		kept = kept || (v.Process == first.Process && string(v.Data) == "true")
	}
	if held > viewsBudget || held < viewsBudget/2 {
		t.Errorf("%d bytes are held", held)
	}
	if !kept {
		t.Error("the true member's is gone")
	}
	g.takeIn(t, encodeView(join(1000), bomb(viewLimit+1), true, 0))
	for _, v := range g.Views() {
		if v.Process == "px1-000003e8" && v.Data != nil {
			t.Error("a view above the limit is held")
		}
	}
	for _, item := range g.queue.items {
		if len(item.message) > packetSize {
			t.Errorf("a message of %d bytes is queued", len(item.message))
		}
	}
	if item := g.relayedLocked(&viewEntry{header: first, packed: make([]byte, 5000), held: 1}, true); len(item.message) > packetSize {
		t.Errorf("a message of %d bytes would wait for a packet that has room", len(item.message))
	}
}

// TestForgedNumberDoesNotSilence: one publication with a number far ahead is
// held; and where it was the first, the process is heard again.
func TestForgedNumberDoesNotSilence(t *testing.T) {
	start := time.Unix(1000, 0)
	h := func(seq uint64) Header { return Header{Name: "px1", Process: "px1-00000001", Seq: seq, DataSeq: seq} }
	take := func(s viewStore, at time.Duration, h Header, age time.Duration) {
		if now := start.Add(at); !s.hold(now, h, age) {
			if _, err := s.merge(now, h, fmt.Append(nil, h.Seq), true, age, plain); err != nil {
				t.Fatal(err)
			}
		}
	}
	s := viewStore{}
	take(s, 0, h(5), 0)
	take(s, 100*time.Millisecond, h(maxCounter), 0)
	take(s, 500*time.Millisecond, h(6), 0)
	if v := s.list("")[0]; v.Seq != 6 || string(v.Data) != "6" {
		t.Errorf("after a leap: %+v", v)
	}
	// The forged one came first, and once more in between.
	s = viewStore{}
	take(s, 0, h(maxCounter-9), 0)
	for i := range uint64(6) {
		take(s, time.Duration(i+1)*500*time.Millisecond, h(10+i), 0)
	}
	if v := s.list("")[0]; v.Seq != 15 || string(v.Data) != "15" {
		t.Errorf("after a forged first one: %+v", v)
	}
	// Old ones that relays bring late are no numbering of their own.
	s = viewStore{}
	take(s, 0, h(20), 0)
	for i := range uint64(10) {
		take(s, time.Duration(i+3)*time.Second, h(5+i), time.Duration(i+4)*time.Second)
	}
	if v := s.list("")[0]; v.Seq != 20 || s[h(1).Process].side.times != 0 {
		t.Errorf("after late ones: %+v", v)
	}
}

// TestHeldViewsAreCounted: what is held is not shown, and is counted.
func TestHeldViewsAreCounted(t *testing.T) {
	g := newQuiet(t, nil)
	h := Header{Name: "px1", Process: "px1-00000001", Seq: 1, DataSeq: 1}
	(*delegate)(g).NotifyJoin(nodeOf(h.Process, Meta{Name: "px1"}))
	g.takeIn(t, encodeView(h, g.packer.pack([]byte("true")), true, 0))
	h.Seq, h.DataSeq = 1<<40, 1<<40
	g.takeIn(t, encodeView(h, g.packer.pack([]byte("forged")), true, 0))
	if v := g.Views()[0]; string(v.Data) != "true" || testutil.ToFloat64(g.metrics.dropped.WithLabelValues(ReasonHeld)) != 1 {
		t.Errorf("%+v", v)
	}
}

// TestForgedDataGivesWayToTheProcess: its next publication says what it has said.
func TestForgedDataGivesWayToTheProcess(t *testing.T) {
	s := viewStore{}
	at := time.Unix(1000, 0)
	for i, step := range []struct {
		seq, data uint64
		text      string
		full      bool
	}{{5, 3, "true", true}, {6, 6, "forged", true}, {7, 3, "", false}, {8, 3, "true", true}} {
		h := Header{Name: "px1", Process: "px1-00000001", Seq: step.seq, DataSeq: step.data}
		if _, err := s.merge(at.Add(time.Duration(i)*time.Second), h, []byte(step.text), step.full, 0, plain); err != nil {
			t.Fatal(err)
		}
	}
	if v := s.list("")[0]; string(v.Data) != "true" || behind(s, v) {
		t.Fatalf("%+v", v)
	}
}

// TestRecordsOfOthersAreOffered: no order, however large, makes the gossip keep or
// spread another one than the owner's.
func TestRecordsOfOthersAreOffered(t *testing.T) {
	var offered []Record
	g := newQuiet(t, func(c *Config) { c.Offered = func(r Record) { offered = append(offered, r) } })
	forged := Record{Cluster: 7, Order: Order{9, 1 << 40, 1 << 40}, Data: g.packer.pack([]byte("forged"))}.encode()
	for range 3 {
		g.takeIn(t, forged)
	}
	if _, ok := g.Record(); ok {
		t.Error("a record was believed")
	}
	if len(offered) != 1 || string(offered[0].Data) != "forged" {
		t.Errorf("offered: %v", offered)
	}
	g.PublishRecord(Record{Cluster: 7, Order: Order{0, 1, 1}, Data: []byte("true")})
	g.takeIn(t, forged)
	if r, ok := g.Record(); !ok || string(r.Data) != "true" {
		t.Errorf("the owner's record is %q", r.Data)
	}
	g.takeIn(t, Record{Cluster: 7, Order: Order{0, 1, 0}, Data: g.packer.pack([]byte("older"))}.encode())
	if len(offered) != 1 {
		t.Errorf("an older one was offered: %v", offered)
	}
	for i := range uint64(1000) {
		g.takeIn(t, Record{Cluster: 7, Order: Order{9, i, i}, Data: g.packer.pack([]byte("x"))}.encode())
	}
	if n := len(offered); n > int(rateOffers.atOnce)+5 {
		t.Errorf("%d records were offered at once", n)
	}
	g = newQuiet(t, func(c *Config) { c.Offered = func(r Record) { g.PublishRecord(r) } })
	g.takeIn(t, Record{Cluster: 7, Order: Order{0, 1, 1<<64 - 1}, Data: g.packer.pack([]byte("end"))}.encode())
	if _, ok := g.Record(); ok {
		t.Error("an order at the end of its range was believed")
	}
}

// TestMembersAreBounded: beyond the bound only those are taken that the
// configuration expects, and of those so many.
func TestMembersAreBounded(t *testing.T) {
	g := newQuiet(t, func(c *Config) { c.maxMembers = 20 })
	d := (*delegate)(g)
	try := func(n *memberlist.Node) bool {
		if d.NotifyAlive(n) != nil {
			return false
		}
		d.NotifyJoin(n)
		return true
	}
	taken := 0
	for i := range 1000 {
		if try(nodeOf(fmt.Sprintf("x-%08x", i), Meta{Name: "x"})) {
			taken++
		}
	}
	if taken != 20 {
		t.Errorf("%d members were taken", taken)
	}
	g.admits.fresh = bucket{} // after a long while
	if try(nodeOf("x-ffffffff", Meta{Name: "x"})) {
		t.Error("one more was taken")
	}
	for g.admits.fresh.take(time.Now(), rate{newPerSecond, 20}) { // as it was
	}
	// They die and others come: memberlist remembers the dead for a while.
	for i := range 1000 {
		d.NotifyLeave(nodeOf(fmt.Sprintf("x-%08x", i), Meta{Name: "x"}))
	}
	again := 0
	for i := range 1000 {
		if try(nodeOf(fmt.Sprintf("y-%08x", i), Meta{Name: "y"})) {
			again++
		}
	}
	if again > 2 || len(g.gone) > 20 {
		t.Errorf("%d more were taken, %d are remembered", again, len(g.gone))
	}
	g.sources.expect([]string{"192.0.2.9:7946"})
	expected := nodeOf("px1-00000001", Meta{Name: "px1"})
	expected.Addr = net.IPv4(192, 0, 2, 9).To4()
	if !try(expected) {
		t.Error("an expected member was refused for a crowd")
	}
	if d.NotifyAlive(&memberlist.Node{Name: "z-00000000", Addr: []byte{1, 2, 3, 4}, Port: 1, Meta: []byte("x")}) == nil {
		t.Error("a process of something else was taken")
	}
}

func TestBucket(t *testing.T) {
	var b bucket
	now := time.Unix(0, 0)
	r := rate{10, 5}
	count := func(n int) (taken int) {
		for range n {
			if b.take(now, r) {
				taken++
			}
		}
		return taken
	}
	if n := count(100); n != 5 {
		t.Errorf("%d at once", n)
	}
	now = now.Add(200 * time.Millisecond)
	if n := count(100); n != 2 {
		t.Errorf("%d after 200 ms", n)
	}
	now = now.Add(time.Hour)
	if n := count(100); n != 5 {
		t.Errorf("%d after an hour", n)
	}
	now = now.Add(-2 * time.Hour) // the monotonic clock does not, but nothing may come of it
	if n := count(100); n != 0 {
		t.Errorf("%d after a step back", n)
	}
}
