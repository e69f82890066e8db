package galera

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
)

// # Stuck, by what waits
//
// A transfer by rsync, a backup's FLUSH TABLES WITH READ LOCK and BACKUP STAGE
// BLOCK_COMMIT make the node a donor (wsrep_local_state 2), pause its replication and
// take a lock. Writes then wait "for backup lock" (MariaDB 10.11; "for global read
// lock", "for commit lock" where MySQL's names are kept), commits "for certification"
// while the lock is waited for itself, and for as long as it is if they were first. So
// a node that alone takes the writes, of which the others cannot say that they went on,
// shows it by its own sessions: at every reading for stuckAfter one is seen waiting, and
// nothing was committed in that time. mariabackup stops them for a second at its end.
//
// "Waiting for certification" is also what flow control looks like, and DDL, which
// stops all nodes: neither counts.
//
// It takes the privilege PROCESS, which drains need as well; without it nobody is seen
// waiting, and the canary is what is left.

// waitingQuery counts the statements that wait, and the DDL under way. For how long is
// not asked: TIME begins with the statement, not with its wait. A sum leaves out sessions
// without a statement.
const waitingQuery = "SELECT COALESCE(SUM(" +
	"STATE IN ('Waiting for backup lock','Waiting for global read lock','Waiting for commit lock','Waiting for certification')" +
	" AND LEFT(UPPER(LTRIM(INFO)),6) IN ('COMMIT','INSERT','UPDATE','DELETE','REPLAC')),0)," +
	"COALESCE(SUM(LEFT(UPPER(LTRIM(INFO)),6) IN ('ALTER ','CREATE','DROP T','DROP I','RENAME','TRUNCA','OPTIMI')),0)" +
	" FROM information_schema.PROCESSLIST"

// waiting asks how many statements wait. broken: the session must be aborted.
func (s *reader) waiting() (n int, broken bool) {
	err := s.Ask(waitingQuery, func(_ int, row []conn.Value) (err error) {
		if len(row) == 2 && string(row[1]) == "0" {
			n, err = strconv.Atoi(string(row[0]))
		}
		return err
	}, nil)
	var server *mysql.MySQLError
	if errors.As(err, &server) {
		return 0, false
	}
	return n, err != nil
}

// waits is a sentence where a donor's commits wait for its transfer or a backup, else "".
func (r *record) waits(now time.Time, gap time.Duration) string {
	if now.Sub(r.At) > gap || r.track.paused || !r.track.waits(stuckAfter) {
		return ""
	}
	return fmt.Sprintf("its own commits hang: for %v nothing was committed, and statements wait for a transfer or a backup (%d now)", stuckAfter, r.Waiting)
}

// waits tells whether at every reading, for that long, somebody waited and the position
// was the same.
func (t *track) waits(long time.Duration) bool {
	last := len(t.samples) - 1
	for i := last; i >= 0; i-- {
		switch s := t.samples[i]; {
		case !s.waits || s.committed != t.samples[last].committed:
			return false
		case t.samples[last].asked.Sub(s.asked) >= long:
			return true
		}
	}
	return false
}
