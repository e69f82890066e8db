package state

import (
	"cmp"
	"errors"
	"fmt"
)

// ErrBadCommand refuses a command without an ID, or with a value or an ID that is
// too long.
var ErrBadCommand = errors.New("bad command")

// MaxValue is the largest Value of a [Command] in bytes. The record travels in
// every snapshot and is written whole at each decision, so it stays small.
const MaxValue = 32 << 10

// MaxCommandID is the largest length of a [Command] ID in bytes.
const MaxCommandID = 128

// Version numbers a state of the record. Versions are ordered
// lexicographically and only ever grow. Within one Recovery a Version has one
// value, ever.
type Version struct {
	// Recovery is the recovery generation, raised by a recovery alone.
	Recovery uint64 `json:"recovery"`
	// Epoch is raised by commands with NewEpoch.
	Epoch uint64 `json:"epoch"`
	// Revision is raised by every applied command.
	Revision uint64 `json:"revision"`
}

// Compare returns -1, 0 or +1 as v is before, equal to or after o.
func (v Version) Compare(o Version) int {
	return cmp.Or(cmp.Compare(v.Recovery, o.Recovery), cmp.Compare(v.Epoch, o.Epoch),
		cmp.Compare(v.Revision, o.Revision))
}

// String prints v as "r0/e7/12": recovery, epoch, revision.
func (v Version) String() string { return fmt.Sprintf("r%d/e%d/%d", v.Recovery, v.Epoch, v.Revision) }

// Record is the replicated record. Its zero value, with revision 0, is the
// record of a new cluster: nothing was decided yet.
type Record struct {
	Version
	// Value is opaque to this package and must not be modified.
	Value []byte `json:"value,omitempty"`
	// CommandID is the ID of the command that wrote Value.
	CommandID string `json:"command_id,omitempty"`
}

// Command asks for a new Value. It is applied only while Expect is the
// record's version, and then raises Revision (and Epoch with NewEpoch).
type Command struct {
	// ID makes the command idempotent: sent several times it is applied once,
	// and every copy gets the same answer. It must be unique, 1 to
	// [MaxCommandID] bytes.
	ID string `json:"id"`
	// Expect is the version that the command was validated against.
	Expect Version `json:"expect"`
	// NewEpoch also raises the epoch.
	NewEpoch bool `json:"new_epoch,omitempty"`
	// Value replaces the record's value, at most [MaxValue] bytes.
	Value []byte `json:"value,omitempty"`
}

// Validate returns an error that wraps [ErrBadCommand] when c cannot be
// proposed.
func (c Command) Validate() error {
	switch {
	case c.ID == "" || len(c.ID) > MaxCommandID:
		return fmt.Errorf("%w: the id must have 1 to %d bytes, it has %d", ErrBadCommand, MaxCommandID, len(c.ID))
	case len(c.Value) > MaxValue:
		return fmt.Errorf("%w: the value has %d bytes, at most %d are allowed", ErrBadCommand, len(c.Value), MaxValue)
	}
	return nil
}
