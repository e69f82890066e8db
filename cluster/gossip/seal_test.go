package gossip

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// frames is one of each kind.
func frames() []frame {
	return []frame{
		{kind: sealHello, nonce: 1, token: 2, to: "10.0.0.2:7946", from: "10.0.0.1:7946"},
		{kind: sealAnswer, nonce: 1, token: 3},
		{kind: sealData, token: 3, session: 4, counter: 5, payload: []byte("\xf4\x04testpayload")},
		{kind: sealStale, session: 4},
		{kind: sealOpen, nonce: 6, token: 7, to: "10.0.0.2:7946", from: "[fd00::1]:7946"},
		{kind: sealOpened, nonce: 8, token: 9},
	}
}

// goldenFrames are frames() under key(1) and the label test.
var goldenFrames = []string{
	"a70101000000000000000100000000000000020d31302e302e302e323a373934360d31302e302e302e313a37393436779aa85bcf98ad21a614f1e54cd16066",
	"a7010200000000000000010000000000000003a34c4fe7215405cf9792ef77b24c9e8c",
	"a70103000000000000000300000000000000040000000000000005f404746573747061796c6f616478c93964646cf6e9f350dfc3cce0bb0b",
	"a701040000000000000004e39c56e870ed5d733f2df0c374841975",
	"a70105000000000000000600000000000000070d31302e302e302e323a373934360e5b666430303a3a315d3a3739343630a80f38d301c0ee34de5871a733b474",
	"a7010600000000000000080000000000000009ba8042567d2cb99cf0c9070adfba68e8",
}

// The frames as they are on the wire: a change of these bytes needs another format.
func TestFramesAreWhatTheyWere(t *testing.T) {
	keys := sealKeys("test", [][]byte{key(1)})
	for i, f := range frames() {
		b := f.encode(keys[0].mac)
		if got := hex.EncodeToString(b); got != goldenFrames[i] {
			t.Errorf("kind %d:\n%s, want\n%s", f.kind, got, goldenFrames[i])
		}
		again, k, err := openFrame(b, keys)
		if err != nil || !bytes.Equal(k.mac, keys[0].mac) {
			t.Fatal(err)
		}
		if d := cmp.Diff(f, again, cmp.AllowUnexported(frame{})); d != "" {
			t.Error(d)
		}
	}
}

func TestForeignAndNewerFramesAreRefused(t *testing.T) {
	keys := sealKeys("test", [][]byte{key(1), key(2)})
	for _, f := range frames() {
		b := f.encode(keys[1].mac) // any of the keys
		if _, _, err := openFrame(b, keys); err != nil {
			t.Error(err)
		}
		for i := range b {
			forged := bytes.Clone(b)
			forged[i] ^= 1
			if _, _, err := openFrame(forged, keys); err == nil {
				t.Errorf("kind %d: a frame with another byte %d is taken", f.kind, i)
			}
		}
		if _, _, err := openFrame(b, sealKeys("other", [][]byte{key(1), key(2)})); !errors.Is(err, errTag) {
			t.Errorf("another label: %v", err)
		}
		if _, _, err := openFrame(b, sealKeys("test", [][]byte{key(3)})); !errors.Is(err, errTag) {
			t.Errorf("another key: %v", err)
		}
		b[1]++
		if _, err := decodeFrame(b); !errors.Is(err, ErrNewer) {
			t.Errorf("a newer format: %v", err)
		}
	}
}

func FuzzFrame(f *testing.F) {
	keys := sealKeys("test", [][]byte{key(1)})
	for _, v := range frames() {
		f.Add(v.encode(keys[0].mac))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := decodeFrame(b)
		if err != nil {
			return
		}
		again, _, err := openFrame(v.encode(keys[0].mac), keys)
		if err != nil || !cmp.Equal(again, v, cmp.AllowUnexported(frame{}), cmp.Comparer(bytes.Equal)) {
			t.Fatalf("%+v became %+v, %v", v, again, err)
		}
	})
}

// The window against a memory of everything.
func TestWindowTakesEachNumberOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w window
		seen, top := map[uint64]bool{}, uint64(0)
		near := rapid.OneOf(rapid.Int64Range(-3, 3), rapid.Int64Range(-2*windowSize, 2*windowSize), rapid.Int64Range(-64, 64))
		for _, d := range rapid.SliceOfN(near, 1, 200).Draw(t, "steps") {
			n := uint64(max(int64(top)+d, 0))
			want := n > 0 && !seen[n] && n+windowSize > top
			if got := w.take(n); got != want {
				t.Fatalf("take(%d) after %d: %v", n, top, got)
			}
			seen[n] = true
			top = max(top, n)
		}
	})
}

func TestInboxForgetsOnlyWithTheToken(t *testing.T) {
	now := time.Now()
	i := newInbox(now)
	expect := func(what string, token, session, counter uint64, want string, wantAsk bool) {
		t.Helper()
		if v, ask := i.take(now, token, session, counter); v != want || ask != wantAsk {
			t.Errorf("%s: %q, ask %v; want %q, %v", what, v, ask, want, wantAsk)
		}
	}
	first := i.current(now)
	expect("the first", first, 1, 1, "", false)
	expect("the same", first, 1, 1, ReasonReplayed, false)
	expect("token 0", 0, 1, 2, ReasonStale, true)
	expect("another token", first+1, 1, 2, ReasonStale, true)
	now = now.Add(tokenFor - 1)
	expect("before the time is up", first, 1, 2, "", false)
	now = now.Add(1)
	if i.current(now) == first {
		t.Error("the token is still given out")
	}
	expect("the token before", first, 1, 3, "", true)
	expect("again under the token before", first, 1, 2, ReasonReplayed, false)
	expect("another sender that asked in time", first, 2, 1, "", true)
	now = now.Add(tokenFor)
	expect("one that was held back", first, 1, 4, ReasonStale, true)
	second := i.current(now)
	now = now.Add(time.Hour)
	expect("after a long silence", second, 1, 1, ReasonStale, true)

	// Nobody fills the memory, and filling it lets nothing in again.
	full := i.current(now)
	for s := range uint64(maxSessions) {
		expect("a session", full, s+1, 1, "", false)
	}
	expect("one session too many", full, maxSessions+1, 1, ReasonStale, true)
	expect("an old one, again", full, 1, 1, ReasonReplayed, false)
	for range 3 * maxSessions {
		i.take(now, i.now.token, rand.Uint64(), 1)
	}
	if n := len(i.now.sessions) + len(i.before.sessions); n > 2*maxSessions {
		t.Errorf("%d sessions are kept", n)
	}
	expect("an old one, after that", full, 1, 1, ReasonStale, true)
}

// The records of a stream as they are on the wire, and that each has its place.
func TestRecordsAreWhatTheyWere(t *testing.T) {
	var wire bytes.Buffer
	w := &sealedConn{Conn: bufferConn{&wire}, key: key(7), writes: sideDial}
	for _, text := range []string{"first", "second"} {
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	const golden = "000566697273743c27a4abefce016f4658a0389b35a1ca00067365636f6e64647849f86524627cacccd3a8937841db"
	if got := hex.EncodeToString(wire.Bytes()); got != golden {
		t.Errorf("%s, want\n%s", got, golden)
	}
	whole := bytes.Clone(wire.Bytes())
	read := func(b []byte, reads byte, k []byte) (string, error) {
		got, err := io.ReadAll(&sealedConn{Conn: bufferConn{bytes.NewBuffer(b)}, key: k, reads: reads})
		return string(got), err
	}
	if got, err := read(whole, sideDial, key(7)); got != "firstsecond" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	n := 2 + len("first") + sealTag
	for what, b := range map[string][]byte{
		"in another order": append(bytes.Clone(whole[n:]), whole[:n]...), "twice": append(bytes.Clone(whole[:n]), whole[:n]...),
	} {
		if _, err := read(b, sideDial, key(7)); !errors.Is(err, errRecord) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := read(bytes.Clone(whole), sideAccept, key(7)); !errors.Is(err, errRecord) {
		t.Errorf("reflected: %v", err)
	}
	if _, err := read(bytes.Clone(whole), sideDial, key(8)); !errors.Is(err, errRecord) {
		t.Errorf("another stream's: %v", err)
	}
}

// bufferConn is a connection to a buffer.
type bufferConn struct{ *bytes.Buffer }

func (bufferConn) Close() error                     { return nil }
func (bufferConn) LocalAddr() net.Addr              { return nil }
func (bufferConn) RemoteAddr() net.Addr             { return nil }
func (bufferConn) SetDeadline(time.Time) error      { return nil }
func (bufferConn) SetReadDeadline(time.Time) error  { return nil }
func (bufferConn) SetWriteDeadline(time.Time) error { return nil }

func BenchmarkSealAndOpen(b *testing.B) {
	keys := sealKeys("test", [][]byte{key(1)})
	payload := make([]byte, 200)
	i := newInbox(time.Now())
	for n := range uint64(b.N) {
		f, _, err := openFrame(frame{kind: sealData, token: i.now.token, session: 1, counter: n + 1, payload: payload}.encode(keys[0].mac), keys)
		if err != nil {
			b.Fatal(err)
		}
		i.take(i.since, f.token, f.session, f.counter)
	}
}

// What has no seal is counted by what it is.
func TestWhyAStreamWithoutASealIsRefused(t *testing.T) {
	s := &seal{label: "test"}
	for stream, want := range map[string]string{
		"\xf4\x04test\x0a....":       ReasonOld,
		"\xf4\x04test\x06....":       ReasonKey,
		"\xf4\x09elsewhere\x0a.....": ReasonLabel,
		"GET / HTTP/1.0\r\n":         ReasonLabel,
		"\xf4\x04te":                 ReasonGarbage,
	} {
		if got := s.unsealed(strings.NewReader(stream)); got != want {
			t.Errorf("%q is counted as %s, want %s", stream, got, want)
		}
	}
}
