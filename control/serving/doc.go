// Package serving answers HTTP requests within bounds that whoever reaches the
// port cannot pass: connections, memory, time and log lines. It is for small
// servers whose most important answer must come while strangers make every
// connection that they can.
//
// # Who is let in
//
// Which path is asked for is known only once a request was read, and it is before
// that that a flood of connections hurts. So nobody is refused for what is full:
// one connection more takes the place of the one that has waited longest, and a
// request that comes whole is always read.
//
//   - [Listen] gives this host's loopback a queue of its own in the kernel: a flood
//     from elsewhere does not stand before a HAProxy's health check.
//   - Behind it is a lobby, where a connection waits for the end of its request's
//     header at the price of a file descriptor: most of a flood never gets further.
//   - At most Options.Conns connections are served for this host, and as many for
//     all others. One whose request is being answered is never cut; each is for one
//     request.
//
// # What a request may cost
//
// A request is read whole before its handler runs, within Options.ReadWithin and
// Options.MaxBody. What is expensive to answer is put behind a [Throttle], which
// says 503 beyond its rate.
//
// # Measured
//
// 5,000 connections with unfinished requests, each made again a second after it was
// ended: some 40 µs of the processor for each, most of it the kernel's, against 60
// where net/http met them; the slowest answer to a health check within 7 ms where
// the processors were not shared with other work.
package serving
