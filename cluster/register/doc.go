// Package register keeps one small record identical on every member: the
// replicated record of the agreement between the daemons. It is a
// compare-and-set register of opaque bytes on top of etcd's raft library.
//
// There are four layers, each usable without the next one:
//
//   - package voters: what a configuration is, and the next change of it.
//   - package state: what a voter must remember, in one versioned, checksummed
//     file that is written whole before anything that depends on it leaves the
//     process.
//   - [Core] is pure: messages, time, members and finished writes go in,
//     messages, writes and answers come out. No goroutine, clock, file,
//     network or logger. It keeps raft and the order of effects; what has rules of
//     its own, freshness, requests, membership, founding, election, contacts, words
//     and observer, is told the time and what else it needs, decides by itself and is
//     tested by itself. A seeded simulation drives it all (sim_test.go).
//   - [Node] runs a Core with a real clock and a real file over a [Transport].
//
// DESIGN.md beside the code says why each rule is there and gives the safety
// argument of first start, lost disks, leaving and recovery.
package register
