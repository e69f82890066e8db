package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
)

// members are HTTP servers on 127.0.0.1, .2, ... with one port, as daemons on
// their hosts are.
func startMembers(t *testing.T, handlers ...http.HandlerFunc) (hosts []string, port int) {
	t.Helper()
	for i, h := range handlers {
		host := fmt.Sprintf("127.0.0.%d", i+1)
		l, err := net.Listen("tcp", net.JoinHostPort(host, fmt.Sprint(port)))
		if err != nil {
			t.Fatal(err)
		}
		port = l.Addr().(*net.TCPAddr).Port
		srv := &http.Server{Handler: h}
		go srv.Serve(l)
		t.Cleanup(func() { srv.Close() })
		hosts = append(hosts, host)
	}
	return hosts, port
}

func says(act api.Active) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Path != "/active" {
			http.NotFound(w, r)
			return
		}
		json.NewEncoder(w).Encode(act)
	}
}

func agreed(active string, recovery, epoch uint64) http.HandlerFunc {
	return says(api.Active{Active: active, Agreed: true, Recovery: recovery, Epoch: epoch})
}

func TestTheNewestAgreementWins(t *testing.T) {
	stale := says(api.Active{Active: "pxc-9", Recovery: 9, Epoch: 9, Reason: "1 of 3 voters is heard"})
	none := says(api.Active{Agreed: true, Recovery: 9})
	broken := func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") }
	tests := []struct {
		name    string
		members []http.HandlerFunc
		want    string
	}{
		{"epoch", []http.HandlerFunc{agreed("pxc-1", 0, 6), agreed("pxc-2", 0, 7), agreed("pxc-0", 0, 5)}, "pxc-2"},
		{"recovery beats epoch", []http.HandlerFunc{agreed("pxc-1", 0, 60), agreed("pxc-2", 1, 1)}, "pxc-2"},
		{"not agreed does not count", []http.HandlerFunc{stale, agreed("pxc-1", 0, 1)}, "pxc-1"},
		{"nothing decided does not count", []http.HandlerFunc{none, agreed("pxc-1", 0, 1)}, "pxc-1"},
		{"something else on the port", []http.HandlerFunc{broken, http.NotFound, agreed("pxc-1", 0, 1)}, "pxc-1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			hosts, port := startMembers(t, tt.members...)
			hosts = append(hosts, "127.0.0.9") // refuses
			act, err := agreedActive(t.Context(), hosts, port)
			if err != nil || act.Active != tt.want {
				t.Errorf("got %q, %v, want %q", act.Active, err, tt.want)
			}
		})
	}
}

// The member that is asked first may know no agreement yet: asking goes on.
func TestAsksUntilSomebodyKnows(t *testing.T) {
	var asked atomic.Int32
	hosts, port := startMembers(t, func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) < 3 {
			says(api.Active{Reason: "waiting"})(w, r)
			return
		}
		agreed("pxc-2", 0, 4)(w, r)
	})
	act, err := agreedActive(t.Context(), hosts, port)
	if err != nil || act.Active != "pxc-2" || asked.Load() != 3 {
		t.Errorf("got %q, %v after %d questions", act.Active, err, asked.Load())
	}
}

func TestNobodyKnows(t *testing.T) {
	hanging := make(chan struct{})
	tests := []struct {
		name    string
		members []http.HandlerFunc
		want    string
	}{
		{"not agreed", []http.HandlerFunc{says(api.Active{Active: "pxc-1", Reason: "1 of 3 voters is heard"})}, "127.0.0.1: 1 of 3 voters is heard"},
		{"hangs", []http.HandlerFunc{func(http.ResponseWriter, *http.Request) { <-hanging }}, "no answer"},
		{"another program", []http.HandlerFunc{http.NotFound}, "HTTP status 404"},
	}
	defer close(hanging)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			hosts, port := startMembers(t, tt.members...)
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			start := time.Now()
			_, err := agreedActive(ctx, hosts, port)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if took := time.Since(start); took > askWithin {
				t.Errorf("it took %s", took)
			}
		})
	}
	_, err := agreedActive(expired(t), []string{"127.0.0.9"}, 1)
	if err == nil || !strings.Contains(err.Error(), "127.0.0.9:1: ") {
		t.Errorf("got %v", err)
	}
}

// expired is a context whose time is over.
func expired(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}
