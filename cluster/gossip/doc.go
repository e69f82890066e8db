// Package gossip is the network of the members: who is there, one-way messages
// between two of them, and the spreading of two kinds of state to all of them:
// each voter's view, and the newest committed record.
//
// It wraps hashicorp/memberlist and knows bytes, never their meaning. Nothing
// here agrees on anything: two sides of a partition both spread what they have.
// Agreement is the register's part (package cluster/register); this package
// carries its messages and spreads what it committed.
//
// # Names
//
// A process that comes back under its old memberlist name with a new address
// half-joins for 42 to 53 seconds, so a memberlist name is unique for each
// process: the stable name, a dash and eight random hex digits. The stable
// name, the disk id and what else others must know of a member travel in the
// metadata (see Meta). Two live processes with one stable name are resolved by
// a direct challenge: the later one stops, but only after the earlier one has
// answered it, so that a crashed process never blocks its successor.
//
// # How a state spreads
//
// A view goes out at once as a datagram to every voter. A voter's view is also
// repeated, as a header, every BeatInterval. Where members other than voters
// exist, everything is relayed through a queue that memberlist piggybacks on
// its packets; each member that hears something new queues it again, because
// memberlist itself does not. A record is in addition pushed at once to a few
// random members by everyone who learns it. What all that loses is repaired by
// memberlist's periodic push/pull. No wall clock takes part: views are ordered
// by (process, sequence), records by their version, and ages are summed up hop
// by hop from monotonic clocks.
//
// # What is refused
//
// Every message has an envelope with a format version. A packet with a wrong
// key, a wrong label, garbage, a newer format or another cluster's state is
// dropped and counted in gossip_dropped_total by reason.
package gossip
