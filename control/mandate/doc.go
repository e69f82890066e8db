// Package mandate is what the agreement wants of this proxy now, and whether it may
// be written. It is pure: no clock, no lock, no logger, no I/O. Mandate.Step takes one
// moment's facts and returns what is wanted and what else has changed by them; what it
// remembers from step to step is in the Mandate, which belongs to one goroutine at a time.
//
// The rules, in the order in which they are tried:
//
//  1. A record that cannot be understood wants nothing.
//  2. An operator's order for this proxy alone rules until a majority is there.
//  3. Without a record nothing is wanted.
//  4. Nothing is written without a fresh majority, nor after a start, a lost majority
//     or a pause of the process before the leader has looked at what the HAProxies did
//     meanwhile (the gate; rule 4 of DESIGN section 5).
//  5. Nothing is written by a daemon that only observes.
//
// Where policy says so a proxy without a majority is cut off after a while, and stays
// it until it may write again.
package mandate
