// Package model holds the values that the decision and the plan are functions
// of: the record's content, a member's view, and what a HAProxy was seen doing.
//
// Nothing here does I/O, reads a clock or logs. The record and the view are
// encoded as JSON; unknown fields are ignored on reading, so that daemons of
// neighbouring versions understand each other during an upgrade.
package model
