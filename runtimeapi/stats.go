package runtimeapi

import (
	"context"
	"strconv"
	"strings"
	"time"
)

// statsCommand asks for all proxies (-1), servers only (4), all of them (-1).
const statsCommand = "show stat -1 4 -1"

// ServerStat is the statistics line of one server (management.txt, section 9.1, whose
// column names are given). A column that the version lacks or leaves empty is zero.
type ServerStat struct {
	Backend   string // pxname
	Server    string // svname
	BackendID int    // iid
	ID        int    // sid
	// Status is HAProxy's text: "UP", "UP 1/2", "DOWN", "DRAIN", "MAINT", "MAINT
	// (resolution)", "no check" and others.
	Status string
	Weight int
	Backup bool // bck
	// CurrentSessions is the number of sessions on the server now (scur); SessionLimit
	// is its maxconn (slim), 0 for none.
	CurrentSessions, MaxSessions, SessionLimit int
	TotalSessions                              int64 // stot
	// Queue is the number of connections that wait for this server (qcur).
	Queue, MaxQueue  int
	ConnectionErrors int64 // econ
	// CheckFailures counts failed checks while up (chkfail), CheckDowns the transitions
	// to down (chkdown).
	CheckFailures, CheckDowns int64
	// LastChange is the time since the last transition between up and down, Downtime the
	// sum of all time down; in whole seconds.
	LastChange, Downtime time.Duration
	// CheckStatus is the short code of the last check, as "L4OK" or "L7STS", "" without
	// a check; CheckRunning says that another is in progress; LastCheck is its text.
	CheckStatus  string
	CheckRunning bool
	LastCheck    string
	// CheckHealth runs from 0 to CheckRise+CheckFall-1; from CheckRise on the server is
	// up (check_health, check_rise, check_fall).
	CheckHealth, CheckRise, CheckFall int
	// CheckDuration is the time the last check took, in whole milliseconds.
	CheckDuration time.Duration
	// Addr is address and port (addr); HAProxy shows it on a socket of level operator
	// and above.
	Addr string
}

// Refused reports whether the server is up and its last check has failed: one more of
// CheckFall such in a row, or several, and it is down. A server that has just started
// or left maintenance has less than full health too, until its first check.
func (s *ServerStat) Refused() bool {
	if s.CheckHealth < s.CheckRise || s.CheckHealth >= s.CheckRise+s.CheckFall-1 {
		return false
	}
	switch s.CheckStatus {
	case "", "UNK", "INI", "CHECKED", "L4OK", "L6OK", "L7OK", "L7OKC", "PROCOK":
		return false
	}
	return true
}

// Stats returns the statistics of every server.
func (c *Client) Stats(ctx context.Context) ([]ServerStat, error) {
	answer, err := c.ask(ctx, statsCommand)
	if err != nil {
		return nil, err
	}
	return parseStats(statsCommand, answer)
}

// statColumn is a column of "show stat" that is read.
type statColumn uint8

const (
	statIgnored statColumn = iota
	statBackend
	statServer
	statBackendID
	statID
	statType
	statStatus
	statWeight
	statBackup
	statCurrentSessions
	statMaxSessions
	statSessionLimit
	statTotalSessions
	statQueue
	statMaxQueue
	statConnectionErrors
	statCheckFailures
	statCheckDowns
	statLastChange
	statDowntime
	statCheckStatus
	statCheckHealth
	statCheckRise
	statCheckFall
	statCheckDuration
	statLastCheck
	statAddr
)

func statColumnOf(name string) statColumn {
	switch name {
	case "pxname":
		return statBackend
	case "svname":
		return statServer
	case "iid":
		return statBackendID
	case "sid":
		return statID
	case "type":
		return statType
	case "status":
		return statStatus
	case "weight":
		return statWeight
	case "bck":
		return statBackup
	case "scur":
		return statCurrentSessions
	case "smax":
		return statMaxSessions
	case "slim":
		return statSessionLimit
	case "stot":
		return statTotalSessions
	case "qcur":
		return statQueue
	case "qmax":
		return statMaxQueue
	case "econ":
		return statConnectionErrors
	case "chkfail":
		return statCheckFailures
	case "chkdown":
		return statCheckDowns
	case "lastchg":
		return statLastChange
	case "downtime":
		return statDowntime
	case "check_status":
		return statCheckStatus
	case "check_duration":
		return statCheckDuration
	case "check_health":
		return statCheckHealth
	case "check_rise":
		return statCheckRise
	case "check_fall":
		return statCheckFall
	case "last_chk":
		return statLastCheck
	case "addr":
		return statAddr
	}
	return statIgnored
}

func parseStats(command, answer string) ([]ServerStat, error) {
	const mark = "# "
	if !strings.HasPrefix(answer, mark+"pxname,") {
		return nil, unexpected(command, answer)
	}
	header, rest := cutLine(answer[len(mark):])
	// Room for the widest header seen, 3.4 with every module, so that it stays on the stack.
	var room [256]statColumn
	columns := room[:0]
	required := 0
	for names, more := header, true; more; {
		var name string
		name, names, more = strings.Cut(names, ",")
		column := statColumnOf(name)
		columns = append(columns, column)
		if column == statServer || column == statType || column == statStatus || column == statCurrentSessions {
			required++
		}
	}
	if required != 4 {
		return nil, malformed(command, "svname, type, status or scur missing", header)
	}
	stats := make([]ServerStat, 0, strings.Count(rest, "\n"))
	for rest != "" {
		stat, behind, isServer, err := parseStat(command, rest, columns)
		if err != nil {
			return nil, err
		}
		if isServer {
			stats = append(stats, stat)
		}
		rest = behind
	}
	return stats, nil
}

// parseStat reads one line, which may hold quoted newlines.
func parseStat(command, text string, columns []statColumn) (stat ServerStat, rest string, isServer bool, err error) {
	rest = text
	for i, column := range columns {
		cell, behind, end := cutCell(rest)
		if end == cellBroken || end == cellLast != (i == len(columns)-1) {
			line, _ := cutLine(text)
			return ServerStat{}, "", false, malformed(command, "column "+strconv.Itoa(i+1)+" of "+strconv.Itoa(len(columns)), line)
		}
		rest = behind
		switch {
		case column == statIgnored || cell == "":
		case column == statType:
			// Servers are of type 2 (management.txt, section 9.1).
			isServer = cell == "2"
		default:
			if err := stat.set(column, cell); err != nil {
				line, _ := cutLine(text)
				return ServerStat{}, "", false, malformed(command, "no number "+strconv.Quote(cell), line)
			}
		}
	}
	if isServer && (stat.Backend == "" || stat.Server == "") {
		line, _ := cutLine(text)
		return ServerStat{}, "", false, malformed(command, "no pxname or svname", line)
	}
	return stat, rest, isServer, nil
}

// cellEnd says what ended a cell.
type cellEnd uint8

const (
	cellNext   cellEnd = iota // a comma
	cellLast                  // the end of the line
	cellBroken                // the end of the text, or something behind a closing quote
)

// cutCell cuts one CSV cell off. Texts with a comma, quote or newline are quoted, quotes in
// them doubled (csv_enc_append in src/tools.c).
func cutCell(text string) (cell, rest string, end cellEnd) {
	if !strings.HasPrefix(text, `"`) {
		// By hand: most cells are empty, and a search has its price.
		for i := range len(text) {
			if text[i] == ',' || text[i] == '\n' {
				return text[:i], text[i+1:], endOf(text[i])
			}
		}
		return "", "", cellBroken
	}
	doubled := false
	for i := 1; i < len(text)-1; i++ {
		if text[i] != '"' {
			continue
		}
		switch text[i+1] {
		case '"':
			doubled = true
			i++
		case ',', '\n':
			cell = text[1:i]
			if doubled {
				cell = strings.ReplaceAll(cell, `""`, `"`)
			}
			return cell, text[i+2:], endOf(text[i+1])
		default:
			return "", "", cellBroken
		}
	}
	return "", "", cellBroken
}

func endOf(separator byte) cellEnd {
	if separator == '\n' {
		return cellLast
	}
	return cellNext
}

func (s *ServerStat) set(column statColumn, cell string) error {
	switch column {
	case statBackend:
		s.Backend = cell
	case statServer:
		s.Server = cell
	case statStatus:
		s.Status = cell
	case statCheckStatus:
		s.CheckStatus, s.CheckRunning = strings.CutPrefix(cell, "* ")
	case statLastCheck:
		s.LastCheck = cell
	case statAddr:
		s.Addr = cell
	default:
		n, err := strconv.ParseInt(cell, 10, 64)
		if err != nil {
			return err
		}
		s.setNumber(column, n)
	}
	return nil
}

func (s *ServerStat) setNumber(column statColumn, n int64) {
	switch column {
	case statBackendID:
		s.BackendID = int(n)
	case statID:
		s.ID = int(n)
	case statWeight:
		s.Weight = int(n)
	case statBackup:
		s.Backup = n != 0
	case statCurrentSessions:
		s.CurrentSessions = int(n)
	case statMaxSessions:
		s.MaxSessions = int(n)
	case statSessionLimit:
		s.SessionLimit = int(n)
	case statTotalSessions:
		s.TotalSessions = n
	case statQueue:
		s.Queue = int(n)
	case statMaxQueue:
		s.MaxQueue = int(n)
	case statConnectionErrors:
		s.ConnectionErrors = n
	case statCheckFailures:
		s.CheckFailures = n
	case statCheckDowns:
		s.CheckDowns = n
	case statLastChange:
		s.LastChange = time.Duration(n) * time.Second
	case statDowntime:
		s.Downtime = time.Duration(n) * time.Second
	case statCheckHealth:
		s.CheckHealth = int(n)
	case statCheckRise:
		s.CheckRise = int(n)
	case statCheckFall:
		s.CheckFall = int(n)
	case statCheckDuration:
		s.CheckDuration = time.Duration(n) * time.Millisecond
	}
}
