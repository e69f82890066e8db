package gossip

import (
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster/internal/golden"
)

// sealedAgain opens a message and lets read write it again.
func sealedAgain(read func(kind, reader) ([]byte, error)) func([]byte) ([]byte, error) {
	return func(b []byte) ([]byte, error) {
		k, r, err := open(b)
		if err != nil {
			return nil, err
		}
		return read(k, r)
	}
}

// formats are examples of everything that this package writes for another process.
func formats() []golden.Format {
	header := Header{
		Name: "px0", Process: "px0-0123abcd", Disk: 1, Seq: 300, DataSeq: 299,
		Status: Status{Cluster: 2, Voter: true, Quorum: true, Order: Order{1, 2, 300}},
	}
	record := Record{Cluster: 2, Order: Order{1, 2, 300}, Data: []byte("record")}
	view := func(k kind, r reader) ([]byte, error) {
		h, data, age, err := decodeView(k, r)
		return encodeView(h, data, k == kindView, age), err
	}
	full := encodeView(header, []byte("view"), true, 1500*time.Millisecond)
	meta := Meta{
		Name: "px0", Disk: 1, Cluster: 2, Generation: 3, Initial: 4, Order: Order{1, 2, 300}, Version: "1.2.3",
		Voter: true, Willing: true, Witness: true, Observer: true, Settled: true, Leaving: true,
	}
	return []golden.Format{
		{Name: "metadata", Bytes: meta.encode(), Again: func(b []byte) ([]byte, error) {
			m, err := decodeMeta(b)
			return m.encode(), err
		}},
		{Name: "direct message", Bytes: Message{From: "px0-0123abcd", Channel: 1, Data: []byte("data")}.encode(), Again: sealedAgain(func(_ kind, r reader) ([]byte, error) {
			m, err := decodeMessage(r)
			return m.encode(), err
		})},
		{Name: "record", Bytes: record.encode(), Again: sealedAgain(func(_ kind, r reader) ([]byte, error) {
			v, err := decodeRecord(r)
			return v.encode(), err
		})},
		{Name: "view", Bytes: full, Again: sealedAgain(view)},
		{Name: "beat", Bytes: encodeView(header, nil, false, 0), Again: sealedAgain(view)},
		{Name: "challenge", Bytes: challenge{Name: "px0", From: "px0-0123abcd", Nonce: 5, Settled: true}.encode(), Again: sealedAgain(func(_ kind, r reader) ([]byte, error) {
			c, err := decodeChallenge(r)
			return c.encode(), err
		})},
		{Name: "answer", Bytes: answer{From: "px0-0123abcd", Nonce: 5, Stop: true}.encode(), Again: sealedAgain(func(_ kind, r reader) ([]byte, error) {
			a, err := decodeAnswer(r)
			return a.encode(), err
		})},
		{Name: "push/pull", Bytes: encodeState([][]byte{record.encode(), full}), Again: sealedAgain(func(_ kind, r reader) ([]byte, error) {
			m, err := decodeState(r)
			return encodeState(m), err
		})},
	}
}

// The formats are what 7535bfe wrote: a message or a file of it can be read, and
// what is written now is read by it. A change here is a new version, which may
// only be written once every voter reads it (control/decide, Raise).
func TestFormatsAreThoseOf7535bfe(t *testing.T) {
	golden.Check(t, "testdata/formats.golden", formats())
}
