package api

import (
	"fmt"
	"unicode"
	"unicode/utf8"
)

// MaxReason is the longest reason of an order in bytes: it is kept in the record.
const MaxReason = 200

// CheckReason refuses a reason that is longer than MaxReason bytes or that is not
// printable text in one line: it is shown on terminals and in logs.
func CheckReason(text string) error {
	if len(text) > MaxReason {
		return fmt.Errorf("the reason has %d bytes; give at most %d", len(text), MaxReason)
	}
	if !utf8.ValidString(text) {
		return fmt.Errorf("the reason is not UTF-8; give plain text")
	}
	for _, r := range text {
		if !unicode.IsPrint(r) {
			return fmt.Errorf("the reason has the character %q; give printable text in one line", r)
		}
	}
	return nil
}

// Reasoned is the part of an order that says why, for the history: see CheckReason.
type Reasoned struct {
	Reason string `json:"reason,omitempty"`
}

// Why returns the reason of an order; CheckReason tells whether it can be kept.
func (r *Reasoned) Why() string { return r.Reason }
