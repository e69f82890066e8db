// Package sessions tells which client sessions of a database node are between transactions.
//
// An [Inspector] lists the client sessions of a node before they are drained, and
// looks once more at each right before it is closed. For that its user needs
//
//	GRANT PROCESS ON *.* TO 'haproxyd'@'%';
//
// Which sessions are in a transaction InnoDB's monitor tells, always as of now
// (INNODB_TRX does not, see innodbQuery). The last look then asks whether the
// session has run a statement since (QUERY_ID of the process list).
//
// Where performance_schema follows transactions, it answers both, sees a bare BEGIN,
// too, and costs less: the process list is built whole for every question, 2 to 3 µs
// per session, a thread of performance_schema 0.3 µs. On MariaDB that needs
//
//	performance_schema=ON
//	performance_schema_consumer_events_transactions_current=ON
//	performance_schema_instrument='transaction=ON'
//	GRANT SELECT ON performance_schema.* TO 'haproxyd'@'%';
//
// of which MySQL 8 and PXC have all but the last by default (MySQL 8.0, "Performance
// Schema Transaction Tables"). User locks and LOCK TABLES are seen with MariaDB's
// plugin metadata_lock_info or with performance_schema.metadata_locks, temporary tables
// of other sessions on MySQL only. What a node shows is in a debug line of the log.
//
// A list of sessions is kept in less than a megabyte, whatever the server lists (see crowd),
// and InnoDB's monitor, which has as much, is read line by line.
package sessions
