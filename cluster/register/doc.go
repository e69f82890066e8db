// Package register keeps one small record identical on every member: the
// replicated record of the agreement between the daemons. It is a
// compare-and-set register of opaque bytes on top of etcd's raft library.
//
// The package has three layers, each usable without the next one:
//
//   - [Core] is pure: messages, time, members and finished writes go in,
//     messages, writes and answers come out. No goroutine, clock, file,
//     network or logger. A seeded simulation drives it (sim_test.go).
//   - the state file: one versioned, checksummed file that is written whole
//     before anything that depends on it leaves the process (file.go, disk.go).
//   - [Node] runs a Core with a real clock and a real file over a [Transport].
//
// DESIGN.md beside the code says why each rule is there and gives the safety
// argument of first start, lost disks, leaving and recovery.
package register
