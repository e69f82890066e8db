package sessions

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
	"github.com/haproxy-peers/haproxy-peers/control/galera/grants"
)

const (
	// inspectSetup follows the login.
	inspectSetup = "SET SESSION wsrep_sync_wait=0, time_zone='SYSTEM'"

	// columnsQuery tells which columns and tables the server has: QUERY_ID and TIME_MS
	// of the process list are MariaDB's, as is the plugin's METADATA_LOCK_INFO;
	// INNODB_SESSION_TEMP_TABLESPACES is MySQL's since 8.0.13.
	columnsQuery = "SELECT TABLE_NAME,COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA='information_schema'" +
		" AND TABLE_NAME IN ('PROCESSLIST','METADATA_LOCK_INFO','INNODB_SESSION_TEMP_TABLESPACES')"

	// consumersQuery counts what must be on for performance_schema to follow
	// transactions: 4. It can be turned off at any time, so every list asks again.
	consumersQuery = "SELECT (SELECT COUNT(*) FROM performance_schema.setup_consumers WHERE ENABLED='YES'" +
		" AND NAME IN ('global_instrumentation','thread_instrumentation','events_transactions_current'))" +
		" + (SELECT COUNT(*) FROM performance_schema.setup_instruments WHERE ENABLED='YES' AND NAME='transaction')"
	allConsumers = 4

	mdlInstrumentQuery = "SELECT COUNT(*) FROM performance_schema.setup_instruments WHERE ENABLED='YES' AND NAME='wait/lock/metadata/sql/mdl'"

	psThreads = " FROM performance_schema.threads t LEFT JOIN performance_schema.events_transactions_current e ON e.THREAD_ID=t.THREAD_ID"
	psLocks   = " FROM performance_schema.metadata_locks m"

	// describePSLock and describePluginLock say what a lock is on. The types differ: USER
	// LEVEL LOCK and TABLE, User lock and Table metadata lock.
	describePSLock     = "CONCAT_WS('\t',m.OBJECT_TYPE,IFNULL(m.OBJECT_SCHEMA,''),IFNULL(m.OBJECT_NAME,''))"
	describePluginLock = "CONCAT_WS('\t',LOCK_TYPE,IFNULL(TABLE_SCHEMA,''),IFNULL(TABLE_NAME,''))"
	pluginLocks        = " FROM information_schema.METADATA_LOCK_INFO"

	// userTables are the tablespaces of user temporary tables (MySQL 8.0, "The
	// INFORMATION_SCHEMA INNODB_SESSION_TEMP_TABLESPACES Table").
	userTables = " FROM information_schema.INNODB_SESSION_TEMP_TABLESPACES WHERE PURPOSE='USER' AND STATE='ACTIVE'"

	psHint = "set performance_schema=ON, performance_schema_consumer_events_transactions_current=ON and" +
		" performance_schema_instrument='transaction=ON' in its configuration and restart it"
)

// lockSource is where a server shows user locks and table locks.
type lockSource int

const (
	noLocks lockSource = iota
	psMetadataLocks
	pluginMetadataLocks
)

// sources are what a server has, and lets the account see, beyond the process list
// and InnoDB's own list.
type sources struct {
	queryID      bool // the process list numbers the statements
	milliseconds bool // and tells the time in milliseconds
	transactions bool // performance_schema follows transactions
	locks        lockSource
	temporary    bool // user temporary tables
	unseen       []string
}

// findSources asks the server which sources there are. An error is that of the
// connection: what the account may not read is not an error but unseen.
func findSources(c *conn.Session, account string) (s sources, err error) {
	plugin := false
	err = c.Ask(columnsQuery, func(_ int, row []conn.Value) error {
		if len(row) != 2 {
			return errColumns
		}
		switch table, column := strings.ToUpper(string(row[0])), strings.ToUpper(string(row[1])); {
		case table == "METADATA_LOCK_INFO":
			plugin = true
		case table == "INNODB_SESSION_TEMP_TABLESPACES":
			s.temporary = true
		case column == "QUERY_ID":
			s.queryID = true
		case column == "TIME_MS":
			s.milliseconds = true
		}
		return nil
	}, nil)
	if err != nil {
		return s, err
	}
	on, err := count(c, "SELECT @@global.performance_schema")
	if err != nil {
		return s, err
	}
	var whyTransactions, whyLocks string
	if s.transactions, whyTransactions, err = findTransactions(c, on == 1, account); err != nil {
		return s, err
	}
	if s.locks, whyLocks, err = findLocks(c, on == 1, plugin, account); err != nil {
		return s, err
	}
	if !s.transactions {
		s.unseen = append(s.unseen, "a transaction that has not touched a table yet (a bare BEGIN) is not seen: "+whyTransactions)
		if !s.queryID {
			s.unseen = append(s.unseen, "no session is seen to be idle right before it is closed: "+whyTransactions)
		}
	}
	if s.locks == noLocks {
		s.unseen = append(s.unseen, "user locks (GET_LOCK), LOCK TABLES and HANDLER are not seen: "+whyLocks)
	}
	if !s.temporary {
		s.unseen = append(s.unseen, "temporary tables are not seen: this server does not show those of other sessions")
	}
	return s, nil
}

func findTransactions(c *conn.Session, on bool, account string) (found bool, why string, err error) {
	if !on {
		return false, psHint, nil
	}
	n, err := count(c, consumersQuery)
	if err == nil && n == allConsumers {
		_, err = count(c, "SELECT 0"+psThreads+" LIMIT 0")
		found = err == nil
	}
	if denied(err) {
		return false, grants.PerformanceSchema(account), nil
	}
	return found, psHint, err
}

func findLocks(c *conn.Session, on, plugin bool, account string) (from lockSource, why string, err error) {
	// The plugin first: where it is, it was installed to be used, and it is cheaper
	// than the same in performance_schema.
	if plugin {
		return pluginMetadataLocks, "", nil
	}
	why = "INSTALL SONAME 'metadata_lock_info'"
	if !on {
		return noLocks, why, nil
	}
	n, err := count(c, mdlInstrumentQuery)
	if err == nil && n == 1 {
		if _, err = count(c, "SELECT "+describePSLock+psLocks+" JOIN performance_schema.threads t LIMIT 0"); err == nil {
			from = psMetadataLocks
		}
	}
	if denied(err) {
		return noLocks, why + " or " + grants.PerformanceSchema(account), nil
	}
	return from, why, err
}

// denied is true for the errors of tables that the account may not read or that the
// server does not have.
func denied(err error) bool {
	switch conn.ServerNumber(err) {
	case conn.ErTableAccessDenied, conn.ErColumnDenied, conn.ErDBAccessDenied, conn.ErSpecificAccess, conn.ErNoSuchTable, erBadField, erUnknownTable:
		return true
	}
	return false
}

// Numbers of server errors of tables and columns that are not there.
const (
	erBadField     = 1054
	erUnknownTable = 1109 // of information_schema, and what a plugin leaves behind
)

// count asks for one number; no row is 0.
func count(c *conn.Session, text string) (n uint64, err error) {
	err = c.Ask(text, func(_ int, row []conn.Value) error {
		n = row[0].Number()
		return nil
	}, nil)
	return n, err
}

// seen says in sentences which sources are in use.
func (s sources) seen() []string {
	said := []string{"statements that run: information_schema.PROCESSLIST", "transactions that have touched a table: SHOW ENGINE INNODB STATUS"}
	if s.transactions {
		said = append(said, "every transaction: performance_schema.events_transactions_current")
	}
	switch s.locks {
	case psMetadataLocks:
		said = append(said, "user locks and table locks: performance_schema.metadata_locks")
	case pluginMetadataLocks:
		said = append(said, "user locks and table locks: information_schema.METADATA_LOCK_INFO")
	}
	if s.temporary {
		said = append(said, "temporary tables: information_schema.INNODB_SESSION_TEMP_TABLESPACES")
	}
	return said
}

// processes is the query for the process list: id, user, host, command, idle time
// and statement number. The time is in seconds of any precision.
func (s sources) processes() string {
	time, id := "TIME", "0"
	if s.milliseconds {
		time = "TIME_MS/1000"
	}
	if s.queryID {
		id = "QUERY_ID"
	}
	return "SELECT ID,USER,HOST,COMMAND," + time + "," + id + " FROM information_schema.PROCESSLIST WHERE "
}

// Results of the query that list makes, in the order of their statements. A
// source that is not in use leaves its statement out.
const (
	resultProcesses = iota
	resultConsumers
	resultThreads
	resultTransactions
	resultLocks
	resultTemporary
	resultInnoDB
)

// list is the query for all sessions, and what its results are.
//
// The process list comes first: what a session did after that shows either in the
// sources that follow or, at the last look, as a new statement number.
func (s sources) list() (text string, results []int) {
	var b strings.Builder
	add := func(result int, statement string) {
		b.WriteString(statement)
		b.WriteByte(';')
		results = append(results, result)
	}
	add(resultProcesses, s.processes()+"ID<>CONNECTION_ID() AND COMMAND<>'Daemon' AND USER NOT IN ('system user','event_scheduler')")
	if s.transactions {
		add(resultConsumers, consumersQuery)
	}
	if s.transactions || s.locks == psMetadataLocks {
		// Joined here and not there: MariaDB has no index on THREAD_ID, and 5,000 sessions
		// took more than half a second.
		add(resultThreads, "SELECT THREAD_ID,PROCESSLIST_ID,INSTRUMENTED FROM performance_schema.threads WHERE PROCESSLIST_ID>0")
	}
	if s.transactions {
		add(resultTransactions, "SELECT THREAD_ID,STATE,TIMER_WAIT FROM performance_schema.events_transactions_current WHERE STATE='ACTIVE'")
	}
	switch s.locks {
	case psMetadataLocks:
		add(resultLocks, "SELECT OWNER_THREAD_ID,"+describePSLock+psLocks)
	case pluginMetadataLocks:
		add(resultLocks, "SELECT THREAD_ID,"+describePluginLock+pluginLocks)
	}
	if s.temporary {
		add(resultTemporary, "SELECT ID"+userTables)
	}
	add(resultInnoDB, innodbQuery)
	return b.String(), results
}

// one is the query for one session in the process list.
func (s sources) one(id uint64) string {
	return s.processes() + "ID=" + strconv.FormatUint(id, 10)
}

// oneFresh is the query for one session where performance_schema follows
// transactions: command, idle seconds, instrumented, state and age (in ps) of the
// transaction, its lock (see look), and the number of temporary tables. It is cheaper than one,
// because the process list is always built whole.
func (s sources) oneFresh(id uint64) string {
	n := strconv.FormatUint(id, 10)
	lock, tables := "NULL", "0"
	switch s.locks {
	case psMetadataLocks:
		lock = "(SELECT MAX(" + describePSLock + ")" + psLocks + " WHERE m.OWNER_THREAD_ID=t.THREAD_ID)"
	case pluginMetadataLocks:
		lock = "(SELECT MAX(" + describePluginLock + ")" + pluginLocks + " WHERE THREAD_ID=" + n + ")"
	}
	if s.temporary {
		tables = "(SELECT COUNT(*)" + userTables + " AND ID=" + n + ")"
	}
	return fmt.Sprintf("SELECT t.PROCESSLIST_COMMAND,t.PROCESSLIST_TIME,t.INSTRUMENTED,e.STATE,e.TIMER_WAIT,%s,%s%s WHERE t.PROCESSLIST_ID=%s",
		lock, tables, psThreads, n)
}
