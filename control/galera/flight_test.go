package galera

import "testing"

// counts are wsrep_received, wsrep_replicated and wsrep_last_committed.
type counts struct{ received, replicated, committed int64 }

func (c counts) reading(confID int64) *Reading {
	return &Reading{Gcomm: "a", ConfID: confID, Received: c.received, Replicated: c.replicated, LastCommitted: c.committed}
}

// The numbers are those of MariaDB 10.11 with Galera 26.4.23 around an INSERT of a million rows, on the other node.
func TestFlight(t *testing.T) {
	var f flight
	see := func(n int, c counts, want bool) {
		t.Helper()
		for range n {
			f.add(c.reading(7))
		}
		if got := f.late(c.reading(7).sum()) != ""; got != want {
			t.Errorf("%+v: late %v", c, got)
		}
	}
	rest := counts{60, 1, 69}
	see(flightReadings-1, rest, true) // it cannot tell yet
	see(1, rest, false)
	see(1000, counts{61, 1, 69}, true) // certified and applied, for however long
	see(1, counts{61, 1, 70}, false)
	see(1, counts{62, 1, 70}, true) // how far all are, which counts as received: nothing tells that apart yet
	see(2*flightReadings, counts{62, 1, 70}, true)
	see(flightReadings, counts{63, 1, 71}, false) // and now it does
	see(1, counts{63, 2, 71}, true)               // one of its own
	see(1, counts{62, 1, 71}, false)              // less than ever

	// Under load something is in flight at most looks, and the least counts.
	for i := range int64(3 * flightReadings) {
		f.add(counts{70 + i + i%3, 2, 79 + i}.reading(7))
	}
	if f.late(counts{170, 2, 179}.reading(7).sum()) != "" || f.late(counts{171, 2, 179}.reading(7).sum()) == "" {
		t.Errorf("under load: %+v", f)
	}
	// With another view the base is another one.
	f.add(counts{60, 1, 70}.reading(8))
	if f.late(counts{60, 1, 70}.reading(8).sum()) == "" {
		t.Error("a new view is known at once")
	}
}
