package runtimeapi

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/haproxytech/client-native/v5/misc"
)

const serversCommand = "show servers state"

// OpState is the operational state of a server (enum srv_state in
// include/haproxy/server-t.h).
type OpState int

// The operational states. Stickiness holds in every one but OpStopped.
const (
	OpStopped  OpState = 0 // down, or in maintenance
	OpStarting OpState = 1 // up, in slow start
	OpRunning  OpState = 2
	OpStopping OpState = 3 // up, but no new connections except sticky ones
)

// String returns the state in HAProxy's words.
func (s OpState) String() string {
	switch s {
	case OpStopped:
		return "stopped"
	case OpStarting:
		return "starting"
	case OpRunning:
		return "running"
	case OpStopping:
		return "stopping"
	}
	return "op state " + strconv.Itoa(int(s))
}

// AdminState is the mask of administrative states (enum srv_admin in
// include/haproxy/server-t.h). management.txt gives its values in hexadecimal, HAProxy
// prints it in decimal.
type AdminState int

// The bits of the mask.
const (
	AdminForcedMaint    AdminState = 0x01 // by "set server ... state maint" or "disable server"
	AdminInheritedMaint AdminState = 0x02 // of the server that this one tracks
	AdminConfigMaint    AdminState = 0x04 // "disabled" in the configuration; stays set after "state ready"
	AdminForcedDrain    AdminState = 0x08 // by "set server ... state drain"
	AdminInheritedDrain AdminState = 0x10 // of the server that this one tracks
	AdminDNSMaint       AdminState = 0x20 // the name does not resolve
	AdminFQDNChanged    AdminState = 0x40 // the name was changed at run time
)

// Maint reports whether the server is in maintenance for whatever reason.
func (s AdminState) Maint() bool {
	return s&(AdminForcedMaint|AdminInheritedMaint|AdminDNSMaint) != 0
}

// Drain reports whether the server drains: it takes sticky connections only.
func (s AdminState) Drain() bool {
	return s&(AdminForcedDrain|AdminInheritedDrain) != 0
}

// String returns "maint", "drain" or "ready", by client-native's reading of the mask.
func (s AdminState) String() string {
	state, err := misc.GetServerAdminState(strconv.FormatUint(uint64(s), 16))
	if err != nil {
		return "admin state " + strconv.Itoa(int(s))
	}
	return state
}

// ServerState is one server as "show servers state" knows it (management.txt, section 9.3).
type ServerState struct {
	BackendID int
	Backend   string
	// ID is what a stick-table's server_id means; ForcedID says that the configuration
	// gives it ("id N"), so that it is the same on every proxy.
	ID       int
	ForcedID bool
	Name     string
	// Addr is the address without the port, "" while it does not resolve.
	Addr string
	Port int
	// FQDN is the configured name, "" if the configuration has an address.
	FQDN    string
	OpState OpState
	Admin   AdminState
	// UserWeight is the weight in force, InitialWeight the configured one.
	UserWeight, InitialWeight int
	// SinceLastChange is the time since the last change of state, in whole seconds.
	SinceLastChange time.Duration
	// CheckStatus is the number of the last check's status (enum healthcheck_status in
	// include/haproxy/check-t.h), CheckResult 0 unknown, 1 neutral, 2 failed, 3 passed,
	// 4 conditionally passed; CheckHealth runs from 0 to rise+fall-1.
	CheckStatus, CheckResult, CheckHealth int
	// CheckState is a mask: 1 a check is in progress, 2 configured, 4 enabled, 8 paused.
	CheckState int
}

// Sticks reports whether a connection that a stick-table sends here would go here: HAProxy
// asks only that the server is not stopped; drain, weight 0 and backup do not matter.
func (s ServerState) Sticks() bool { return s.OpState != OpStopped }

// Checked reports whether the server has a health check that is switched on.
func (s ServerState) Checked() bool { return s.CheckState&(2|4) == 2|4 }

// ServersState returns the servers of one backend, or of all with backend "".
func (c *Client) ServersState(ctx context.Context, backend string) ([]ServerState, error) {
	command := serversCommand
	if backend != "" {
		if err := checkName("backend", backend); err != nil {
			return nil, err
		}
		command += " " + backend
	}
	answer, err := c.ask(ctx, command)
	if err != nil {
		return nil, err
	}
	return parseServersState(command, answer)
}

// serverColumn is a column of "show servers state" that is read.
type serverColumn uint8

const (
	serverIgnored serverColumn = iota
	serverBackendID
	serverBackend
	serverID
	serverName
	serverAddr
	serverOp
	serverAdmin
	serverUserWeight
	serverInitialWeight
	serverSince
	serverCheckStatus
	serverCheckResult
	serverCheckHealth
	serverCheckState
	serverForcedID
	serverFQDN
	serverPort
)

func serverColumnOf(name string) serverColumn {
	switch name {
	case "be_id":
		return serverBackendID
	case "be_name":
		return serverBackend
	case "srv_id":
		return serverID
	case "srv_name":
		return serverName
	case "srv_addr":
		return serverAddr
	case "srv_op_state":
		return serverOp
	case "srv_admin_state":
		return serverAdmin
	case "srv_uweight":
		return serverUserWeight
	case "srv_iweight":
		return serverInitialWeight
	case "srv_time_since_last_change":
		return serverSince
	case "srv_check_status":
		return serverCheckStatus
	case "srv_check_result":
		return serverCheckResult
	case "srv_check_health":
		return serverCheckHealth
	case "srv_check_state":
		return serverCheckState
	case "srv_f_forced_id":
		return serverForcedID
	case "srv_fqdn":
		return serverFQDN
	case "srv_port":
		return serverPort
	}
	return serverIgnored
}

func parseServersState(command, answer string) ([]ServerState, error) {
	if !strings.HasPrefix(answer, "1\n# be_id ") {
		if version, _ := cutLine(answer); len(version) == 1 {
			return nil, malformed(command, "another format than version 1", answer)
		}
		return nil, unexpected(command, answer)
	}
	_, rest := cutLine(answer)
	header, rest := cutLine(rest)
	var names [40]serverColumn
	columns := names[:0]
	required := 0
	for words := strings.TrimPrefix(header, "# "); words != ""; {
		var name string
		name, words = cutWord(words)
		column := serverColumnOf(name)
		columns = append(columns, column)
		if column == serverBackend || column == serverID || column == serverName || column == serverOp || column == serverAdmin {
			required++
		}
	}
	if required != 5 {
		return nil, malformed(command, "be_name, srv_id, srv_name, srv_op_state or srv_admin_state missing", header)
	}
	servers := make([]ServerState, 0, strings.Count(rest, "\n"))
	for rest != "" {
		var line string
		line, rest = cutLine(rest)
		server, err := parseServer(command, line, columns)
		if err != nil {
			return nil, err
		}
		servers = append(servers, server)
	}
	return servers, nil
}

func parseServer(command, line string, columns []serverColumn) (ServerState, error) {
	var server ServerState
	rest := line
	for i, column := range columns {
		if rest == "" {
			return ServerState{}, malformed(command, strconv.Itoa(i)+" columns of "+strconv.Itoa(len(columns)), line)
		}
		var word string
		word, rest = cutWord(rest)
		if err := server.set(column, word); err != nil {
			return ServerState{}, malformed(command, "no number "+strconv.Quote(word), line)
		}
	}
	if rest != "" || server.Backend == "" || server.Name == "" {
		return ServerState{}, malformed(command, "more columns than names, or no name", line)
	}
	return server, nil
}

func (s *ServerState) set(column serverColumn, word string) error {
	var err error
	switch column {
	case serverBackend:
		s.Backend = word
	case serverName:
		s.Name = word
	case serverAddr:
		s.Addr = someName(word)
	case serverFQDN:
		s.FQDN = someName(word)
	case serverForcedID:
		s.ForcedID = word != "0"
	case serverSince:
		s.SinceLastChange, err = parseSeconds(word)
	case serverIgnored:
	default:
		var n int
		n, err = strconv.Atoi(word)
		s.setNumber(column, n)
	}
	return err
}

func (s *ServerState) setNumber(column serverColumn, n int) {
	switch column {
	case serverBackendID:
		s.BackendID = n
	case serverID:
		s.ID = n
	case serverOp:
		s.OpState = OpState(n)
	case serverAdmin:
		s.Admin = AdminState(n)
	case serverUserWeight:
		s.UserWeight = n
	case serverInitialWeight:
		s.InitialWeight = n
	case serverCheckStatus:
		s.CheckStatus = n
	case serverCheckResult:
		s.CheckResult = n
	case serverCheckHealth:
		s.CheckHealth = n
	case serverCheckState:
		s.CheckState = n
	case serverPort:
		s.Port = n
	}
}
