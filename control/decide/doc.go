// Package decide is the decision: a pure function of the record, the voters'
// views and the policy. It reads no clock, does no I/O and keeps no state; the
// leader calls it every turn and proposes what it returns, and everybody may
// call it to explain the present.
//
// The rules, in the order in which they are tried (DESIGN section 5):
//
//  1. Without a record, adopt what the HAProxies do.
//  2. Keep the active, unless a majority of all voters says it is down and a
//     candidate is healthy for strictly more of them than the active is. A tie,
//     an unknown, a returning node or a restarted proxy is no reason to move.
//  3. Among candidates: most votes, then where the HAProxies already went by
//     themselves, then the configured preference, then the name.
//  4. What HAProxies did by themselves while nobody could decide is adopted
//     rather than undone, if the old active was seen down meanwhile and the
//     sessions of most proxies are on one healthy node.
//  5. Frozen means no automatic change.
//
// Every turn returns its reason as a sentence.
package decide
