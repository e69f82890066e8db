package model

// Protocol is the newest version of the formats that this build reads and writes:
// of the record, of the views and of what the daemons tell each other. 1 is what
// 7535bfe reads, which announces none. 2 adds to the record who gave an order, and
// the orders that make no decision.
const Protocol = 2

// Speaks tells whether every voter reads version n, so that its fields and formats
// may be written. A record that does not say reads as version 1, and so does none.
func (r *Record) Speaks(n int) bool {
	return n <= 1 || r != nil && r.Lowest >= n
}
