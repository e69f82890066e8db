// Package control is the daemon: it wires the two loops, and what stands between them and
// the world.
//
// The *vote* loop takes the probes' verdicts and the last look at the HAProxy, publishes
// this member's view, and, on the leader, calls the pure decision and proposes what it
// says. The *proxy* loop looks at the HAProxy, calls the pure plan, carries it out and
// reads back. They are apart so that a HAProxy whose socket hangs delays no vote, and know
// nothing of each other but two values ([published]) and the mandate.
//
// A database's death comes through the packages in this order; at each door the type
// that is handed over:
//
//	galera      its kernel refuses the probe         -> galera.NodeStatus, a verdict
//	vote        this member's view of all nodes      -> model.View, gossiped
//	decide      pure, on the leader: who is to be it -> decide.Outcome, a model.Record to propose
//	(cluster)   agreed by a majority                 -> cluster.Agreement
//	mandate     pure: what that wants of this proxy  -> mandate.Want
//	steer       a look at HAProxy                    -> plan.Observed
//	haproxycfg  what its haproxy.cfg makes possible  -> plan.Layout
//	plan        pure: what is to be put right        -> plan.Result, with its actions
//	steer       carried out through runtimeapi, after the mandate was asked once more
//	drain       sessions between transactions closed -> model.MoveView, for the next view
//	published   what both loops leave                -> published.Situation and published.Look
//	admin       what is asked and ordered            -> api.Status
//	journal     for people                           -> api.Event
//
// The rules that hold everywhere:
//
//   - Nothing is written to a HAProxy unless a majority was heard within the
//     last moments, checked again right before every command.
//   - A member that lost the majority, was paused, or has just started, waits
//     until the leader has looked at what the HAProxies did meanwhile (rule 4
//     of DESIGN section 5) before it enforces the old decision.
//   - Only the two loops take a step of the mandate (vote.Loop.Hear); /beacon reads what
//     the last one wanted (vote.Loop.Wanted).
//   - Each loop publishes after each turn what it knows by then, a Situation and a Look
//     ([published]). Whatever answers a question takes one of each (published.Moment) and
//     asks nobody else, so that one answer shows one moment. What changes something
//     reads everything anew (vote.Loop.Renew), and its answer shows the change.
//   - The beacon goes off at once and comes back late.
//
// No wall clock decides anything. Times within this process keep time.Now's
// monotonic reading; what the record has by other members' clocks is for people,
// and how long ago it was is counted from when this member first saw it.
package control
