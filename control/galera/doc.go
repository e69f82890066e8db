// Package galera tells, for every database node, whether it may be the active
// one: it probes each node about ten times a second and turns what it sees into
// a verdict (healthy, down or unknown) and one sentence that says why.
//
// # Why not HAProxy's own check
//
// A check script is forked every 10 s and needs two failures: the measured
// outage is 20 s. A connection that stays open costs one round trip, sees a
// crash when the kernel does, and tells a node that hangs from one that
// refuses, from one that is up but outside the primary component.
//
// # Pure parts and thin I/O
//
//   - parser turns the rows of the answer into a [Reading].
//   - [Judge] and [JudgeError] turn a reading or a failed attempt into an
//     [Outcome]; together they are the table of verdicts.
//   - [Next] folds outcomes into a [State]: only so many failures in a row are
//     a node that is down.
//   - stuckBehind and assess tell a node that hangs from a cluster that is slow.
//   - [Prober] does the rest: one goroutine and one connection per node, and as many
//     again for the canary, if there is one ([CanaryConfig]).
//
// The connection, bounded in time and memory whatever answers, is control/galera/conn; who is between
// transactions on a node is told by control/galera/sessions.
//
// # What a verdict must never come from
//
// Down is said only of the node. What is wrong with the probe (its password,
// its privileges, its file descriptors), with the name service, or with a server
// that has no free connection for us is unknown, and unknown moves nothing. A
// daemon that was itself stopped or starved must not take that for the node's
// silence either: deadlines count only time in which this process was running
// (see conn).
//
// # The query
//
// One round trip, several statements:
//
//	SHOW SESSION STATUS WHERE Variable_name IN (...);
//	SELECT @@global.wsrep_reject_queries, ...
//
// Measured on MariaDB 10.11 with 500 other connections, server time per probe:
// 0.29 ms, against 0.81 ms for SHOW GLOBAL STATUS with SHOW GLOBAL VARIABLES.
// The session form of SHOW STATUS does not sum up the counters of every
// connection, and the wsrep values are the same in both. SHOW is answered
// by a node outside the primary component, SELECT may be refused there (error
// 1047); that refusal is itself what the probe wants to know. The first
// query on a connection asks SHOW GLOBAL VARIABLES instead, because it leaves
// out a variable that the server does not have (pxc_maint_mode on MariaDB)
// where SELECT would fail.
//
// The probe's user needs no privilege beyond being allowed to connect:
//
//	CREATE USER 'haproxyd'@'%' IDENTIFIED BY '...';
//
// # Commits that hang
//
// A node can answer and be synced while no commit on it returns. Whether it is to be left
// for that depends on the others:
//
//   - All nodes are stuck: the cluster is paused (flow control, DDL) or too slow. A
//     failover would cost every session and help none.
//   - One is stuck and another one commits: it is the node.
//
// NodeStatus.StuckAlone is the second case and the only one to vote with. Measured on
// three nodes of MariaDB 10.11.19 with Galera 26.4.23:
//
//	held on one node                     its commits    the others'    its local state
//	FLUSH TABLES WITH READ LOCK          hang (1205 *)  proceed        2, desynced by it
//	BACKUP STAGE BLOCK_COMMIT            hang           proceed        2, desynced by it
//	LOCK TABLES ... READ on a table      hang           hang           4
//	  that others write (its applier                    (flow control, once its queue
//	  waits)                                            has passed 28 write sets)
//	the same, with gcs.fc_limit raised   hang           proceed        4
//
// (*) The statement waits for a lock before its commit, so lock_wait_timeout ends it.
// All other waits are in the commit, which lock_wait_timeout does not end, and last as
// long as their cause. Neither KILL nor the end of the connection ended one that was
// behind a blocked applier ("Waiting for certification").
package galera
