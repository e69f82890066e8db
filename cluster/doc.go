// Package cluster is what the daemons agree on and how they hear of each other.
//
// It joins two packages that do not know each other: cluster/register, the
// replicated record that only a majority of its voters can change, and
// cluster/gossip, the members, their messages and the spreading of views and
// committed records. This package adds no protocol of its own; it carries the
// register's messages over the gossip, tells each of them what it must know of
// the other, and turns both into what the daemon's loop asks for ten times a
// second: [Cluster.Agreement], [Cluster.Views], [Cluster.Members].
//
// The record and the views are bytes here: the package knows nothing of HAProxy
// or of databases.
//
// A member takes part in the agreement only once it is settled: once it has
// asked every other live process of its own name and none answered. Two
// processes with one name would else each claim the name's vote.
package cluster
