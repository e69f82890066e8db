// Package grants writes the SQL that gives the daemon's account its rights on the
// database, and the procedures that evict a member of Galera's group and clear the list
// of evicted ones again. It is pure: `haproxyctl galera grants` prints what it returns.
//
// # The procedures
//
// Only an account with SUPER (MySQL: SYSTEM_VARIABLES_ADMIN) can evict, and such an account
// can do anything. So the right is given to three procedures with definer's rights, whose
// definer nobody can log in as, and the daemon's account may execute them and nothing else.
// Each is a compare-and-set on the node that it is called on, and returns one row:
//
//	CALL haproxyd_galera.evict(VICTIM, CONF_ID, PERIOD)       -- three members or more
//	CALL haproxyd_galera.evict_last(VICTIM, CONF_ID, PERIOD)  -- exactly two
//	CALL haproxyd_galera.clear_evicted(PERIOD)
//
// VICTIM is the wsrep_gcomm_uuid of the process that is to leave, CONF_ID the
// wsrep_cluster_conf_id of the view that the caller judged, PERIOD the
// evs.join_retrans_period to set, in seconds from 0.1 (Galera refuses less) to 60: '0.1',
// 'PT0.1S', or what the column join_retrans_period said, which is '1.000000' on MariaDB 11
// and 'PT1S' on others.
//
// The columns are these, in this order; all are text, and NULL where the server has no
// such thing:
//
//	outcome              one of the Outcome words
//	conf_id              wsrep_cluster_conf_id
//	cluster_status       wsrep_cluster_status
//	evs_state            wsrep_evs_state
//	cluster_size         wsrep_cluster_size
//	gcomm_uuid           this node's own wsrep_gcomm_uuid
//	evict_list           wsrep_evs_evict_list before anything was done
//	join_retrans_period  the same of evs.join_retrans_period: what a clearing puts back
//	evict_list_now       wsrep_evs_evict_list at the end
//
// An outcome other than [OutcomeEvicted] and [OutcomeCleared] says that nothing was changed.
// After an error of the server something may have been changed: the period is set
// before the eviction. Clear in that case, too.
//
// What a caller must know:
//
//   - evict checks that VICTIM is in mysql.wsrep_cluster_members, where Galera 4 lists the
//     members of the view with the same UUIDs: evicting another one would change no view
//     and leave an entry on the list. It is a table, so an open snapshot (autocommit=0, or
//     a transaction) makes it old: call outside of transactions.
//   - A node that is not Primary refuses every CALL with error 1047. clear_evicted is let
//     through with SET SESSION wsrep_dirty_reads=ON, which needs no privilege (MariaDB
//     10.11, run).
//   - After evict_last the node loses Primary before it makes itself Primary again: a commit
//     that comes meanwhile fails with error 1180 or 1047 (run), and must be tried again.
//   - wsrep_sync_wait is 0 while they run and what it was afterwards, also after an error: a
//     causal read hangs exactly when these are needed.
//   - The list says nothing of whose entries it has; clear_evicted takes all of them away,
//     an operator's too.
//
// MariaDB 11 has a variable for each of Galera's options and refuses the string of them
// where the plugin wsrep-provider is loaded (error 1210). Which of the two it is, is
// looked up at every call, so that one text serves both, and an upgrade of the server
// needs nothing done here.
package grants
