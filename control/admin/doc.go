// Package admin is what is asked of this member and ordered through it: the admin API on a
// unix socket, for haproxyctl, and the public port, for HAProxy, the kubelet and
// Prometheus.
//
// A question reads one [published.Moment] and asks nobody else, so that its answer shows
// one moment. An order reads everything anew, changes the record by compare-and-set, and
// its answer shows the change. Who gave it is what the kernel says of the socket's peer; that
// stands in the decision, or in the record's list of orders, once every voter can keep it
// (model.Record.Speaks), and in the log of the daemon that took it always.
//
// How the clients are served, what is wrong and what to type is judged here and nowhere else
// (judge.go), as a pure function of what the answer shows.
package admin
