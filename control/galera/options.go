package galera

import (
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
	"github.com/haproxy-peers/haproxy-peers/control/galera/group"
)

// optionsEvery is the time between two looks at a node's provider options, which an operator may change.
const optionsEvery = time.Minute

const (
	// MariaDB 11 has a variable for each option, and the text of all is then not to be set, but there to read on
	// some of its versions and empty on others.
	optionVariables = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('wsrep_provider_pc_weight','wsrep_provider_evs_suspect_timeout'," +
		"'wsrep_provider_evs_inactive_check_period','wsrep_provider_evs_join_retrans_period','wsrep_provider_evs_auto_evict'," +
		"'wsrep_provider_gmcast_listen_addr','wsrep_provider_socket_ssl');"
	optionText = "SELECT IFNULL(@@global.wsrep_provider_options,'')"
)

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
