// Package model holds the values that the decision and the plan are functions
// of: the record's content, a member's view, and what a HAProxy was seen doing.
//
// Nothing here does I/O, reads a clock or logs. The record and the view are
// encoded as JSON. What a newer version has added to them is not understood and is
// kept, on every level, when the record is written again (package keep); version 1
// (7535bfe) still loses it. What only a later version reads is written once the
// record says that every voter reads it (Record.Speaks).
package model
