// Package group knows what Galera's group layer (gcomm) shows of one process to whoever stands beside it: what its
// port says to a connection, its options, and from these and the SQL port whether the process has ended.
//
// # Why not the SQL port alone
//
// A firewall, a Service without endpoints and a server that is about to shut down all refuse SQL while the process
// lives and talks to the other nodes; evicting such a process stops the cluster for 11 s (measured). So the end of a
// process ([Sight]) is said only where both of its ports say so, each at the address at which this very process was
// met: the acceptor of the group layer speaks first, and names the process by its gcomm UUID ([Hello]).
//
// Even that is no proof: a firewall with tcp-reset in front of both ports looks the same. Whether the group itself
// waits for the process is asked of the others (control/galera, "Witnesses").
package group
