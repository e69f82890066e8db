package runtimeapi

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/haproxytech/client-native/v5/misc"
)

// What the daemon reads in one snapshot, tests also read one by one.

func (c *Client) info(ctx context.Context) (Info, error) {
	answer, err := c.ask(ctx, infoCommand, maxListing)
	if err != nil {
		return Info{}, err
	}
	return parseInfo(infoCommand, answer)
}

func (c *Client) stats(ctx context.Context) ([]ServerStat, error) {
	answer, err := c.ask(ctx, statsCommand, maxListing)
	if err != nil {
		return nil, err
	}
	return parseStats(statsCommand, answer)
}

func (c *Client) serversState(ctx context.Context, backend string) ([]ServerState, error) {
	if err := checkName("backend", backend); err != nil {
		return nil, err
	}
	command := serversCommand + " " + backend
	answer, err := c.ask(ctx, command, maxListing)
	if err != nil {
		return nil, err
	}
	return parseServersState(command, answer)
}

func (c *Client) table(ctx context.Context, name string) (Table, error) {
	if err := checkTable(name); err != nil {
		return Table{}, err
	}
	command := tablesCommand + " " + name
	answer, err := c.ask(ctx, command, maxListing)
	if err != nil {
		return Table{}, err
	}
	return parseTable(command, answer)
}

func find(t Table, key string) (Entry, bool) {
	i := slices.IndexFunc(t.Entries, func(e Entry) bool { return e.Key == key })
	if i < 0 {
		return Entry{}, false
	}
	return t.Entries[i], true
}

// mode is "maint", "drain" or "ready", by client-native's reading of the mask.
func mode(s AdminState) string {
	state, err := misc.GetServerAdminState(strconv.FormatUint(uint64(s), 16))
	if err != nil {
		return "admin state " + strconv.Itoa(int(s))
	}
	return state
}

// TableKey returns the entry of one key, false if there is none.
func (c *Client) TableKey(ctx context.Context, table, key string) (Entry, bool, error) {
	if err := checkTable(table); err != nil {
		return Entry{}, false, err
	}
	if err := checkKey(key); err != nil {
		return Entry{}, false, err
	}
	command := tablesCommand + " " + table + " key " + key
	answer, err := c.ask(ctx, command, maxShort)
	if err != nil {
		return Entry{}, false, err
	}
	return parseTableKey(command, answer)
}

// parseTableKey reads the answer for one key: blank for a missing key, else a table of one
// entry.
func parseTableKey(command, answer string) (Entry, bool, error) {
	if answer == "" {
		return Entry{}, false, nil
	}
	table, err := parseTable(command, answer)
	if err != nil {
		return Entry{}, false, err
	}
	if len(table.Entries) != 1 {
		return Entry{}, false, malformed(command, fmt.Sprintf("%d entries for one key", len(table.Entries)), answer)
	}
	return table.Entries[0], true, nil
}
