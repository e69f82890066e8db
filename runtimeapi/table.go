package runtimeapi

import (
	"context"
	"strconv"
	"strings"
)

const tablesCommand = "show table"

// TableHeader describes a stick-table.
type TableHeader struct {
	// Name is the name of the backend or frontend that declares it, or PEERS/TABLE.
	Name string
	// Type is the type of its keys: ip, ipv6, integer, string or binary.
	Type string
	// Size is the number of entries it has room for, Used the number it holds.
	Size, Used int
}

// Table is a stick-table with its entries, in HAProxy's order.
type Table struct {
	TableHeader
	Entries []Entry
}

// Entry is one entry of a stick-table. HAProxy's pointer before it is not kept: it means
// another entry as soon as this one is gone.
type Entry struct {
	// Key is the key itself: HAProxy's escapes of '=', '\', blanks and control characters
	// in strings are undone. Binary keys are in hexadecimal digits.
	Key string
	// ServerID is the id of the server, 0 for none. It counts only where ServerKey is
	// empty or names no server of the backend.
	ServerID int
	// ServerKey is the name of the server; "" for none, as in an entry made by "set
	// table". HAProxy before 2.4 calls it server_name.
	ServerKey string
}

// Tables lists the stick-tables, without their entries.
func (c *Client) Tables(ctx context.Context) ([]TableHeader, error) {
	answer, err := c.ask(ctx, tablesCommand, maxListing)
	if err != nil {
		return nil, err
	}
	return parseTables(tablesCommand, answer)
}

func parseTables(command, answer string) ([]TableHeader, error) {
	var headers []TableHeader
	for rest := answer; rest != ""; {
		var line string
		line, rest = cutLine(rest)
		if len(headers) == 0 && !strings.HasPrefix(line, tableMark) {
			return nil, refusal(command, answer)
		}
		header, err := parseTableHeader(command, line)
		if err != nil {
			return nil, err
		}
		headers = append(headers, header)
	}
	return headers, nil
}

func parseTable(command, answer string) (Table, error) {
	if !strings.HasPrefix(answer, tableMark) {
		return Table{}, unexpected(command, answer)
	}
	line, rest := cutLine(answer)
	header, err := parseTableHeader(command, line)
	if err != nil {
		return Table{}, err
	}
	table := Table{TableHeader: header}
	if rest != "" {
		table.Entries = make([]Entry, 0, strings.Count(rest, "\n"))
	}
	for rest != "" {
		line, rest = cutLine(rest)
		// "# contents not dumped due to insufficient privileges" (src/stick_table.c):
		// a table whose entries are hidden must not look empty.
		if message, ok := strings.CutPrefix(line, "# "); ok {
			return Table{}, &CommandError{Command: command, Message: message}
		}
		entry, err := parseEntry(command, line)
		if err != nil {
			return Table{}, err
		}
		table.Entries = append(table.Entries, entry)
	}
	return table, nil
}

const tableMark = "# table:"

// parseTableHeader reads "# table: T, type: integer, size:102400, used:1".
func parseTableHeader(command, line string) (TableHeader, error) {
	var header TableHeader
	rest, ok := strings.CutPrefix(line, "# ")
	if !ok {
		return header, malformed(command, "no table header", line)
	}
	header.Size, header.Used = -1, -1
	for rest != "" {
		var part string
		part, rest, _ = strings.Cut(rest, ", ")
		key, value, _ := strings.Cut(part, ":")
		value = strings.TrimPrefix(value, " ")
		var err error
		switch key {
		case "table":
			header.Name = value
		case "type":
			header.Type = value
		case "size":
			header.Size, err = parseCount(value)
		case "used":
			header.Used, err = parseCount(value)
		}
		if err != nil {
			return TableHeader{}, malformed(command, "no number", part)
		}
	}
	if header.Name == "" || header.Size < 0 || header.Used < 0 {
		return TableHeader{}, malformed(command, "no name, size or used", line)
	}
	return header, nil
}

// parseEntry reads "0x55d0: key=1 use=0 exp=0 shard=0 server_id=2 server_key=-".
func parseEntry(command, line string) (Entry, error) {
	var entry Entry
	pointer, rest, ok := strings.Cut(line, ": ")
	if !ok || !strings.HasPrefix(pointer, "0x") {
		return entry, malformed(command, "no entry", line)
	}
	for rest != "" {
		var word string
		word, rest = cutWord(rest)
		var name, value string
		if name, value, ok = strings.Cut(word, "="); !ok {
			return Entry{}, malformed(command, "no value", line)
		}
		var err error
		switch name {
		case "key":
			entry.Key, ok = unescape(value)
			if !ok {
				return Entry{}, malformed(command, "unknown escape in "+word, line)
			}
		case "server_id":
			entry.ServerID, err = strconv.Atoi(value)
		case "server_key", "server_name":
			entry.ServerKey = someName(value)
		}
		if err != nil {
			return Entry{}, malformed(command, "no number in "+word, line)
		}
	}
	if entry.Key == "" {
		return Entry{}, malformed(command, "no key", line)
	}
	return entry, nil
}

// parseCount reads a number that is not negative.
func parseCount(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 31)
	return int(n), err
}
