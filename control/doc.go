// Package control is the daemon: it joins what the other packages know into one
// loop.
//
//	observe ──► share ──► decide ──► agree ──► reconcile ──► verify ──┐
//	   ▲                                                              │
//	   └──────────────────────────────────────────────────────────────┘
//
// Two goroutines turn. The *vote* loop takes the probes' verdicts and the last
// look at the HAProxy, publishes this member's view, and, on the leader, calls
// the pure decision and proposes what it says. The *proxy* loop looks at the
// HAProxy, calls the pure plan, carries it out and reads back. They are apart so
// that a HAProxy whose socket hangs delays no vote.
//
// What is pure lives in packages of its own: [model] (values), [decide] (the
// decision), [plan] (effective routes and commands). This package holds the
// clock, the goroutines and the I/O, and as few rules as possible:
//
//   - Nothing is written to a HAProxy unless a majority was heard within the
//     last moments, checked again right before every command.
//   - A member that lost the majority, was paused, or has just started, waits
//     until the leader has looked at what the HAProxies did meanwhile (rule 4
//     of DESIGN section 5) before it enforces the old decision.
//   - The beacon goes off at once and comes back late.
package control
