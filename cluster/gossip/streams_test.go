package gossip

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestStreamsAreBounded: what a stream announces costs nothing before it has come,
// and streams that stop in the middle keep no true one out.
func TestStreamsAreBounded(t *testing.T) {
	for _, keyFile := range []string{"", filepath.Join(t.TempDir(), "key")} {
		if keyFile != "" {
			writeKeys(t, keyFile, key(1))
		}
		w := newWorld(t)
		addrs := addresses(2)
		m := w.start("px0", addrs[0], func(c *Config) { c.KeyFile = keyFile })
		w.eventually(3*time.Second, "settled", m.isSettledNow)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var opened atomic.Int64
		done := make(chan struct{})
		go func() {
			defer close(done)
			stallStreams(addrs[0], 100, time.Now().Add(3*time.Second), &opened)
		}()
		w.eventually(3*time.Second, "streams to be opened", func() bool { return opened.Load() > 100 })
		x := w.start("px1", addrs[1], func(c *Config) { c.KeyFile = keyFile }, addrs[0])
		w.eventually(20*time.Second, "a member to join meanwhile", func() bool { return m.live() == 2 && x.live() == 2 })
		<-done
		runtime.ReadMemStats(&after)
		perStream := (after.TotalAlloc - before.TotalAlloc) / uint64(opened.Load())
		t.Logf("%d streams: %d bytes allocated for each, the senders' part included", opened.Load(), perStream)
		if perStream > 300<<10 {
			t.Errorf("%d bytes allocated for each stream", perStream)
		}
		if m.dropped(ReasonFull)+m.dropped(ReasonGarbage)+m.dropped(ReasonKey) == 0 {
			t.Error("none was counted")
		}
	}
}

// TestOldestStoppedStreamMakesRoom: admission by itself.
func TestOldestStoppedStreamMakesRoom(t *testing.T) {
	p := pool{streams: 3, each: 2}
	now := time.Now()
	conn := func(ip string, at time.Time, whole bool) *stream {
		c, other := net.Pipe()
		t.Cleanup(func() { _, _ = c.Close(), other.Close() })
		return &stream{Conn: c, pool: &p, from: netip.MustParseAddr(ip), since: at, whole: whole}
	}
	first := conn("192.0.2.1", now, true)
	second := conn("192.0.2.2", now, false)
	for _, v := range []*stream{first, second, conn("192.0.2.3", now, false)} {
		if !p.admit(v, now) {
			t.Fatal("refused although there is room")
		}
	}
	v := conn("192.0.2.4", now, false)
	if p.admit(v, now.Add(streamGrace/2)) {
		t.Error("a stream had to go before its time")
	}
	if !p.admit(v, now.Add(streamGrace)) || len(p.open) != 3 || p.open[0] != first {
		t.Error("the oldest that stopped did not make room")
	}
	_ = second.SetWriteDeadline(now.Add(time.Second))
	if _, err := second.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("it was not closed: %v", err)
	}
}

// TestLengthsAreNotBelieved: a stream costs what has come of it.
func TestLengthsAreNotBelieved(t *testing.T) {
	g, _ := newTestGuard(key(1))
	c, other := net.Pipe()
	v := stream{Conn: c, guard: g, pool: &pool{size: sizeMember, bytes: sizeMember}}
	go func() {
		_, _ = other.Write(labelled([]byte{typeEncrypt, 0, 0x20, 0, 0, 1, 2, 3}))
		_ = other.Close()
	}()
	if err := v.fill(); err == nil {
		t.Error("half a stream was taken")
	}
	if n := cap(v.b); n > 8<<10 || v.charged > n {
		t.Errorf("%d bytes were allocated for 14", n)
	}
	for what, b := range map[string]string{
		"more members than there can be": "\x06\x83\xa5Nodes\xce\x00\x00\xff\xff\xacUserStateLen\x00\xa4Join\xc2" + strings.Repeat("\x80", 0xffff),
		"a message too long":             "\x08\x81\xaaUserMsgLen\xce\x00\x20\x00\x00" + strings.Repeat("x", 2<<20),
	} {
		s := source{b: []byte(b)}
		if err := v.content(&s); !errors.Is(err, errSize) {
			t.Errorf("%s: %v", what, err)
		}
	}
	s := source{b: packed(t, []byte("\x06\x83\xa5Nodes\x00\xacUserStateLen\x00\xa4Join\xc2"))}
	if err := v.content(&s); !errors.Is(err, errShape) {
		t.Errorf("a compressed one: %v", err)
	}
}
