package galera

import (
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
	"github.com/haproxy-peers/haproxy-peers/control/galera/grants"
	"github.com/haproxy-peers/haproxy-peers/control/galera/group"
)

// optionsEvery is the time between two looks at a node's provider options, which an operator may change.
const optionsEvery = time.Minute

// lacksEvery is the same while the account lacks something there, which an administrator may be about to give.
const lacksEvery = 10 * time.Second

// youngEvery is the same in the first minute of a process: one that comes back while an eviction is under way may have been told
// something for its sake, which does not count.
const youngEvery = 10 * time.Second

const (
	// MariaDB 11 has a variable for each option, and the text of all is then not to be set, but there to read on
	// some of its versions and empty on others.
	optionVariables = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('wsrep_provider_pc_weight','wsrep_provider_evs_suspect_timeout'," +
		"'wsrep_provider_evs_inactive_check_period','wsrep_provider_evs_join_retrans_period','wsrep_provider_evs_auto_evict'," +
		"'wsrep_provider_gmcast_listen_addr','wsrep_provider_socket_ssl');"
	optionText = "SELECT IFNULL(@@global.wsrep_provider_options,'')"
)

const (
	// mayEvict is refused by the procedure for its arguments, which shows that it is there and may be called.
	mayEvict     = "CALL " + grants.Schema + "." + grants.ProcedureEvict + "('',0,'')"
	mayEvictLast = "CALL " + grants.Schema + "." + grants.ProcedureEvictLast + "('',0,'')"
	// seesOwn counts the server's own threads, which only an account with PROCESS sees.
	seesOwn = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER='system user'"
)

// What [NodeStatus].Lacks says.
const (
	LacksProcedures = "the procedures that evict, or the right to call them (haproxyctl galera grants prints both)"
	LacksProcess    = "the privilege PROCESS (haproxyctl galera grants prints the GRANT)"
	LacksLast       = "the procedure that keeps the last of two, or the right to call it (haproxyctl galera grants --for evict-last prints both)"
)

// needed is a question whose answer is an error, 0 or nothing where something is lacking.
type needed struct{ text, without string }

var (
	neededToEvict     = []needed{{seesOwn, LacksProcess}, {mayEvict, LacksProcedures}}
	neededToEvictLast = []needed{{seesOwn, LacksProcess}, {mayEvictLast, LacksLast}}
)

// lacks is what the account lacks on the node of what is needed, "" for nothing; an error is that of the connection.
func (s *reader) lacks(all []needed) (string, error) {
	for _, q := range all {
		said := ""
		err := s.Ask(q.text, func(_ int, row []conn.Value) error {
			said = string(row[0])
			return nil
		}, nil)
		switch {
		case conn.ServerNumber(err) != 0, err == nil && (said == "0" || said == ""):
			return q.without, nil
		case err != nil:
			return "", err
		}
	}
	return "", nil
}

// options asks the node for what its group layer was told. known is false on a server that has no provider; an error is that of
// the connection, which must then be aborted.
func (s *reader) options() (o group.Options, known bool, err error) {
	var a group.Assembler
	err = s.Ask(optionVariables+optionText, func(result int, row []conn.Value) error {
		if result == 0 && len(row) == 2 {
			a.Variable(string(row[0]), string(row[1]))
		}
		return nil
	}, &conn.LongColumn{Result: 1, Piece: a.Piece})
	if err != nil && conn.ServerNumber(err) == 0 {
		return o, false, err
	}
	o, known = a.Options()
	return o, known, nil
}
