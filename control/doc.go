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
// A database's death comes through the packages in this order; at each door the type
// that is handed over:
//
//	galera      its kernel refuses the probe         -> galera.NodeStatus, a verdict
//	(here)      this member's view of all nodes      -> model.View, gossiped
//	decide      pure, on the leader: who is to be it -> decide.Outcome, a model.Record to propose
//	(cluster)   agreed by a majority                 -> cluster.Agreement
//	mandate     pure: what that wants of this proxy  -> mandate.Want
//	haproxycfg  what its haproxy.cfg makes possible  -> plan.Layout
//	plan        pure: what is to be put right        -> plan.Result, with its actions
//	(here)      carried out through runtimeapi, after the mandate was asked once more
//	journal     for people                           -> api.Event
//
// This package holds the clock, the goroutines and the I/O, and as few rules as
// possible:
//
//   - Nothing is written to a HAProxy unless a majority was heard within the
//     last moments, checked again right before every command.
//   - A member that lost the majority, was paused, or has just started, waits
//     until the leader has looked at what the HAProxies did meanwhile (rule 4
//     of DESIGN section 5) before it enforces the old decision.
//   - Only the two loops take a step of the mandate (Daemon.hear); /beacon reads what
//     the last one wanted (Daemon.wanted).
//   - Each loop publishes after each turn what it knows by then, a Situation and a Look
//     ([published]). Whatever answers a question takes one of each (Daemon.asked) and
//     asks nobody else, so that one answer shows one moment. What changes something
//     reads everything anew (Daemon.present), and its answer shows the change.
//   - The beacon goes off at once and comes back late.
//
// No wall clock decides anything. Times within this process keep time.Now's
// monotonic reading; what the record has by other members' clocks is for people,
// and how long ago it was is counted from when this member first saw it. A HAProxy
// process is told from another one by its pid and its own Start_time_sec, a number
// that it has for life (or, where it prints none, its uptime against the monotonic
// clock); over a restart of this daemon by the same two and by counters that never
// go back. Not by /proc: a daemon in a container of its own does not see its
// HAProxy's process there.
//
// Who gave an order is what the kernel says of the admin socket's peer. It stands in
// the decision, or in the record's list of orders, once every voter can keep it
// (model.Record.Speaks), and in the log of the daemon that took it always.
package control
