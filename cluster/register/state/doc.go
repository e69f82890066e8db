// Package state is what a voter must remember: the replicated state machine with
// the record, raft's log, and what the disk has promised to others, as one image in
// one file that is written whole.
//
// What is written here is read by other versions of the daemon, on the wire ([Codec])
// and on the disk ([Seal]): the formats are frozen, testdata/formats.golden beside the
// register holds examples of them.
package state
