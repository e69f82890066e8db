package gossip

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/memberlist"
	"pgregory.net/rapid"
)

func anyOrder(t *rapid.T) Order {
	u := rapid.Uint64()
	return Order{u.Draw(t, "o0"), u.Draw(t, "o1"), u.Draw(t, "o2")}
}

func anyHeader(t *rapid.T) Header {
	name := rapid.StringMatching(`[a-z0-9.-]{1,20}`).Draw(t, "name")
	seq := rapid.Uint64Range(1, 1<<62).Draw(t, "seq")
	return Header{
		Name: name, Process: name + "-" + rapid.StringMatching(`[0-9a-f]{8}`).Draw(t, "process"),
		Disk: rapid.Uint64().Draw(t, "disk"), Seq: seq, DataSeq: rapid.Uint64Range(0, seq).Draw(t, "dataSeq"),
		Status: Status{
			Cluster: rapid.Uint64().Draw(t, "cluster"), Voter: rapid.Bool().Draw(t, "voter"),
			Quorum: rapid.Bool().Draw(t, "quorum"), Order: anyOrder(t),
		},
	}
}

func anyMeta(t *rapid.T) Meta {
	b := rapid.Bool()
	return Meta{
		Name: rapid.StringN(1, 32, MaxName).Draw(t, "name"), Version: rapid.StringN(0, 16, maxVersion).Draw(t, "version"),
		Disk: rapid.Uint64().Draw(t, "disk"), Cluster: rapid.Uint64().Draw(t, "cluster"),
		Generation: rapid.Uint64().Draw(t, "generation"), Initial: rapid.Uint64().Draw(t, "initial"),
		Order: anyOrder(t),
		Voter: b.Draw(t, "voter"), Willing: b.Draw(t, "willing"), Witness: b.Draw(t, "witness"),
		Observer: b.Draw(t, "observer"), Settled: b.Draw(t, "settled"), Leaving: b.Draw(t, "leaving"),
	}
}

func opened(t *rapid.T, b []byte, want kind) reader {
	k, r, err := open(b)
	if err != nil || k != want {
		t.Fatalf("open: kind %d, %v; want kind %d", k, err, want)
	}
	return r
}

func same(t *rapid.T, got, want any, err error) {
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatal(d)
	}
}

func TestMessagesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.SliceOfN(rapid.Byte(), 1, 200).Draw(t, "data")
		name := rapid.StringN(0, 40, maxString).Draw(t, "from")

		m := Message{From: name, Channel: rapid.Byte().Draw(t, "channel"), Data: data}
		gotM, err := decodeMessage(opened(t, m.encode(), kindDirect))
		same(t, gotM, m, err)

		r := Record{Cluster: rapid.Uint64().Draw(t, "cluster"), Order: anyOrder(t), Data: data}
		gotR, err := decodeRecord(opened(t, r.encode(), kindRecord))
		same(t, gotR, r, err)

		c := challenge{Name: cut(name, MaxName), From: name, Nonce: rapid.Uint64().Draw(t, "nonce"), Settled: rapid.Bool().Draw(t, "settled")}
		gotC, err := decodeChallenge(opened(t, c.encode(), kindChallenge))
		same(t, gotC, c, err)

		a := answer{From: name, Nonce: c.Nonce, Stop: rapid.Bool().Draw(t, "stop")}
		gotA, err := decodeAnswer(opened(t, a.encode(), kindAnswer))
		same(t, gotA, a, err)

		h := anyHeader(t)
		age := time.Duration(rapid.IntRange(0, 1<<20).Draw(t, "age")) * time.Millisecond
		view := encodeView(h, data, true, 0)
		setAge(view, age)
		gotH, gotData, gotAge, err := decodeView(kindView, opened(t, view, kindView))
		same(t, gotH, h, err)
		same(t, gotData, data, nil)
		same(t, gotAge, age, nil)
		gotH, gotData, _, err = decodeView(kindBeat, opened(t, encodeView(h, data, false, age), kindBeat))
		same(t, gotH, h, err)
		same(t, gotData, []byte(nil), nil)

		parts := [][]byte{view, r.encode()}
		gotParts, err := decodeState(opened(t, encodeState(parts), kindState))
		same(t, gotParts, parts, err)
	})
}

func TestMetaRoundTripAndSize(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := anyMeta(t)
		b := m.encode()
		if len(b) > memberlist.MetaMaxSize {
			t.Fatalf("%d bytes, memberlist takes %d", len(b), memberlist.MetaMaxSize)
		}
		got, err := decodeMeta(b)
		same(t, got, m, err)
	})
	long := make([]byte, MaxName)
	m := Meta{Name: string(long), Version: string(long), Order: Order{^uint64(0), ^uint64(0), ^uint64(0)}, Generation: ^uint64(0)}
	if n := len(m.encode()); n > memberlist.MetaMaxSize {
		t.Fatalf("the largest metadata has %d bytes, memberlist takes %d", n, memberlist.MetaMaxSize)
	}
}

func TestNewerFormatsAreToldFromGarbage(t *testing.T) {
	meta := Meta{Name: "px0"}.encode()
	meta[0] = metaFormat + 1
	message := Message{From: "px0-00000000"}.encode()
	message[1] = Protocol + 1
	for _, c := range []struct {
		name  string
		err   error
		newer bool
	}{
		{"metadata of the next format", second(decodeMeta(meta)), true},
		{"metadata without bytes", second(decodeMeta(nil)), false},
		{"metadata with a byte too many", second(decodeMeta(append(Meta{Name: "px0"}.encode(), 0))), false},
		{"metadata without a name", second(decodeMeta(Meta{}.encode())), false},
		{"message of the next format", third(open(message)), true},
		{"message of format 0", third(open([]byte{magic, 0, 1})), false},
		{"message of no kind", third(open([]byte{magic, Protocol, 99})), false},
		{"something else", third(open([]byte("hello, world"))), true},
		{"something else again", third(open([]byte("x"))), false},
	} {
		if c.err == nil || errors.Is(c.err, ErrNewer) != c.newer {
			t.Errorf("%s: %v, want ErrNewer: %v", c.name, c.err, c.newer)
		}
	}
}

func second[T any](_ T, err error) error        { return err }
func third[T, U any](_ T, _ U, err error) error { return err }

func FuzzMeta(f *testing.F) {
	f.Add(Meta{Name: "px0", Version: "1.0", Settled: true}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMeta(b)
		if err != nil {
			return
		}
		again, err := decodeMeta(m.encode())
		if err != nil || again != m {
			t.Fatalf("%+v became %+v, %v", m, again, err)
		}
	})
}

// FuzzMessages feeds bytes to everything that decodes what the network brings.
func FuzzMessages(f *testing.F) {
	h := Header{Name: "px0", Process: "px0-0123abcd", Seq: 2, DataSeq: 1}
	var p packer
	f.Add(Message{From: "px0-0123abcd", Channel: 1, Data: []byte("x")}.encode())
	f.Add(encodeView(h, p.pack([]byte("{}")), true, time.Second))
	f.Add(encodeView(h, nil, false, 0))
	f.Add(Record{Cluster: 1, Order: Order{1, 2, 3}, Data: p.pack(make([]byte, 2000))}.encode())
	f.Add(challenge{Name: "px0", From: "px0-0123abcd", Nonce: 1}.encode())
	f.Add(answer{From: "px0-0123abcd", Nonce: 1, Stop: true}.encode())
	f.Add(encodeState([][]byte{encodeView(h, nil, false, 0)}))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, r, err := open(b)
		if err != nil {
			return
		}
		switch k {
		case kindDirect:
			if m, err := decodeMessage(r); err == nil {
				_, r, _ := open(m.encode())
				if again, err := decodeMessage(r); err != nil || !cmp.Equal(again, m) {
					t.Fatalf("%+v became %+v, %v", m, again, err)
				}
			}
		case kindView, kindBeat:
			if h, data, age, err := decodeView(k, r); err == nil {
				_, r, _ := open(encodeView(h, data, k == kindView, age))
				again, d, a, err := decodeView(k, r)
				if err != nil || again != h || a != age || !cmp.Equal(d, data) {
					t.Fatalf("%+v became %+v, %v", h, again, err)
				}
				_, _ = p.unpack(data, unpackLimit)
			}
		case kindRecord:
			if v, err := decodeRecord(r); err == nil {
				_, _ = p.unpack(v.Data, unpackLimit)
			}
		case kindChallenge:
			_, _ = decodeChallenge(r)
		case kindAnswer:
			_, _ = decodeAnswer(r)
		case kindState:
			_, _ = decodeState(r)
		}
	})
}

func TestPack(t *testing.T) {
	var p packer
	rapid.Check(t, func(t *rapid.T) {
		unit := rapid.SliceOfN(rapid.Byte(), 0, 64).Draw(t, "unit")
		var data []byte
		for range rapid.IntRange(0, 100).Draw(t, "times") {
			data = append(data, unit...)
		}
		packed := p.pack(data)
		if len(packed) > len(data)+1 {
			t.Fatalf("%d bytes became %d", len(data), len(packed))
		}
		got, err := p.unpack(packed, unpackLimit)
		if err != nil || string(got) != string(data) {
			t.Fatalf("%d bytes became %d, %v", len(data), len(got), err)
		}
	})
	if _, err := p.unpack(p.pack(make([]byte, unpackLimit+1)), unpackLimit); err == nil {
		t.Error("a bomb was unpacked")
	}
}
