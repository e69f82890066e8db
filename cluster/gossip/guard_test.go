package gossip

import (
	"bytes"
	"compress/lzw"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
)

// newTestGuard is a guard with keys, which are required, or without.
func newTestGuard(keys ...[]byte) (*guard, map[string]int) {
	dropped := map[string]int{}
	var s *seal
	if len(keys) > 0 {
		s = newSeal(EncryptRequire, "test", keys, slog.New(slog.DiscardHandler), nil)
	}
	return &guard{
		label: "test", beside: []byte("test"), seal: s, sources: newSources(),
		drop: func(reason string) { dropped[reason]++ }, warn: func(_, _ string, _ error) {},
	}, dropped
}

func packed(t testing.TB, b []byte) []byte {
	t.Helper()
	var z bytes.Buffer
	w := lzw.NewWriter(&z, lzw.LSB, 8)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	head := []byte("\x09\x82\xa4Algo\x00\xa3Buf\xda")
	return append(binary.BigEndian.AppendUint16(head, uint16(z.Len())), z.Bytes()...)
}

// TestGuardKnowsWhatMemberlistWrites: the shapes that are let through, and those
// that would make memberlist allocate, recurse or log.
func TestGuardKnowsWhatMemberlistWrites(t *testing.T) {
	now := time.Now()
	ping := []byte("\x00\x82\xa5SeqNo\x01\xa4Node\xa1x")
	alive := aliveOf("x-00000001", Meta{Name: "x"}, 7946)
	compound := func(parts ...[]byte) []byte {
		b := []byte{typeCompound, byte(len(parts))}
		for _, p := range parts {
			b = binary.BigEndian.AppendUint16(b, uint16(len(p)))
		}
		return append(b, bytes.Join(parts, nil)...)
	}
	for _, c := range []struct {
		name string
		b    []byte
		want error
	}{
		{"ping", ping, nil},
		{"alive", alive, nil},
		{"user", append([]byte{typeUser}, "anything"...), nil},
		{"compound", compound(ping, alive), nil},
		{"compressed", packed(t, compound(ping, alive)), errShape}, // no version writes it
		{"compound in a compound", compound(compound(ping)), errShape},
		{"compressed in a compressed", packed(t, packed(t, ping)), errShape},
		{"compressed in a compound", compound(packed(t, ping)), errShape},
		{"an empty part", compound(ping, nil), errShape},
		{"a part too long", compound(ping)[:10], errShape},
		{"bytes after the end", append(bytes.Clone(ping), 0), errShape},
		{"unknown type", []byte{99, 0x80}, errShape},
		{"push/pull as a datagram", []byte("\x06\x83\xa5Nodes\xce\x00\x0f\xff\xff\xacUserStateLen\x00\xa4Join\xc2"), errShape},
		{"a length of 4 GB", []byte("\x00\x81\xa4Node\xdb\xff\xff\xff\xff"), errShape},
		{"a list of 4 billion", []byte("\x04\x81\xa3Vsn\xdd\xff\xff\xff\xff"), errShape},
		{"a map in a map", []byte("\x00\x81\xa4Node\x81\xa1x\x00"), errShape},
		{"a map of 65,535", []byte("\x00\xde\xff\xff"), errShape},
		{"a bomb", packed(t, make([]byte, 8*maxDatagram+1)), errShape},
		{"wrong checksum", append([]byte{typeCRC, 1, 2, 3, 4}, ping...), errShape},
	} {
		g, _ := newTestGuard()
		if err := g.packet(c.b, now); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// TestDroppedDatagramCostsNoAllocation, so that a flood is no work for the
// collector either.
func TestDroppedDatagramCostsNoAllocation(t *testing.T) {
	from, plain := netip.MustParseAddrPort("192.0.2.1:9"), make([]byte, 0, maxDatagram)
	for name, keys := range map[string][][]byte{"with a key": {key(1), key(2)}, "without": nil} {
		for what, b := range map[string][]byte{
			"garbage": []byte("garbage"), "label alone": labelled(nil), "shape": labelled(append([]byte{1}, make([]byte, 200)...)),
			"ping": labelled([]byte("\x00\x82\xa5SeqNo\x01\xa4Node\xa1")),
		} {
			g, dropped := newTestGuard(keys...)
			g.datagram(b, plain, from, time.Now())
			if n := testing.AllocsPerRun(100, func() { g.datagram(b, plain, from, time.Now()) }); n > 0 {
				t.Errorf("%s, %s: %v allocations", what, name, n)
			}
			if len(dropped) == 0 {
				t.Errorf("%s, %s: passed", what, name)
			}
		}
	}
}

// TestMembersGoBeforeStrangers: what strangers send does not use up what is taken
// of a member, nor does one member's what is taken of another.
func TestMembersGoBeforeStrangers(t *testing.T) {
	g, _ := newTestGuard()
	now := time.Now()
	b := labelled([]byte("\x00\x82\xa5SeqNo\x01\xa4Node\xa1x"))
	node := func(last byte) *memberlist.Node {
		return &memberlist.Node{Addr: net.IPv4(192, 0, 2, last).To4(), Port: 7946}
	}
	g.sources.add(node(1))
	g.sources.add(node(2))
	passed := func(from string) int {
		n := 0
		for range 5000 {
			if g.datagram(b, nil, netip.MustParseAddrPort(from), now) {
				n++
			}
		}
		return n
	}
	if n := passed("198.51.100.1:5"); n != int(rateStranger.atOnce) {
		t.Errorf("%d datagrams of a stranger passed at once", n)
	}
	for _, member := range []string{"192.0.2.1:7946", "192.0.2.2:7946"} {
		if n := passed(member); n != int(rateMember.atOnce) {
			t.Errorf("%d datagrams of the member %s passed after a flood", n, member)
		}
	}
	g.sources.remove(node(1))
	if n := passed("192.0.2.1:7946"); n != 0 {
		t.Errorf("%d datagrams passed from where a member was", n)
	}
}

// TestIndirectPingsAreBounded: memberlist starts a goroutine for each.
func TestIndirectPingsAreBounded(t *testing.T) {
	g, _ := newTestGuard()
	b, passed, now := floods()["indirect"](1)[len(labelled(nil)):], 0, time.Now()
	for range 5000 {
		if g.packet(b, now) == nil {
			passed++
		}
	}
	if passed != int(rateIndirect.atOnce) {
		t.Errorf("%d at once", passed)
	}
}

// TestBombIsNotUnpacked: what is compressed is refused as it is.
func TestBombIsNotUnpacked(t *testing.T) {
	g, _ := newTestGuard()
	b := packed(t, make([]byte, 16<<20))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := g.packet(b, time.Now()); !errors.Is(err, errShape) {
		t.Errorf("%v", err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("%d bytes of %d cost %d", len(b), 16<<20, n)
	}
}

// TestVersionZeroIsNoPing: to memberlist a packet that a key opens is encrypted,
// whatever else it could be, and by version 0 it panics on a wrong padding.
func TestVersionZeroIsNoPing(t *testing.T) {
	block, err := aes.NewCipher(key(1))
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	nonce := []byte("\x81\xa4Node\xc4\x24xxxx") // begins a ping that ends with the packet
	b := labelled(gcm.Seal(append([]byte{0}, nonce...), nonce, bytes.Repeat([]byte{255}, 16), []byte("test")))
	from, now := netip.MustParseAddrPort("192.0.2.1:9"), time.Now()
	if g, _ := newTestGuard(); !g.datagram(b, nil, from, now) {
		t.Fatal("it is no ping without a key")
	}
	for mode, reason := range map[Encrypt]string{EncryptAccept: ReasonGarbage, EncryptSend: ReasonGarbage, EncryptRequire: ReasonKey} {
		g, dropped := newTestGuard(key(2), key(1))
		g.seal.mode = mode
		if g.datagram(b, nil, from, now) || dropped[reason] != 1 {
			t.Errorf("%s: dropped %v", mode, dropped)
		}
	}
}

// TestSealedDatagramsComeBackOpened: where there is a seal it opens first, and what
// it finds is checked like any other.
func TestSealedDatagramsComeBackOpened(t *testing.T) {
	g, dropped := newTestGuard()
	from, now := netip.MustParseAddrPort("192.0.2.1:9"), time.Now()
	sealed := append([]byte{sealMagic}, "anything"...)
	if g.datagram(sealed, nil, from, now) {
		t.Error("passed without a seal")
	}
	g.seal = newSeal(EncryptSend, "test", [][]byte{key(1)}, slog.New(slog.DiscardHandler), nil)
	if !g.datagram(sealed, nil, from, now) {
		t.Error("not passed to the seal")
	}
	if !g.opened(labelled([]byte("\x00\x82\xa5SeqNo\x01\xa4Node\xa1x")), from, now) {
		t.Error("a ping was dropped")
	}
	if g.opened(labelled([]byte("\x00\x81\xa4Node\xdb\xff\xff\xff\xff")), from, now) || dropped[ReasonGarbage] != 1 {
		t.Error("garbage passed")
	}
	for range 5000 {
		g.opened(labelled([]byte("\x00\x82\xa5SeqNo\x01\xa4Node\xa1x")), from, now)
	}
	if n := dropped[ReasonFull]; n < 4000 {
		t.Errorf("of 5,000 at once %d were dropped", n)
	}
}

// TestGuardPassesWhatMembersSend: nothing that members exchange is dropped, with
// and without a key, datagrams and streams.
func TestGuardPassesWhatMembersSend(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	writeKeys(t, file, key(1))
	for _, keyFile := range []string{"", file} {
		w := newWorld(t)
		all, _ := trio(w, func(c *Config) { c.KeyFile, c.times.pushPull = keyFile, 100*time.Millisecond })
		for i, m := range all {
			big := make([]byte, 20_000)
			_, _ = rand.Read(big)
			m.Publish(big)
			m.PublishRecord(Record{Cluster: 7, Order: Order{0, 1, uint64(i)}, Data: big})
			m.SetMeta(func(meta *Meta) { meta.Order = Order{0, 1, uint64(i)} })
			w.eventually(5*time.Second, "the large view everywhere", func() bool {
				return all[0].viewOf(m.cfg.Meta.Name) == string(big) && all[1].viewOf(m.cfg.Meta.Name) == string(big)
			})
		}
		for _, m := range all {
			for _, reason := range []string{ReasonGarbage, ReasonKey, ReasonLabel, ReasonFull, ReasonHeld} {
				if n := m.dropped(reason); n != 0 {
					t.Errorf("key file %q: %s dropped %v as %s", keyFile, m.cfg.Meta.Name, n, reason)
				}
			}
		}
	}
}

// TestAnswersAreReadWithinBounds: whoever this member dials has the same power.
func TestAnswersAreReadWithinBounds(t *testing.T) {
	l, err := net.Listen("tcp", addresses(1)[0])
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	served := make(chan struct{}, 100)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 4096))
			_, _ = c.Write([]byte("\x06\x83\xa5Nodes\xce\x00\x0f\xff\xff\xacUserStateLen\x00\xa4Join\xc2"))
			served <- struct{}{}
			_ = c.Close()
		}
	}()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	w := newWorld(t)
	m := w.start("px0", addresses(1)[0], nil, l.Addr().String())
	<-served
	w.eventually(5*time.Second, "the answer to be dropped", func() bool { return m.dropped(ReasonGarbage) > 0 })
	runtime.ReadMemStats(&after)
	if n := (after.TotalAlloc - before.TotalAlloc) >> 20; n > 32 {
		t.Errorf("an answer of 40 bytes made it allocate %d MiB", n)
	}
}

// TestIncarnationsDoNotLeap: one message with the largest number would freeze
// what is known of its process.
func TestIncarnationsDoNotLeap(t *testing.T) {
	var c counters
	name := []byte("px0-00000000")
	for _, step := range []struct {
		count uint64
		ok    bool
	}{{1 << 31, false}, {7, true}, {8, true}, {8 + leapCount + 1, false}, {1<<32 - 1, false}, {8 + leapCount, true}, {3, true}} {
		if err := c.check(name, step.count, true); (err == nil) != step.ok {
			t.Errorf("%d: %v", step.count, err)
		}
	}
	for i := range 5 * stateNodes {
		_ = c.check(fmt.Appendf(nil, "x-%08x", i), 1, true)
	}
	if len(c.last) > 2*stateNodes {
		t.Errorf("%d are remembered", len(c.last))
	}
}

// TestLogIsBounded whatever the text: kinds are told apart by their constant part.
func TestLogIsBounded(t *testing.T) {
	var written atomic.Int64
	b := logBridge{logger: slog.New(slog.NewTextHandler(floodLog{&written}, nil)), drop: func(string) {}, lines: &lines{}}
	for i := range 1000 {
		_, _ = fmt.Fprintf(&b, "[INFO] memberlist: one kind %d\n", i)
	}
	if n := written.Load(); n == 0 || n > int64(rateNoted.atOnce) {
		t.Errorf("%d lines of one kind", n)
	}
	b.lines = &lines{}
	for i := range 1000 {
		for _, text := range []string{
			"[WARN] memberlist: Got ping for unexpected node 'x%d' from=192.0.2.1:9\n",
			"[ERR] memberlist: failed to receive: read tcp 192.0.2.1:%d: connection reset by peer\n",
			"[INFO] memberlist: Marking %d as failed\n",
			"[WARN] memberlist: word" + string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + " %d\n",
		} {
			if _, err := fmt.Fprintf(&b, text, i); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := written.Load(); n < 3 || n > int64(rateNoted.atOnce+rateLines.atOnce)+20 {
		t.Errorf("%d lines of 4,000", n)
	}
	if n := len(b.lines.kinds); n > maxKinds {
		t.Errorf("%d kinds are remembered", n)
	}
}

func FuzzGuard(f *testing.F) {
	f.Add([]byte("\x00\x82\xa5SeqNo\x01\xa4Node\xa1x"))
	f.Add(aliveOf("x-00000001", Meta{Name: "x"}, 7946))
	f.Add(packed(f, []byte("\x00\x82\xa5SeqNo\x01\xa4Node\xa1x")))
	f.Add([]byte("\x06\x83\xa5Nodes\x01\xacUserStateLen\x00\xa4Join\xc2\x87"))
	g, _ := newTestGuard()
	f.Fuzz(func(t *testing.T, b []byte) {
		_ = g.packet(b, time.Now())
		v := stream{guard: g, pool: &pool{size: 1 << 16, bytes: 1 << 16}}
		s := source{b: b}
		if err := v.content(&s); err == nil && s.off > len(b) {
			t.Fatal("it read beyond the end")
		}
	})
}
