package runtimeapi

import (
	"context"
	"slices"
	"strconv"

	"github.com/haproxytech/client-native/v5/misc"
)

// What the daemon reads in one snapshot, tests also read one by one.

func (c *Client) info(ctx context.Context) (Info, error) {
	answer, err := c.ask(ctx, infoCommand)
	if err != nil {
		return Info{}, err
	}
	return parseInfo(infoCommand, answer)
}

func (c *Client) stats(ctx context.Context) ([]ServerStat, error) {
	answer, err := c.ask(ctx, statsCommand)
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
	answer, err := c.ask(ctx, command)
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
	answer, err := c.ask(ctx, command)
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
