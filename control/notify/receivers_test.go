package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func sample() *Event {
	e := event("0.2.failover", "/haproxyd/cluster/u", "db1", now, Data{Kind: KindFailover, Text: "the active is $(id), \"db1\"", Node: "db1", From: "db0", Epoch: 2})
	return &e
}

func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "receive")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// A script gets the event twice: in its environment and on its standard input.
func TestCommand(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	c, err := NewCommand(script(t, `echo "$1 $HAPROXYD_EVENT $HAPROXYD_EVENT_NODE $HAPROXYD_EVENT_TEXT" >`+out+`; cat >>`+out) + "  told")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Tell(t.Context(), sample()); err != nil {
		t.Fatal(err)
	}
	got, _ := os.ReadFile(out)
	first, rest, _ := strings.Cut(string(got), "\n")
	var e Event
	if err := json.Unmarshal([]byte(rest), &e); err != nil || e.Data.Node != "db1" || e.ID != "0.2.failover" {
		t.Errorf("%s, %v", rest, err)
	}
	if want := `told failover db1 the active is $(id), "db1"`; first != want {
		t.Errorf("%s", first)
	}
}

// What a script says is in the error; one that hangs, or leaves a child behind, ends in time with its children.
func TestCommandFails(t *testing.T) {
	c, err := NewCommand(script(t, "yes no | head -c 100000 >&2; exit 3"))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Tell(t.Context(), sample()); err == nil || !strings.Contains(err.Error(), "exit status 3: no no") || len(err.Error()) > 800 {
		t.Errorf("%v", err)
	}
	mark := filepath.Join(t.TempDir(), "mark")
	if c, err = NewCommand(script(t, "(sleep 2; touch "+mark+") & sleep 60")); err != nil {
		t.Fatal(err)
	}
	c.within = 200 * time.Millisecond
	began := time.Now()
	if err := c.Tell(t.Context(), sample()); err == nil || !strings.Contains(err.Error(), "did not end within 200ms") || time.Since(began) > 1500*time.Millisecond {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
	time.Sleep(2500*time.Millisecond - time.Since(began))
	if _, err := os.Stat(mark); err == nil {
		t.Error("its child goes on")
	}
	for text, want := range map[string]string{"": "empty", "/no/such/program x": "no such file"} {
		if _, err := NewCommand(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestWebhook(t *testing.T) {
	status := 204
	var got *http.Request
	var body []byte
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		if status == 302 {
			w.Header().Set("Location", "http://127.0.0.1:1/elsewhere")
		}
		w.WriteHeader(status)
	}))
	defer s.Close()
	w, err := NewWebhook(s.URL + "/hook?token=secret")
	if err != nil {
		t.Fatal(err)
	}
	defer w.client.CloseIdleConnections()
	if err := w.Tell(t.Context(), sample()); err != nil {
		t.Fatal(err)
	}
	if got.Method != http.MethodPost || !strings.HasPrefix(got.Header.Get("Content-Type"), "application/cloudevents+json") || !json.Valid(body) {
		t.Errorf("%s %v %s", got.Method, got.Header, body)
	}
	for code, refused := range map[int]bool{400: true, 422: true, 404: false, 429: false, 500: false, 302: false} {
		status = code
		if err := w.Tell(t.Context(), sample()); err == nil || errors.Is(err, errRefused) != refused {
			t.Errorf("%d: %v", code, err)
		}
	}
	s.Close()
	if err := w.Tell(t.Context(), sample()); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
	for _, text := range []string{"", "ftp://x/y", "http://", "x", "http://[::1"} {
		if _, err := NewWebhook(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// counts counts results.
type counts struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *counts) add(_, result string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int{}
	}
	c.n[result]++
}

func (c *counts) of(result string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[result]
}

// A receiver that hangs, refuses and comes back gets everything in order; nobody waits for it.
func TestQueue(t *testing.T) {
	var mu sync.Mutex
	var ids []string
	mode := "hang"
	release := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var e Event
		_ = json.NewDecoder(r.Body).Decode(&e)
		mu.Lock()
		is := mode
		if is == "well" {
			ids = append(ids, e.ID)
		}
		mu.Unlock()
		switch is {
		case "hang":
			select {
			case <-release:
			case <-r.Context().Done():
			}
		case "refuse":
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer s.Close()
	defer close(release)
	w, err := NewWebhook(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer w.client.CloseIdleConnections()
	w.client.Timeout = 100 * time.Millisecond
	var c counts
	q := newQueue(w, slog.New(slog.DiscardHandler), c.add)
	q.pause = 10 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { q.run(ctx) })
	defer done.Wait()
	defer cancel()
	began := time.Now()
	for i := range 5 {
		e := sample()
		e.ID = fmt.Sprint(i)
		q.add(e, time.Now())
	}
	if time.Since(began) > 50*time.Millisecond {
		t.Error("adding waits for the receiver")
	}
	wait := func(what string, so func() bool) {
		t.Helper()
		for began := time.Now(); !so(); time.Sleep(time.Millisecond) {
			if time.Since(began) > 10*time.Second {
				t.Fatal(what)
			}
		}
	}
	wait("no attempt fails", func() bool { return c.of(ResultFailed) >= 1 })
	mu.Lock()
	mode = "refuse"
	mu.Unlock()
	failed := c.of(ResultFailed)
	wait("no attempt is refused", func() bool { return c.of(ResultFailed) >= failed+2 })
	mu.Lock()
	mode = "well"
	mu.Unlock()
	wait("not all come", func() bool { return c.of(ResultTold) == 5 })
	mu.Lock()
	defer mu.Unlock()
	if strings.Join(ids, "") != "01234" {
		t.Errorf("%q", ids)
	}
}

// refuser takes nothing.
type refuser struct{ err error }

func (refuser) Name() string                         { return "refuser" }
func (r refuser) Tell(context.Context, *Event) error { return r.err }

// A queue is bounded: the oldest go. What is refused for good, or has been tried for too long, makes room for the next.
func TestGivenUp(t *testing.T) {
	var c counts
	q := newQueue(refuser{errRefused}, slog.New(slog.DiscardHandler), c.add)
	for range mostQueued + 3 {
		q.add(sample(), time.Now())
	}
	if len(q.all) != mostQueued || c.of(ResultGivenUp) != 3 {
		t.Errorf("%d wait, %d were given up", len(q.all), c.of(ResultGivenUp))
	}
	run := func(q *queue) {
		ctx, cancel := context.WithCancel(t.Context())
		var done sync.WaitGroup
		done.Go(func() { q.run(ctx) })
		for began := time.Now(); q.first() != nil; time.Sleep(time.Millisecond) {
			if time.Since(began) > 10*time.Second {
				t.Fatal("they are never given up")
			}
		}
		cancel()
		done.Wait()
	}
	run(q)
	if n := c.of(ResultGivenUp); n != mostQueued+3 {
		t.Errorf("%d were given up", n)
	}
	q = newQueue(refuser{io.EOF}, slog.New(slog.DiscardHandler), c.add)
	q.add(sample(), time.Now().Add(-givenUpAfter-time.Second))
	run(q)
	if n := c.of(ResultGivenUp); n != mostQueued+4 {
		t.Errorf("%d were given up", n)
	}
}
