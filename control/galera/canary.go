package galera

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/galera/grants"
)

// Defaults of the fields of [CanaryConfig].
const (
	DefaultCanarySchema   = grants.DefaultCanarySchema
	DefaultCanaryInterval = time.Second
	DefaultCanaryDeadline = time.Second
)

const (
	canaryTable = "canary"
	// longestName is what a column of the canary's table takes.
	longestName = 255
	// settle is how long another node's commit must be past before this node's silence
	// is its own: see othersCommit.
	settle = 200 * time.Millisecond
)

// CanaryConfig is for the commit canary: a commit of its own on every node, once per
// Interval, which tells a node that cannot commit from one that has nothing to
// commit. Each member (daemon) has a row of its own per node, so that no two
// of them ever conflict. Zero fields but Member mean the default.
//
// It is the only thing that this package writes to a database. Schema and table
// are made when they are missing and the account may do so; otherwise
// the log has the statements. It needs
//
//	GRANT CREATE, SELECT, INSERT, UPDATE ON `haproxyd`.* TO 'haproxyd'@'%';
//
// and one connection per node and member. The rows are replicated as any other, to
// asynchronous replicas too.
type CanaryConfig struct {
	// Schema holds the canary's table: letters, digits, _ and $.
	Schema string
	// Interval is the time from one commit to the next.
	Interval time.Duration
	// Deadline is how long a commit may wait before the node counts as stuck, in time
	// during which this process was running. It is looked at every 200 ms.
	Deadline time.Duration
	// Member names this daemon among those that probe the same nodes.
	Member string
}

var schemaName = regexp.MustCompile(`^[0-9A-Za-z_$]{1,64}$`)

// Validate reports everything that is wrong with the configuration.
func (c CanaryConfig) Validate() error {
	var errs []error
	if c.Schema != "" && !schemaName.MatchString(c.Schema) {
		errs = append(errs, fmt.Errorf("galera: the canary's schema %q must be up to 64 letters, digits, _ or $", c.Schema))
	}
	if c.Member == "" || len(c.Member) > longestName {
		errs = append(errs, fmt.Errorf("galera: the canary's member %q must have 1 to %d bytes: use the daemon's name", c.Member, longestName))
	}
	errs = append(errs, atLeast("canary's interval", c.Interval, 100*time.Millisecond), atLeast("canary's deadline", c.Deadline, 100*time.Millisecond))
	return errors.Join(errs...)
}

func (c CanaryConfig) withDefaults() CanaryConfig {
	c.Schema = cmp.Or(c.Schema, DefaultCanarySchema)
	c.Interval = cmp.Or(c.Interval, DefaultCanaryInterval)
	c.Deadline = cmp.Or(c.Deadline, DefaultCanaryDeadline)
	return c
}

// fresh is how long a commit shows that the node commits.
func (c CanaryConfig) fresh() time.Duration { return 2*c.Interval + c.Deadline }

// lockWait is the server's own bound for a wait for locks, in whole seconds, beyond
// the deadline: the hang is noticed first, then the server's thread is free again.
func (c CanaryConfig) lockWait() int {
	return int((c.Deadline+time.Second-1)/time.Second) + 1
}

// The statements. Without IF NOT EXISTS there would be errors where members meet;
// even with it each is DDL on the whole cluster, so they are run only after an INSERT
// found something missing.

func (c CanaryConfig) table() string { return "`" + c.Schema + "`.`" + canaryTable + "`" }

func (c CanaryConfig) createSchema() string { return "CREATE SCHEMA IF NOT EXISTS `" + c.Schema + "`" }

func (c CanaryConfig) createTable() string {
	return fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (node VARCHAR(%d) NOT NULL, member VARCHAR(%d) NOT NULL,"+
		" seq BIGINT NOT NULL, at DATETIME(6) NOT NULL, PRIMARY KEY (node, member))"+
		" ENGINE=InnoDB DEFAULT CHARACTER SET=utf8mb4 COLLATE=utf8mb4_bin", c.table(), longestName, longestName)
}

func (c CanaryConfig) grant(account string) string { return grants.Canary(c.Schema, account) }

// setup is run on every new connection. Locks are waited for briefly: the server's
// default for lock_wait_timeout is a day.
func (c CanaryConfig) setup() string {
	return fmt.Sprintf("SET SESSION wsrep_sync_wait=0,autocommit=1,lock_wait_timeout=%d,innodb_lock_wait_timeout=%d",
		c.lockWait(), c.lockWait())
}

// commit is one turn. Names are written in hexadecimal, which needs no quoting in any
// sql_mode.
func (c CanaryConfig) commit(node string) string {
	return fmt.Sprintf("INSERT INTO %s (node,member,seq,at) VALUES (_utf8mb4 0x%x,_utf8mb4 0x%x,1,UTC_TIMESTAMP(6))"+
		" ON DUPLICATE KEY UPDATE seq=seq+1,at=UTC_TIMESTAMP(6)", c.table(), node, c.Member)
}
