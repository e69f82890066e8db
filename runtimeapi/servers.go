package runtimeapi

import (
	"strconv"
	"strings"
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

// ServerState is one server as "show servers state" knows it (management.txt, section 9.3).
type ServerState struct {
	Backend string
	// ID is what a stick-table's server_id means.
	ID   int
	Name string
	// Addr is the address without the port, "" while it does not resolve.
	Addr    string
	Port    int
	OpState OpState
	Admin   AdminState
	// UserWeight is the weight in force.
	UserWeight int
}

// Sticks reports whether a connection that a stick-table sends here would go here: HAProxy
// asks only that the server is not stopped; drain, weight 0 and backup do not matter.
func (s ServerState) Sticks() bool { return s.OpState != OpStopped }

// StickAddress is what a stick-table with `srvkey addr` keeps of the server: ADDRESS:PORT without brackets (run on 2.6 to
// 3.4), "" while the address does not resolve.
func (s ServerState) StickAddress() string {
	if s.Addr == "" {
		return ""
	}
	return s.Addr + ":" + strconv.Itoa(s.Port)
}

// serverColumns are the columns of "show servers state" that are read.
var serverColumns = map[string]column[ServerState]{
	"be_name":  textColumn(func(s *ServerState) *string { return &s.Backend }),
	"srv_id":   numberColumn(func(s *ServerState) *int { return &s.ID }),
	"srv_name": textColumn(func(s *ServerState) *string { return &s.Name }),
	"srv_addr": func(s *ServerState, value string) error {
		s.Addr = someName(value)
		return nil
	},
	"srv_op_state":    numberColumn(func(s *ServerState) *OpState { return &s.OpState }),
	"srv_admin_state": numberColumn(func(s *ServerState) *AdminState { return &s.Admin }),
	"srv_uweight":     numberColumn(func(s *ServerState) *int { return &s.UserWeight }),
	"srv_port":        numberColumn(func(s *ServerState) *int { return &s.Port }),
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
	var room [40]column[ServerState]
	columns := room[:0]
	required := 0
	for name := range strings.FieldsSeq(strings.TrimPrefix(header, "# ")) {
		columns = append(columns, serverColumns[name])
		switch name {
		case "be_name", "srv_id", "srv_name", "srv_op_state", "srv_admin_state":
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
		servers = append(servers, ServerState{})
		if err := parseServer(command, line, columns, &servers[len(servers)-1]); err != nil {
			return nil, err
		}
	}
	return servers, nil
}

func parseServer(command, line string, columns []column[ServerState], server *ServerState) error {
	rest := line
	for i, column := range columns {
		if rest == "" {
			return malformed(command, strconv.Itoa(i)+" columns of "+strconv.Itoa(len(columns)), line)
		}
		var word string
		word, rest = cutWord(rest)
		if column == nil {
			continue
		}
		if err := column(server, word); err != nil {
			return malformed(command, "no number "+strconv.Quote(word), line)
		}
	}
	if rest != "" || server.Backend == "" || server.Name == "" {
		return malformed(command, "more columns than names, or no name", line)
	}
	return nil
}
