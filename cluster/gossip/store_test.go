package gossip

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func plain(b []byte) ([]byte, error) { return bytes.Clone(b), nil }

// TestViewsMergeLaws: any order and any repetition of the same publications ends
// in the same store, which holds the newest header and the newest data.
func TestViewsMergeLaws(t *testing.T) {
	type pub struct {
		h    Header
		data []byte
		full bool
	}
	rapid.Check(t, func(t *rapid.T) {
		var pubs []pub
		want := map[string][2]uint64{} // process -> newest Seq, newest DataSeq sent with data
		for p := range rapid.IntRange(1, 3).Draw(t, "processes") {
			process := fmt.Sprintf("px0-%08x", p)
			var dataSeq uint64
			for seq := uint64(1); seq <= uint64(rapid.IntRange(1, 6).Draw(t, "publications")); seq++ {
				if seq == 1 || rapid.Bool().Draw(t, "changed") {
					dataSeq = seq
				}
				full := rapid.Bool().Draw(t, "full")
				pubs = append(pubs, pub{Header{Name: "px0", Process: process, Seq: seq, DataSeq: dataSeq}, fmt.Appendf(nil, "%d", dataSeq), full})
				w := want[process]
				w[0] = seq
				if full {
					w[1] = dataSeq
				}
				want[process] = w
			}
		}
		s := viewStore{}
		order := append(rapid.Permutation(pubs).Draw(t, "order"), rapid.Permutation(pubs).Draw(t, "again")...)
		for i, p := range order {
			news, err := s.merge(time.Unix(int64(i), 0), p.h, p.data, p.full, 0, plain)
			if err != nil {
				t.Fatal(err)
			}
			if news && i >= len(pubs) {
				t.Fatal("a repetition was news")
			}
		}
		got := map[string][2]uint64{}
		for process, e := range s {
			got[process] = [2]uint64{e.header.Seq, e.held}
			if e.held > 0 && string(e.data) != fmt.Sprint(e.held) {
				t.Fatalf("data %q belongs to another publication than %d", e.data, e.held)
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatal(d)
		}
	})
}

func TestViewAgeSurvivesRelays(t *testing.T) {
	start := time.Unix(1000, 0)
	s := viewStore{}
	h := Header{Name: "px0", Process: "px0-00000000", Seq: 1, DataSeq: 1}
	if _, err := s.merge(start, h, []byte("x"), true, 3*time.Second, plain); err != nil {
		t.Fatal(err)
	}
	if got := start.Sub(s.list("")[0].Published); got != 3*time.Second {
		t.Fatalf("age is %s", got)
	}
	// A relay keeps the view for 2 s in its queue and sends it then.
	var q queue
	q.put(queued{name: "v", message: encodeView(h, []byte("x"), true, 0), published: s[h.Process].heard})
	sent := q.take(0, 1000, 3, start.Add(2*time.Second))
	_, r, _ := open(sent[0])
	_, _, age, err := decodeView(kindView, r)
	if err != nil || age != 5*time.Second {
		t.Fatalf("age after the relay is %s, %v", age, err)
	}
}

// behind reports whether a header announced newer data than v has.
func behind(s viewStore, v View) bool { return s[v.Process].held < v.DataSeq }

func TestBeatWithNewerDataLeavesTheViewBehind(t *testing.T) {
	s := viewStore{}
	at := time.Unix(1000, 0)
	for _, step := range []struct {
		seq, data uint64
		full      bool
		behind    bool
	}{{1, 1, true, false}, {2, 2, false, true}, {3, 2, false, true}, {4, 2, true, false}} {
		at = at.Add(time.Second)
		h := Header{Name: "px0", Process: "px0-00000000", Seq: step.seq, DataSeq: step.data}
		if _, err := s.merge(at, h, []byte("x"), step.full, 0, plain); err != nil {
			t.Fatal(err)
		}
		v := s.list("")[0]
		if behind(s, v) != step.behind {
			t.Errorf("seq %d: behind is %v", step.seq, !step.behind)
		}
		if fresh := v.Published.Equal(at); fresh == step.behind {
			t.Errorf("seq %d: the data counts as said %s ago", step.seq, at.Sub(v.Published))
		}
	}
}

func TestQueueSendsRecordsFirstAndEachMessageOftenEnough(t *testing.T) {
	var q queue
	now := time.Unix(0, 0)
	for i := range 5 {
		q.put(queued{name: viewName(fmt.Sprint(i)), message: bytes.Repeat([]byte{byte(i)}, 30)})
	}
	q.put(queued{name: "record", first: true, message: bytes.Repeat([]byte("r"), 50)})
	q.put(queued{name: "record", first: true, message: bytes.Repeat([]byte("R"), 50)})
	counts := map[byte]int{}
	for range 100 {
		out := q.take(2, 120, 9, now)
		size := 0
		for i, m := range out {
			if counts['R'] < transmitLimit(9) && i == 0 && m[0] != 'R' {
				t.Fatalf("%q went before the record", m)
			}
			size += len(m) + 2
			counts[m[0]]++
		}
		if size > 120 {
			t.Fatalf("%d bytes", size)
		}
	}
	want := map[byte]int{'R': 3, 0: 3, 1: 3, 2: 3, 3: 3, 4: 3}
	if d := cmp.Diff(want, counts); d != "" || q.len() != 0 {
		t.Fatal(d, q.len())
	}
}

// len returns the number of queued messages.
func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items)
}
