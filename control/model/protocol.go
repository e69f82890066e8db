package model

import "fmt"

// Protocol is the newest version of the formats that this build reads and writes:
// of the record, of the views and of what the daemons tell each other. 1 is what
// 7535bfe reads, which announces none. 2 adds to the record who gave an order, and
// the orders that make no decision. 3 adds to the views what is known of the databases'
// group layer, and to the record who is evicted from it.
const Protocol = 3

// Speaks tells whether every voter reads version n, so that its fields and formats
// may be written. A record that does not say reads as version 1, and so does none.
func (r *Record) Speaks(n int) bool {
	return n <= 1 || r != nil && r.Lowest >= n
}

// LostBelow2 says, as sentences, what a record and its cluster lose with a lowest
// version of 1.
func (r *Record) LostBelow2() []string {
	if !r.Speaks(2) {
		return nil
	}
	lost := []string{"packets that were recorded and are sent again later are taken again"}
	named := 0
	for i := range r.History {
		if r.History[i].OrderedBy != "" {
			named++
		}
	}
	if named > 0 {
		lost = append(lost, fmt.Sprintf("who ordered %d of the %d decisions of the history", named, len(r.History)))
	}
	if r.Evict != nil {
		lost = append(lost, "that the evict lists of the databases are to be emptied after "+r.Evict.Cause())
	}
	if n := len(r.Orders); n > 0 {
		lost = append(lost, fmt.Sprintf("the last %d orders that made no decision (the last: %s), with who gave them and why", n, r.Orders[0].Words()))
	}
	return lost
}
