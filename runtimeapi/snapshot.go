package runtimeapi

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// SnapshotQuery says what a Snapshot holds. At least one thing must be asked for.
type SnapshotQuery struct {
	// Tables are the stick-tables to read, whole. A large table is slow to print: keep to
	// those whose keys are few.
	Tables []string
	// Info, Servers and Stats ask for "show info", "show servers state" of all backends
	// and the statistics of all servers.
	Info, Servers, Stats bool
}

// Snapshot is what one line of one connection showed. Other threads of HAProxy run between
// the commands of a line, so it is nearly, not exactly, of one moment. Its strings share the
// memory of the reply: copy what is to be kept for long.
type Snapshot struct {
	Info Info
	// Tables holds every table of the query by its name.
	Tables  map[string]Table
	Servers []ServerState
	Stats   []ServerStat
	// Took is the time from the call to the last parsed byte.
	Took time.Duration
}

// Snapshot reads everything asked for over one connection, in the order info, tables,
// servers, stats. It is whole or an error: a table that does not exist is a *CommandError
// for the whole snapshot.
func (c *Client) Snapshot(ctx context.Context, query SnapshotQuery) (Snapshot, error) {
	start := time.Now()
	commands, err := query.commands()
	if err != nil {
		return Snapshot{}, err
	}
	line := strings.Join(commands, ";")
	reply, err := c.roundTrip(ctx, line, maxListing)
	if err != nil {
		return Snapshot{}, err
	}
	snapshot, err := query.parse(reply, commands)
	if err != nil {
		return Snapshot{}, c.explain(line, err)
	}
	snapshot.Took = time.Since(start)
	return snapshot, nil
}

func (q SnapshotQuery) commands() ([]string, error) {
	commands := make([]string, 0, 3+len(q.Tables))
	if q.Info {
		commands = append(commands, infoCommand)
	}
	for _, table := range q.Tables {
		if err := checkTable(table); err != nil {
			return nil, err
		}
		commands = append(commands, tablesCommand+" "+table)
	}
	if q.Servers {
		commands = append(commands, serversCommand)
	}
	// The statistics come last: theirs is the only answer in which a quoted text might
	// hold an empty line.
	if q.Stats {
		commands = append(commands, statsCommand)
	}
	if len(commands) == 0 {
		return nil, fmt.Errorf("runtimeapi: nothing asked for in a snapshot: %w", ErrUnsafeName)
	}
	return commands, nil
}

// parse reads the answers to q.commands, which are given for the errors.
func (q SnapshotQuery) parse(reply string, commands []string) (Snapshot, error) {
	var snapshot Snapshot
	answers := make([]string, len(commands))
	err := splitAnswers(reply, answers)
	if err != nil {
		return Snapshot{}, err
	}
	next := 0
	if q.Info {
		if snapshot.Info, err = parseInfo(commands[next], answers[next]); err != nil {
			return Snapshot{}, err
		}
		next++
	}
	if len(q.Tables) > 0 {
		snapshot.Tables = make(map[string]Table, len(q.Tables))
	}
	for _, name := range q.Tables {
		if snapshot.Tables[name], err = parseTable(commands[next], answers[next]); err != nil {
			return Snapshot{}, err
		}
		next++
	}
	if q.Servers {
		if snapshot.Servers, err = parseServersState(commands[next], answers[next]); err != nil {
			return Snapshot{}, err
		}
		next++
	}
	if q.Stats {
		if snapshot.Stats, err = parseStats(commands[next], answers[next]); err != nil {
			return Snapshot{}, err
		}
	}
	return snapshot, nil
}
