package runtimeapi

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestEveryPrefixIsIncomplete cuts every recorded reply at every byte: no cut may pass as
// an answer, however it falls.
func TestEveryPrefixIsIncomplete(t *testing.T) {
	for _, r := range recordings {
		answers := make([]string, 1+strings.Count(r.line, ";"))
		for version, reply := range recorded(t, r.file) {
			split := func(reply string) error { return splitAnswers(reply, answers) }
			if err := split(reply); err != nil {
				t.Errorf("%s %s whole: %v", version, r.file, err)
			}
			for i := range len(reply) {
				if err := split(reply[:i]); !errors.Is(err, ErrIncomplete) {
					t.Errorf("%s %s cut at %d of %d: %v", version, r.file, i, len(reply), err)
				}
			}
		}
	}
}

// TestSplitProperty puts answers together as HAProxy does and takes them apart again.
func TestSplitProperty(t *testing.T) {
	line := rapid.StringMatching(`[ -~]{1,20}`)
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string {
			lines := rapid.SliceOfN(line, 0, 4).Draw(t, "lines")
			if len(lines) == 0 {
				return ""
			}
			return strings.Join(lines, "\n") + "\n"
		}), 1, 5).Draw(t, "answers")
		reply := ""
		for _, answer := range want {
			reply += answer + "\n"
		}
		got := make([]string, len(want))
		if err := splitAnswers(reply, got); err != nil {
			t.Fatal(err)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("answer %d is %q, want %q", i, got[i], want[i])
			}
		}
		cut := rapid.IntRange(0, len(reply)-1).Draw(t, "cut")
		if err := splitAnswers(reply[:cut], got); !errors.Is(err, ErrIncomplete) {
			t.Fatalf("cut at %d of %q: %v", cut, reply, err)
		}
		if err := splitAnswers(reply, make([]string, len(want)+1)); !errors.Is(err, ErrIncomplete) {
			t.Fatalf("one answer too few: %v", err)
		}
	})
}

func TestMoreThanOneAnswerIsRefused(t *testing.T) {
	for version, reply := range recorded(t, "info.txt") {
		answer := answerOf(t, reply+reply)
		if _, err := parseInfo("c", answer); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: two answers to one command: %v", version, err)
		}
	}
}

func TestParseSnapshot(t *testing.T) {
	query := SnapshotQuery{Tables: []string{"galera-nodes", "steer", "nothing"}, Info: true, Servers: true, Stats: true}
	commands, err := query.commands()
	if err != nil || strings.Join(commands, ";") != snapshotLine {
		t.Fatalf("%v, %v", commands, err)
	}
	for version, reply := range recorded(t, "snapshot.txt") {
		got, err := query.parse(reply, commands)
		if err != nil {
			t.Errorf("%s: %v", version, err)
			continue
		}
		steer, ok := find(got.Tables["steer"], "1")
		if !strings.HasPrefix(got.Info.Version, version) || len(got.Tables) != 3 || len(got.Tables["galera-nodes"].Entries) != 2 ||
			!ok || steer.ServerID != 2 || len(got.Servers) != 7 || len(got.Stats) != 7 {
			t.Errorf("%s: %+v", version, got)
		}
	}
	query.Tables = []string{"nope"}
	for version, reply := range recorded(t, "snapshot-refused.txt") {
		commands := []string{infoCommand, "show table nope", serversCommand, statsCommand}
		var refused *CommandError
		if _, err := query.parse(reply, commands); !errors.As(err, &refused) || refused.Command != "show table nope" || refused.Message != "No such table" {
			t.Errorf("%s: %v", version, err)
		}
	}
	if _, err := (SnapshotQuery{}).commands(); err == nil {
		t.Error("an empty query is accepted")
	}
	if _, err := (SnapshotQuery{Tables: []string{"a;b"}}).commands(); !errors.Is(err, ErrUnsafeName) {
		t.Errorf("an unsafe table: %v", err)
	}
}

func TestUnsafeArgumentsNeverReachTheSocket(t *testing.T) {
	reached := make(chan string, 100)
	client := fake(t, time.Second, func(_ net.Conn, line string) { reached <- line })
	ctx := context.Background()
	for _, bad := range []string{"", "a;b", "a b", "a\nb", "a\rb", "a<<b", "<<", `a\b`, "a\tb", "a\x00b", "a\x7fb", "naïve"} {
		_, _, keyErr := client.TableKey(ctx, "t", bad)
		_, tableErr := client.table(ctx, bad)
		_, stateErr := client.serversState(ctx, bad+"/")
		_, snapshotErr := client.Snapshot(ctx, SnapshotQuery{Tables: []string{"t", bad}})
		_, detailErr := client.SessionDetail(ctx, "0x1"+bad+"g")
		for i, err := range []error{
			keyErr, tableErr, stateErr, snapshotErr, detailErr,
			client.SetTable(ctx, bad, "1", 1),
			client.SetTable(ctx, "t", bad, 1),
			client.ClearTable(ctx, bad, "1"),
			client.ClearTable(ctx, "t", bad),
			client.ClearSetTable(ctx, "t", bad, 1),
			client.SetServerState(ctx, bad, "s", Maint),
			client.SetServerState(ctx, "b", bad, Maint),
			client.SetServerState(ctx, "b", "s", ServerMode(bad)),
			client.SetServerWeight(ctx, bad, "s", 1),
			client.HandOverQueue(ctx, "b", bad),
			client.SetServerMaxconn(ctx, "b", bad, 1),
			client.ShutdownSessionsServer(ctx, "b", bad),
			client.ShutdownSession(ctx, bad),
		} {
			if !errors.Is(err, ErrUnsafeName) {
				t.Errorf("%q in call %d: %v", bad, i, err)
			}
		}
	}
	for _, err := range []error{
		client.SetTable(ctx, "t", "1", 0),
		client.SetTable(ctx, "t", "1", 1<<31),
		client.SetServerWeight(ctx, "b", "s", 257),
		client.SetServerWeight(ctx, "b", "s", -1),
		client.SetServerMaxconn(ctx, "b", "s", -1),
	} {
		if !errors.Is(err, ErrUnsafeName) {
			t.Errorf("a number out of range: %v", err)
		}
	}
	if len(reached) > 0 {
		t.Errorf("reached the socket: %q", <-reached)
	}
}

// fake is a client of a listener that hands each line to answer, which may write, and
// closes the connection after it.
func fake(t testing.TB, timeout time.Duration, answer func(conn net.Conn, line string)) *Client {
	t.Helper()
	dir, err := os.MkdirTemp("", "runtimeapi")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				line, err := bufio.NewReader(conn).ReadString('\n')
				if err == nil {
					answer(conn, strings.TrimSuffix(line, "\n"))
				}
			}()
		}
	}()
	client, err := New(Config{Socket: socket, Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestHalfAnAnswer(t *testing.T) {
	reply := recorded(t, "info.txt")["2.6"]
	var cut atomic.Int64
	client := fake(t, time.Second, func(conn net.Conn, _ string) {
		_, _ = io.WriteString(conn, reply[:cut.Load()])
	})
	for _, n := range []int{0, 1, 17, len(reply) / 2, strings.Index(reply, "\n") + 1, len(reply) - 1} {
		cut.Store(int64(n))
		if info, err := client.info(context.Background()); !errors.Is(err, ErrIncomplete) {
			t.Errorf("%d of %d bytes: %+v, %v", n, len(reply), info, err)
		}
	}
	cut.Store(int64(len(reply)))
	if _, err := client.info(context.Background()); err != nil {
		t.Errorf("the whole reply: %v", err)
	}
	cut.Store(0)
	if err := client.SetTable(context.Background(), "t", "1", 1); !errors.Is(err, ErrIncomplete) {
		t.Errorf("no answer to a set: %v", err)
	}
}

func TestHang(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	half := fake(t, 100*time.Millisecond, func(conn net.Conn, _ string) {
		_, _ = io.WriteString(conn, "Name: HAProxy\n")
		<-release
	})
	within := func(what string, err error, began time.Time, targets ...error) {
		t.Helper()
		for _, target := range targets {
			if !errors.Is(err, target) {
				t.Errorf("%s: %v is not %v", what, err, target)
			}
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("%s took %v", what, took)
		}
	}
	began := time.Now()
	_, err := half.info(context.Background())
	within("own timeout", err, began, ErrTimeout)
	if errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("no deadline of a context was exceeded: %v", err)
	}

	slow, err := New(Config{Socket: half.socket, Timeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	began = time.Now()
	_, err = slow.info(ctx)
	within("deadline of the context", err, began, ErrTimeout, context.DeadlineExceeded)

	ctx, cancel = context.WithCancel(context.Background())
	defer context.AfterFunc(ctx, func() {})()
	time.AfterFunc(20*time.Millisecond, cancel)
	began = time.Now()
	_, err = slow.info(ctx)
	within("cancellation", err, began, context.Canceled)
	if errors.Is(err, ErrTimeout) {
		t.Errorf("a cancelled call is no timeout: %v", err)
	}
	began = time.Now()
	_, err = slow.info(ctx)
	within("cancelled before", err, began, context.Canceled)
}

func TestMaxInFlight(t *testing.T) {
	var now, most atomic.Int64
	arrived, release := make(chan struct{}, 10), make(chan struct{})
	client := fake(t, 5*time.Second, func(conn net.Conn, _ string) {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		arrived <- struct{}{}
		<-release
		now.Add(-1)
		_, _ = io.WriteString(conn, "\n")
	})
	results := make(chan error, 6)
	for range 6 {
		go func() { results <- client.SetTable(context.Background(), "t", "1", 1) }()
	}
	<-arrived
	<-arrived
	// The third waits for a connection, and not beyond its deadline.
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	if err := client.SetTable(ctx, "t", "1", 1); !errors.Is(err, ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting for a connection: %v", err)
	}
	close(release)
	for range 6 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if most.Load() != 2 {
		t.Errorf("%d connections at once, want 2", most.Load())
	}
}

func TestUnreachable(t *testing.T) {
	dir := t.TempDir()
	client, err := New(Config{Socket: filepath.Join(dir, "none")})
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.info(context.Background())
	if !errors.Is(err, ErrUnreachable) || !errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), "\n") {
		t.Errorf("no socket: %v", err)
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: client.socket})
	if err != nil {
		t.Fatal(err)
	}
	listener.SetUnlinkOnClose(false)
	listener.Close()
	if _, err = client.info(context.Background()); !errors.Is(err, ErrUnreachable) {
		t.Errorf("nobody listens: %v", err)
	}
}

func TestTooLarge(t *testing.T) {
	const size = 3 << 20
	client := fake(t, 5*time.Second, func(conn net.Conn, _ string) {
		_, _ = io.WriteString(conn, strings.Repeat("x", size-2)+"\n\n")
	})
	answer, err := client.ask(context.Background(), "show errors", maxListing)
	if err != nil || len(answer) != size-1 {
		t.Errorf("%d bytes, %v", len(answer), err)
	}
	client.maxReply = size - 1
	if _, err := client.ask(context.Background(), "show errors", maxListing); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v", err)
	}
}
