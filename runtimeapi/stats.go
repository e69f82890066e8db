package runtimeapi

import (
	"strconv"
	"strings"
)

// statsCommand asks for all proxies (-1), servers only (4), all of them (-1).
const statsCommand = "show stat -1 4 -1"

// ServerStat is the statistics line of one server (management.txt, section 9.1, whose
// column names are given). A column that the version lacks or leaves empty is zero.
type ServerStat struct {
	Backend string // pxname
	Server  string // svname
	// CurrentSessions is the number of sessions on the server now (scur); SessionLimit
	// is its maxconn (slim), 0 for none.
	CurrentSessions, SessionLimit int
	TotalSessions                 int64 // stot
	// Queue is the number of connections that wait for this server (qcur).
	Queue int
	// CheckDowns counts the transitions to down (chkdown).
	CheckDowns int64
	// CheckStatus is the short code of the last check, as "L4OK" or "L7STS", "" without
	// a check.
	CheckStatus string
	// CheckHealth runs from 0 to CheckRise+CheckFall-1; from CheckRise on the server is
	// up (check_health, check_rise, check_fall).
	CheckHealth, CheckRise, CheckFall int

	isServer bool
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

// statColumns are the columns of "show stat" that are read.
var statColumns = map[string]column[ServerStat]{
	"pxname":  textColumn(func(s *ServerStat) *string { return &s.Backend }),
	"svname":  textColumn(func(s *ServerStat) *string { return &s.Server }),
	"scur":    numberColumn(func(s *ServerStat) *int { return &s.CurrentSessions }),
	"slim":    numberColumn(func(s *ServerStat) *int { return &s.SessionLimit }),
	"stot":    numberColumn(func(s *ServerStat) *int64 { return &s.TotalSessions }),
	"qcur":    numberColumn(func(s *ServerStat) *int { return &s.Queue }),
	"chkdown": numberColumn(func(s *ServerStat) *int64 { return &s.CheckDowns }),
	"check_status": func(s *ServerStat, value string) error {
		s.CheckStatus = strings.TrimPrefix(value, "* ") // another check is in progress
		return nil
	},
	"check_health": numberColumn(func(s *ServerStat) *int { return &s.CheckHealth }),
	"check_rise":   numberColumn(func(s *ServerStat) *int { return &s.CheckRise }),
	"check_fall":   numberColumn(func(s *ServerStat) *int { return &s.CheckFall }),
	// Servers are of type 2 (management.txt, section 9.1).
	"type": func(s *ServerStat, value string) error {
		s.isServer = value == "2"
		return nil
	},
}

func parseStats(command, answer string) ([]ServerStat, error) {
	const mark = "# "
	if !strings.HasPrefix(answer, mark+"pxname,") {
		return nil, unexpected(command, answer)
	}
	header, rest := cutLine(answer[len(mark):])
	// Room for the widest header seen, 3.4 with every module, so that it stays on the stack.
	var room [256]column[ServerStat]
	columns := room[:0]
	required := 0
	for name := range strings.SplitSeq(header, ",") {
		columns = append(columns, statColumns[name])
		if name == "svname" || name == "type" || name == "scur" {
			required++
		}
	}
	if required != 3 {
		return nil, malformed(command, "svname, type or scur missing", header)
	}
	stats := make([]ServerStat, 0, strings.Count(rest, "\n"))
	for rest != "" {
		stats = append(stats, ServerStat{})
		stat := &stats[len(stats)-1]
		var err error
		if rest, err = parseStat(command, rest, columns, stat); err != nil {
			return nil, err
		}
		if !stat.isServer {
			stats = stats[:len(stats)-1]
		}
	}
	return stats, nil
}

// parseStat reads one line, which may hold quoted newlines, and returns what is behind it.
func parseStat(command, text string, columns []column[ServerStat], stat *ServerStat) (rest string, err error) {
	line, _ := cutLine(text) // for the errors
	rest = text
	for i, column := range columns {
		cell, behind, end := cutCell(rest)
		if end == cellBroken || end == cellLast != (i == len(columns)-1) {
			return "", malformed(command, "column "+strconv.Itoa(i+1)+" of "+strconv.Itoa(len(columns)), line)
		}
		rest = behind
		if column == nil || cell == "" {
			continue
		}
		if err := column(stat, cell); err != nil {
			return "", malformed(command, "no number "+strconv.Quote(cell), line)
		}
	}
	if stat.isServer && (stat.Backend == "" || stat.Server == "") {
		return "", malformed(command, "no pxname or svname", line)
	}
	return rest, nil
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
