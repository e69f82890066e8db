package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// serve answers on a unix socket with h and returns the socket's path.
func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "admin.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return socket
}

func TestEveryMethodAsksItsPath(t *testing.T) {
	ctx := context.Background()
	type call struct{ Method, URI, Body string }
	var got call
	answer := "{}"
	c := New(serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = call{r.Method, r.RequestURI, string(body)}
		io.WriteString(w, answer)
	}))
	tests := []struct {
		do     func() (any, error)
		answer string
		want   call
		out    any
	}{
		{func() (any, error) { return c.Status(ctx) }, `{"member":"px0"}`, call{"GET", "/v1/status", ""}, Status{Member: "px0"}},
		{func() (any, error) { return c.Active(ctx) }, `{"active":"a","epoch":7}`, call{"GET", "/v1/active", ""}, Active{Active: "a", Epoch: 7}},
		{func() (any, error) { return c.Set(ctx, SetRequest{Node: "b", Force: true, ExpectEpoch: 7}) }, `{"to":"b"}`,
			call{"POST", "/v1/active", `{"node":"b","force":true,"expect_epoch":7}`}, SetResponse{To: "b"}},
		{func() (any, error) { return c.History(ctx) }, `{"decisions":[{"epoch":3}]}`, call{"GET", "/v1/active/history", ""}, History{Decisions: []Decision{{Epoch: 3}}}},
		{func() (any, error) { return c.Nodes(ctx) }, `[{"name":"n"}]`, call{"GET", "/v1/nodes", ""}, []Node{{Name: "n"}}},
		{func() (any, error) { return c.Members(ctx) }, `[{"name":"m"}]`, call{"GET", "/v1/members", ""}, []Member{{Name: "m"}}},
		{func() (any, error) { return c.Exclude(ctx, "n") }, `{"active":"a"}`, call{"POST", "/v1/exclude", `{"node":"n"}`}, Active{Active: "a"}},
		{func() (any, error) { return c.Include(ctx, "n") }, `{"active":"a"}`, call{"POST", "/v1/include", `{"node":"n"}`}, Active{Active: "a"}},
		{func() (any, error) { return c.Freeze(ctx, "upgrade") }, `{"frozen":true}`, call{"POST", "/v1/freeze", `{"reason":"upgrade"}`}, Active{Frozen: true}},
		{func() (any, error) { return c.Unfreeze(ctx, "") }, `{}`, call{"POST", "/v1/unfreeze", `{}`}, Active{}},
		{func() (any, error) { return c.Register(ctx) }, `{"term":4}`, call{"GET", "/v1/register", ""}, Register{Term: 4}},
		{func() (any, error) { return c.RegisterInit(ctx, true) }, `{}`, call{"POST", "/v1/register/init", `{"force":true}`}, Register{}},
		{func() (any, error) { return c.RemoveMember(ctx, "px2") }, `{"changed":true}`, call{"POST", "/v1/members/remove", `{"name":"px2"}`}, RemoveResponse{Changed: true}},
		{func() (any, error) { return c.RegisterRecover(ctx, []string{"a", "b"}) }, `{}`, call{"POST", "/v1/register/recover", `{"voters":["a","b"]}`}, Register{}},
		{func() (any, error) { return c.Check(ctx, "[::1]:3306") }, `{"usable":true}`, call{"GET", "/v1/check?address=%5B%3A%3A1%5D%3A3306", ""}, Check{Usable: true}},
	}
	for _, tt := range tests {
		answer = tt.answer
		out, err := tt.do()
		if err != nil {
			t.Errorf("%v: %v", tt.want, err)
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff(tt.out, out); d != "" {
			t.Error(d)
		}
	}
}

func TestRefusalIsTheErrorInTheBody(t *testing.T) {
	want := Error{Code: CodeRefused, Message: "pxc-2 is excluded: include it first", Candidates: []string{"pxc-1"}, Winner: &Active{Active: "pxc-1", Epoch: 9}}
	c := New(serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusConflict)
		json.NewEncoder(w).Encode(want)
	}))
	_, err := c.Set(context.Background(), SetRequest{Node: "pxc-2"})
	var got *Error
	if !errors.As(err, &got) {
		t.Fatalf("got %v, want *Error", err)
	}
	if d := cmp.Diff(want, *got); d != "" {
		t.Error(d)
	}
	if err.Error() != want.Message {
		t.Errorf("got %q", err)
	}
}

func TestSentencesOfTheWay(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "missing.sock")
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dead := filepath.Join(dir, "dead.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	release := make(chan struct{})
	hanging := serve(t, func(http.ResponseWriter, *http.Request) { <-release })
	t.Cleanup(func() { close(release) })
	half := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, `{"active":`)
	})
	cut := serve(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	text := serve(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })
	notOurs := serve(t, func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) })

	tests := []struct {
		name, socket, want string
		kind               error
	}{
		{"missing", missing, "there is no socket %s: is haproxyd running? Start it", ErrUnreachable},
		{"refuses", dead, "nobody listens on %s: haproxyd has stopped; start it", ErrUnreachable},
		{"plain file", file, "%s is not a socket", ErrUnreachable},
		{"path too long", "/" + strings.Repeat("x", 200), "cannot open %s", ErrUnreachable},
		{"hangs", hanging, "haproxyd did not answer on %s within ", ErrNoAnswer},
		{"answers half", half, "haproxyd's answer on %s broke off", ErrNoAnswer},
		{"hangs up", cut, "haproxyd's answer on %s broke off", ErrNoAnswer},
		{"answers text", text, "the answer on %s is not haproxyd's", ErrNoAnswer},
		{"answers another 404", notOurs, "the answer on %s is not haproxyd's (HTTP status 404", ErrNoAnswer},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			defer cancel()
			_, err := New(tt.socket).Active(ctx)
			if !errors.Is(err, tt.kind) {
				t.Fatalf("got %v, want a %v", err, tt.kind)
			}
			if want := fmt.Sprintf(tt.want, tt.socket); !strings.HasPrefix(err.Error(), want) {
				t.Errorf("got  %q\nwant %q...", err, want)
			}
			if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "http://") {
				t.Errorf("not one line for people: %q", err)
			}
		})
	}
}

func TestNoPermission(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "admin.sock")
	err := New(socket).ways[0].explain(context.Background(),
		&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", os.ErrPermission)}, 0, false)
	if want := "no permission to open " + socket + ": use sudo"; !strings.HasPrefix(err.Error(), want) || !errors.Is(err, ErrUnreachable) {
		t.Errorf("got %q, want %q...", err, want)
	}
}

func TestCanceledIsNotBlamedOnTheDaemon(t *testing.T) {
	release := make(chan struct{})
	asked := make(chan struct{})
	c := New(serve(t, func(http.ResponseWriter, *http.Request) { close(asked); <-release }))
	t.Cleanup(func() { close(release) })
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-asked; cancel() }()
	_, err := c.Active(ctx)
	if !errors.Is(err, context.Canceled) || !strings.HasPrefix(err.Error(), "interrupted before") {
		t.Errorf("got %v", err)
	}
}
