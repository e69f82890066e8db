package admin

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/haproxy-peers/haproxy-peers/control/api"
)

// Whoever asks for figures a thousand times is mostly refused; what HAProxy and the kubelet ask is answered each time.
func TestDearAnswersAreBounded(t *testing.T) {
	d, _ := newTestServer(t)
	d.cfg.Gatherer = prometheus.NewRegistry()
	h := d.Public()
	count := func(path string) map[string]int {
		got := map[string]int{}
		for range 1000 {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, http.NoBody))
			got[strings.TrimSpace(w.Body.String())]++
		}
		return got
	}
	for _, path := range []string{"/metrics", "/active"} {
		began := time.Now()
		refused := count(path)["asked too often"]
		// As many as may come at once, and what was earned meanwhile.
		if most := dear.Each * (1 + time.Since(began).Seconds()); float64(1000-refused) > most+1 {
			t.Errorf("%s: %d of 1000 were answered, at most %.0f may be", path, 1000-refused, most)
		}
	}
	for _, path := range []string{"/beacon", "/healthz", "/readyz"} {
		if n := count(path)["asked too often"]; n > 0 {
			t.Errorf("%s was refused %d times", path, n)
		}
	}
}

// A client that holds all of the admin socket's connections keeps haproxyctl from nothing.
func TestAdminSocketIsBounded(t *testing.T) {
	d, _ := newTestServer(t)
	path := filepath.Join(t.TempDir(), "admin.sock")
	l, err := listenAdmin(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, l, d.Private(), adminBounds(d.cfg.Log)) }()
	var held []net.Conn
	for i := range 5 * maxAdminConns {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
		text := "POST " + api.PathActive + " HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{"
		_, _ = io.WriteString(c, text[:len(text)*(i%5)/4])
	}
	if a, err := api.New(path).Active(ctx); err != nil || a.Active != "pxc-1" {
		t.Errorf("got %+v, %v", a, err)
	}
	// The first ones have lost their places, or were told that the rest comes too late.
	for i, c := range held[:2*maxAdminConns] {
		_ = c.SetReadDeadline(time.Now().Add(time.Minute))
		line, err := bufio.NewReader(c).ReadString('\n')
		var nerr net.Error
		switch {
		case errors.As(err, &nerr) && nerr.Timeout():
			t.Fatalf("connection %d is still held", i)
		case err == nil && !strings.Contains(line, "413"):
			t.Errorf("connection %d was answered %q without a request", i, line)
		}
	}
	if _, err := api.New(path).Freeze(ctx, strings.Repeat("x", 1<<20)); err == nil {
		t.Error("a megabyte of reason was read")
	}
	for _, c := range held {
		_ = c.Close()
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
