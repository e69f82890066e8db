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
// answered two, so that a crashed process never blocks its successor.
//
// A process that is settled, which is one that has its name, does not stop for
// answers. It stops only for a settled live member of its name that has answered
// fresh challenges at the address of the membership for five seconds, and only if
// Config.Confirm finds that the other has the better right (package cluster: its
// disk is a voter of the committed configuration, and this one's is not). Else both
// stay, a warning names them, and gossip_name_conflicts counts them.
//
// # How a state spreads
//
// A view goes out at once as a datagram to every voter. A voter's view is also
// repeated, as a header, every 500 ms. Where members other than voters
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
// # One sender's word
//
// A record of another member is offered to the owner (Config.Offered) and is
// neither kept nor spread: only what the owner publishes, because its register has
// it, goes further. So a record with the largest order of all is one offer among
// others.
//
// A view is believed only of a process that is a member or was one within the last
// minute; one that comes a moment too early waits for its process, with few others.
// A number that leaps, or that is lower but newer, is held until the process has
// gone on counting there for a second and nobody has gone on where it was; and a
// process that announces older data than is held of it takes back what was not its
// own. Incarnations, by which memberlist orders the news of a member, may not leap
// either. What one holder of the key can still do, as long as he goes on sending:
// forge views, member by member, since views bear no signature. No decision rests
// on one member's view.
//
// # Bounds
//
// All that comes in passes a guard (guard.go) before memberlist, which trusts the
// lengths in a message, sees it. The figures are in limits.go.
//
//   - Datagrams: at most 2 KiB, of the right label, opened by a key where there is
//     one, and in the shape that memberlist writes: flat, not compressed, with no
//     length that the bytes do not bear out. Each member's address may send 1,000 a second, all
//     others together 1,000; with a key only what a key opens counts. The 32 members
//     that count most, voters first, have sockets of their own, so that a flood of
//     others finds another buffer full; the common socket's receiver pauses when it
//     drops much. A dropped datagram costs no allocation.
//   - Streams: 32 of members' addresses and those to join, 16 of others, 6 of one
//     of them. One that stops in the middle makes room for a new one after 100 ms
//     and ends after 2 s. Each is read whole, into memory that grows with
//     what has come and not with what was announced (3 MiB, 1 MiB of strangers, at
//     most 4 and 1 MiB together), decrypted and checked to the end, and
//     only then shown to memberlist. So are answers on streams that we open. Two
//     push/pulls are answered at a time for members, two for others.
//   - Members: maxMembers, new ones beyond a first maxMembers at two a second, 500
//     changes a second in the long run. Addresses to join have a reserve.
//   - Views: 32 KiB each and 4 MiB together; beyond it the data of those members
//     give way that came last. 64 views wait for their member, each in a packet.
//   - Messages that wait: 1,024 and 4 MiB.
//   - Log: one line of a kind in ten seconds, of memberlist's that may name members
//     a few, and of all that others can cause two a second, with the number of
//     those that were not logged.
//
// The key decides at last: a source address can be forged, and without a key
// whoever reaches the port can be a member. What the bounds promise then is that
// the process lives and goes on hearing its members, not that it hears no lies.
//
// # What is refused
//
// Every message has an envelope with a format version. A packet with a wrong
// key, a wrong label, garbage, a newer format or another cluster's state is
// dropped and counted in gossip_dropped_total by reason.
package gossip
