// Package steer is the loop that looks at one HAProxy and puts it right:
//
//	observe ──► hear what is wanted ──► plan ──► carry out ──► read back ──┐
//	   ▲                                                                   │
//	   └───────────────────────────────────────────────────────────────────┘
//
// What it knows of the agreement is a [mandate.Want]; what the others learn of it is the
// [published.Look] that each turn leaves. Nothing is written unless the mandate, asked
// again right before every command, still wants the same.
//
// A HAProxy process is told from another one by its pid and its own Start_time_sec, a number
// that it has for life (or, where it prints none, its uptime against the monotonic
// clock); over a restart of this daemon by the same two and by counters that never
// go back. Not by /proc: a daemon in a container of its own does not see its
// HAProxy's process there.
package steer
