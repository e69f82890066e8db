package model

// Epoch names one decision: its number, within a recovery generation of the record.
// Two are the same where they are equal.
type Epoch struct{ Recovery, N uint64 }

// Before tells whether the decision is older than another.
func (e Epoch) Before(o Epoch) bool {
	return e.Recovery < o.Recovery || e.Recovery == o.Recovery && e.N < o.N
}

// Next is the epoch of the decision after this one.
func (e Epoch) Next() Epoch { return Epoch{e.Recovery, e.N + 1} }

// At is the epoch of the record that the member had when it looked.
func (v *View) At() Epoch { return Epoch{v.Recovery, v.Epoch} }

// At is the epoch of the move that it speaks of.
func (m *MoveView) At() Epoch { return Epoch{m.Recovery, m.Epoch} }
