// Package vote is the loop that shares what this member sees, and on the leader decides:
//
//	probe, look ──► view, gossiped ──► decide ──► propose ──► agreed ──┐
//	   ▲                                                               │
//	   └───────────────────────────────────────────────────────────────┘
//
// What it knows of this member's HAProxy is a [published.Look]; what it leaves after each
// turn is a [published.Situation], from which every question is answered. In between
// stands the mandate: [Loop.Hear] takes a step of it, with the agreement as it is then.
package vote
