package runtimeapi

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"
)

// everyCall is one call of each kind, with the most that its answer may cost in memory, all
// that is allocated during the call counted.
func everyCall(c *Client) map[string]struct {
	call func(context.Context) error
	most uint64
} {
	const listing, short = 24 << 20, 1 << 20
	type call = struct {
		call func(context.Context) error
		most uint64
	}
	return map[string]call{
		"snapshot": {func(ctx context.Context) error {
			_, err := c.Snapshot(ctx, SnapshotQuery{Tables: []string{"t"}, Info: true, Servers: true, Stats: true})
			return err
		}, listing},
		"tables":   {func(ctx context.Context) error { _, err := c.Tables(ctx); return err }, listing},
		"table":    {func(ctx context.Context) error { _, err := c.table(ctx, "t"); return err }, listing},
		"sessions": {func(ctx context.Context) error { _, err := c.Sessions(ctx); return err }, 64 << 20},
		"details":  {func(ctx context.Context) error { _, err := c.SessionDetails(ctx, "", ""); return err }, 64 << 20},
		"detail":   {func(ctx context.Context) error { _, err := c.SessionDetail(ctx, "0x1"); return err }, short},
		"key":      {func(ctx context.Context) error { _, _, err := c.TableKey(ctx, "t", "1"); return err }, short},
		"set":      {func(ctx context.Context) error { return c.SetTable(ctx, "t", "1", 1) }, short},
		"twice":    {func(ctx context.Context) error { return c.ClearSetTable(ctx, "t", "1", 1) }, short},
	}
}

// An answer without an end costs a bounded memory, whatever it is made of.
func TestAnswersWithoutEnd(t *testing.T) {
	for name, text := range map[string]string{
		"one line":      strings.Repeat("x", 64<<10),
		"empty lines":   strings.Repeat("\n", 64<<10),
		"sessions":      strings.Repeat("0x1: age=1s\n", 5000),
		"details":       strings.Repeat("0x1: [a] id=1\n  backend=b\n  task=0x1 (nice=0 age=1s)\n", 1000),
		"table entries": "# table: t, type: integer, size:1, used:1\n" + strings.Repeat("0x1: key=1 use=0 exp=0 server_id=1\n", 1000),
	} {
		t.Run(name, func(t *testing.T) {
			client := fake(t, time.Minute, func(conn net.Conn, _ string) {
				for {
					if _, err := io.WriteString(conn, text); err != nil {
						return
					}
				}
			})
			for call, c := range everyCall(client) {
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				err := c.call(context.Background())
				runtime.ReadMemStats(&after)
				var refused *CommandError
				if !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrIncomplete) && !errors.As(err, &refused) {
					t.Errorf("%s: %v", call, err)
				}
				if err != nil && len(err.Error()) > 2000 {
					t.Errorf("%s: an error of %d bytes", call, len(err.Error()))
				}
				if got := after.TotalAlloc - before.TotalAlloc; got > c.most {
					t.Errorf("%s: %d KiB were allocated", call, got>>10)
				}
			}
		})
	}
}

// A byte at a time is no progress: a call takes its time once, not once for each byte.
func TestTrickle(t *testing.T) {
	client := fake(t, 100*time.Millisecond, func(conn net.Conn, _ string) {
		for {
			if _, err := io.WriteString(conn, "0"); err != nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
	for call, c := range everyCall(client) {
		done := make(chan error, 1)
		go func() { done <- c.call(context.Background()) }()
		select {
		case err := <-done:
			if !errors.Is(err, ErrTimeout) {
				t.Errorf("%s: %v", call, err)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%s goes on for as long as bytes come", call)
		}
	}
}

// Sessions are counted before they are kept: a small text makes a large list.
func TestTooManySessions(t *testing.T) {
	if _, err := parseSessions("c", strings.Repeat("0x1: age=1s\n", maxSessions+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v", err)
	}
	if list, err := parseSessions("c", strings.Repeat("0x1: age=1s\n", maxSessions)); err != nil || len(list) != maxSessions {
		t.Errorf("got %d, %v", len(list), err)
	}
	var d details
	one := "0x1: [a] id=1\n  backend=b\n  task=0x1 (nice=0 age=1s)\n"
	if err := d.read(strings.NewReader(strings.Repeat(one, maxSessions+1) + "\n")); !errors.Is(err, ErrTooLarge) {
		t.Errorf("details: %d, %v", len(d.found), err)
	}
}
