package runtimeapi

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"testing"
)

// benchQuery is a look of the control loop at three sticky backends' tables.
func benchQuery() SnapshotQuery {
	return SnapshotQuery{Tables: []string{"galera-nodes", "steer", "strings"}, Info: true, Servers: true, Stats: true}
}

// bareRoundTrip is the least that a command costs: a connection, one write, reads to the
// end into a buffer that is there.
func bareRoundTrip(b *testing.B, socket, line string, buffer []byte) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, line); err != nil {
		b.Fatal(err)
	}
	for n := 0; ; {
		m, err := conn.Read(buffer[n:])
		n += m
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCommand measures one command against a bare round trip over the same socket,
// in turns; their difference is the cost of this package, in ns/op.
func BenchmarkCommand(b *testing.B) {
	p := start(b, installed(b))
	client := p.client(b, "admin.sock")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if err := client.SetTable(ctx, "steer", "1", 2); err != nil {
		b.Fatal(err)
	}
	b.Run("bare", func(b *testing.B) {
		buffer := make([]byte, 16<<10)
		for b.Loop() {
			bareRoundTrip(b, p.admin(), "show table steer key 1\n", buffer)
		}
	})
	b.Run("client", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, ok, err := client.TableKey(ctx, "steer", "1"); err != nil || !ok {
				b.Fatal(ok, err)
			}
		}
	})
}

// BenchmarkSnapshot measures a whole look, the round trip to a real process included.
func BenchmarkSnapshot(b *testing.B) {
	p := start(b, installed(b))
	client := p.client(b, "admin.sock")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	query := benchQuery()
	b.Run("bare", func(b *testing.B) {
		commands := "show info;show table galera-nodes;show table steer;show table strings;show servers state;show stat -1 4 -1\n"
		buffer := make([]byte, 64<<10)
		for b.Loop() {
			bareRoundTrip(b, p.admin(), commands, buffer)
		}
	})
	b.Run("client", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := client.Snapshot(ctx, query); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkSessionDetails measures the list of sessions with their addresses against the
// one without, for as many sessions as the processes' limits allow, at most 5,000.
func BenchmarkSessionDetails(b *testing.B) {
	const most = 5000
	p := start(b, installed(b))
	client := p.client(b, "admin.sock")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	info, err := client.info(ctx)
	if err != nil {
		b.Fatal(err)
	}
	limit, _ := info.Field("Maxconn")
	n, err := strconv.Atoi(limit)
	if err != nil {
		b.Fatal(err)
	}
	n = min(n-10, most)
	for range n {
		p.connect(b)
	}
	b.Run("details", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if sessions, err := client.SessionDetails(ctx, "galera-nodes", "pxc-0"); err != nil || len(sessions) != n {
				b.Fatal(len(sessions), err)
			}
		}
		b.ReportMetric(float64(n), "sessions")
	})
	b.Run("list", func(b *testing.B) {
		for b.Loop() {
			if _, err := client.Sessions(ctx); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkParseSnapshot measures the parsing alone, of the recorded replies.
func BenchmarkParseSnapshot(b *testing.B) {
	query := SnapshotQuery{Tables: []string{"galera-nodes", "steer", "nothing"}, Info: true, Servers: true, Stats: true}
	commands, err := query.commands()
	if err != nil {
		b.Fatal(err)
	}
	for version, reply := range recorded(b, "snapshot.txt") {
		b.Run(version, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(reply)))
			for b.Loop() {
				if _, err := query.parse(reply, commands); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
