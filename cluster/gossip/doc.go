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
// # Closed by default
//
// Whoever can send to the gossip's port and is believed can take a part in it:
// be a member, bring views and records, speak to the register. So a gossip
// without a key is refused on every address but the loopback's, unless the
// configuration says that it is meant so. A key file that others may write is as
// good as none and refused too; that is looked at again at every reading.
//
// A live cluster goes from no key to one in three restarts of each member (type
// Encrypt). memberlist has the two switches for it (GossipVerifyIncoming and
// GossipVerifyOutgoing of v0.7.0, for packets and both sides of streams alike):
// neighbouring steps understand each other, so that a majority is there at all
// times. While plain packets are taken they are counted, and their senders known.
//
// # Old packets are nothing
//
// memberlist's encryption says that a packet was made by somebody with the key,
// not when, nor for whom. So every packet and every stream is sealed once more,
// between memberlist and the sockets (type seal), by frames with an HMAC under a
// key derived from the gossip's:
//
//   - Each process draws random tokens for itself. A packet names the token of
//     the receiver, so that it is nothing to another process, to its sender, or
//     to another life of the receiver, which has forgotten what it has received.
//   - A packet is numbered within its session (a sender's use of one token), and
//     the receiver takes each number once. What it remembers of a token is
//     forgotten only together with the token (type inbox).
//   - A token lives for 20 s of the receiver's monotonic clock, so that a packet
//     that was held back on its way is soon nothing either. No wall clock, and no
//     clock of another machine, takes part.
//   - A sender learns the token by asking the address that it sends to, and takes
//     only the answer to its own random number. The question names the address
//     it was sent to, and only the process that tells others that address
//     answers: else a question that is brought to another member would make that
//     one take what was meant for the first. The answer goes to the address that
//     the asking process tells others (as memberlist's own answers do: a packet's
//     source may be a relay's), and is shorter than the question. Packets wait for
//     it for a second at most, and the next questions are asked before a token is
//     too old, so that only the first contact costs a round trip.
//   - A stream begins with random numbers of both sides, and its records are
//     authenticated by a key made of both. One to a member's address names it, as
//     a packet's question does.
//
// Members of the versions before this one know none of it. Each member announces
// what it reads (the constant Reads, as memberlist's delegate protocol), and is
// spoken to accordingly; where nothing is known yet, a stream is tried sealed and
// then again without. As long as one such member is left, what is not sealed has
// to be taken from everybody, and a recording from that time can be played again.
// Therefore SetStrict: who knows that all members have agreed on the sealed
// format says so, and everything else is refused from then on. A process that
// starts takes both until it is told. What was agreed on is in the record on its
// disk, so that it can be told before it opens a socket; one without a disk has
// no vote to lose, and takes what it hears then for what it needs to become a
// member. A member in the steps accept or send takes both whatever it was told,
// and one in accept seals nothing: its neighbours may have no key to read it with.
//
// Without a key nothing is authenticated, so that a seal would be worth nothing;
// there is none.
//
// # What is refused
//
// Every message has an envelope with a format version. A packet with a wrong
// key, a wrong label, garbage, a newer format or another cluster's state is
// dropped and counted in gossip_dropped_total by reason.
package gossip
