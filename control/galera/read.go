package galera

import (
	"fmt"

	"github.com/go-sql-driver/mysql"

	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
)

const (
	// A session that waits for causality (wsrep_sync_wait) would hang with the
	// cluster and fail outside the primary component, where it must answer.
	setup = "SET SESSION wsrep_sync_wait=0;"

	showStatus = "SHOW SESSION STATUS WHERE Variable_name IN ('wsrep_cluster_status','wsrep_local_state','wsrep_ready'," +
		"'wsrep_cluster_state_uuid','wsrep_last_committed'," +
		"'wsrep_replicated','wsrep_replicated_bytes','wsrep_received','wsrep_received_bytes','wsrep_flow_control_paused_ns'," +
		"'wsrep_gcomm_uuid','wsrep_cluster_conf_id','wsrep_cluster_size','wsrep_cluster_weight'," +
		"'wsrep_evs_state','wsrep_evs_repl_latency','wsrep_evs_evict_list');"

	showVariables = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('wsrep_reject_queries','wsrep_sst_donor_rejects_queries'," +
		"'read_only','pxc_maint_mode');"

	selectVariables = "SELECT @@global.wsrep_reject_queries,@@global.wsrep_sst_donor_rejects_queries,@@global.read_only"
	selectMaintMode = ",@@global.pxc_maint_mode"

	// fullQuery is the first on a connection. It learns which variables the server has.
	fullQuery = setup + showStatus + showVariables + selectVariables

	query          = showStatus + selectVariables
	queryMaintMode = query + selectMaintMode
)

// selected are the columns of selectVariables and selectMaintMode.
var selected = [...][]byte{
	[]byte("wsrep_reject_queries"), []byte("wsrep_sst_donor_rejects_queries"), []byte("read_only"), []byte("pxc_maint_mode"),
}

// reader is a session that the probe reads a node on.
type reader struct {
	*conn.Session
	last  Reading // the previous one, whose strings are reused
	asked bool    // the full query
}

// read asks the node, in one round trip. After an error the session must be
// aborted.
func (s *reader) read() (r Reading, err error) {
	text := fullQuery
	if s.asked {
		if text = query; s.last.MaintMode != "" {
			text = queryMaintMode
		}
	}
	p := newParser(s.last)
	if err := s.collect(text, &p); err != nil {
		if conn.ServerNumber(err) != erUnknownCom {
			return Reading{}, err
		}
		p.r.Refused = true
	}
	if r, err = p.reading(); err != nil {
		if p.r.Refused {
			// Not even SHOW was answered.
			err = &mysql.MySQLError{Number: erUnknownCom, Message: "WSREP has not yet prepared node for application use"}
		}
		return Reading{}, err
	}
	// A refused SELECT leaves variables unread: the full query says more.
	s.asked, s.last = !r.Refused, r
	return r, nil
}

// collect reads results: of SHOW, with a name and a value in each row, or of SELECT,
// with a column for each name.
func (s *reader) collect(text string, p *parser) error {
	return s.Ask(text, func(_ int, row []conn.Value) error {
		switch columns := len(row); {
		case columns < 2 || columns > len(selected):
			return fmt.Errorf("%w: a result of %d columns", conn.ErrIncomplete, columns)
		case columns == 2:
			return p.set(row[0], row[1])
		}
		for i, v := range row {
			if err := p.set(selected[i], v); err != nil {
				return err
			}
		}
		return nil
	}, nil)
}
