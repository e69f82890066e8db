package gossip

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// View is what this member knows of one process's view.
type View struct {
	Header
	// Data is the newest data received, nil if only headers came so far. A header
	// may have announced newer ones.
	Data []byte
	// Self marks this process's own view.
	Self bool
	// Live says that the process is a live member, as far as the gossip knows.
	Live bool
	// Published is when the sender last said that Data is its view, on this
	// machine's monotonic clock: the time of receipt less the age that the
	// message came with. Zero if there is no data.
	Published time.Time
}

// viewEntry is a view as it is stored and passed on.
type viewEntry struct {
	header    Header
	packed    []byte // as it travels
	data      []byte
	held      uint64    // DataSeq of packed and data, 0 for none
	heard     time.Time // when header was published
	published time.Time // when held was last said to be current
	gone      time.Time // when the process stopped being a member; zero: it is one
	side      sideline  // see hold
}

// viewStore holds the newest view of each process. Merging is idempotent,
// commutative and associative: for each process the largest Seq wins, and of the
// data the largest DataSeq.
type viewStore map[string]*viewEntry

// merge takes in a view (full) or a beat and reports whether it brought anything new.
// unpack is called only for data that is.
func (s viewStore) merge(now time.Time, h Header, packed []byte, full bool, age time.Duration, unpack func([]byte) ([]byte, error)) (news bool, err error) {
	e := s[h.Process]
	if e == nil {
		e = &viewEntry{}
	}
	if h.Seq > e.header.Seq && h.DataSeq < e.held {
		// A process never goes back to older data: these were not its own.
		e.empty()
	}
	if full && h.DataSeq > e.held {
		data, err := unpack(packed)
		if err != nil {
			return false, err
		}
		e.packed, e.data, e.held, news = slices.Clone(packed), data, h.DataSeq, true
	}
	if h.Seq > e.header.Seq {
		e.header, e.heard, news = h, now.Add(-age), true
	}
	if t := now.Add(-age); news && e.held > 0 && e.held == h.DataSeq && t.After(e.published) {
		e.published = t
	}
	if news {
		s[h.Process] = e
	}
	return news, nil
}

// forget drops the views of processes that stopped being members before t.
func (s viewStore) forget(t time.Time) {
	maps.DeleteFunc(s, func(_ string, e *viewEntry) bool { return !e.gone.IsZero() && e.gone.Before(t) })
}

// list returns all views, ordered by name and process.
func (s viewStore) list(self string) []View {
	out := make([]View, 0, len(s))
	for p, e := range s {
		if e.header.Seq == 0 {
			continue // own, not published yet
		}
		out = append(out, View{
			Header: e.header, Data: e.data, Self: p == self, Live: e.gone.IsZero(), Published: e.published,
		})
	}
	slices.SortFunc(out, func(a, b View) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Process, b.Process))
	})
	return out
}
