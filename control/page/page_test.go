package page

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
)

// recorded is what a daemon of a real cluster answered some seconds after a failover, with the dead node still down.
func recorded(t *testing.T) api.Overview {
	t.Helper()
	b, err := os.ReadFile("testdata/failover.json")
	if err != nil {
		t.Fatal(err)
	}
	var o api.Overview
	if err := json.Unmarshal(b, &o); err != nil {
		t.Fatal(err)
	}
	return o
}

// server is a page that shows what look returns, and how often it was asked.
func server(t *testing.T, look func() api.Overview) (base string, asked *atomic.Int64) {
	t.Helper()
	asked = &atomic.Int64{}
	p := New(Config{
		Overview: func() api.Overview { asked.Add(1); return look() },
		API:      http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "api "+r.URL.Path) }),
		Now:      func() time.Time { return time.Date(2026, 12, 1, 1, 12, 30, 0, time.UTC) },
		Log:      slog.New(slog.DiscardHandler),
	})
	srv := httptest.NewServer(p.Handler())
	t.Cleanup(srv.Close)
	return srv.URL, asked
}

func get(t *testing.T, address, host string) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body), resp.Header
}

// What the page says of a failover is what the daemon answered.
func TestPageSays(t *testing.T) {
	o := recorded(t)
	base, _ := server(t, func() api.Overview { return o })
	status, body, header := get(t, base+"/", "")
	if status != http.StatusOK || !strings.Contains(header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("%d, %v", status, header)
	}
	for _, want := range []string{
		"DEGRADED</span> " + o.Status.Headline, `<p class="taker">db1</p>`, "failover: db0 → db1", "not eligible",
		"3 of 3 proxies", "db2 takes the writes", o.Status.Active.Reason, o.Explanation.IfDown[1].Stall, "px2", "leader",
	} {
		if !strings.Contains(strings.ReplaceAll(body, "&#43;", "+"), want) {
			t.Errorf("it does not say %q:\n%s", want, body)
		}
	}
	// Whatever is told by a colour is told by a sign and a word.
	for _, want := range []string{`<i aria-hidden="true">✗</i> not eligible`, `title="px0: down"`, `<i aria-hidden="true">!</i> DEGRADED`} {
		if !strings.Contains(body, want) {
			t.Errorf("it lacks %q", want)
		}
	}
	if _, body, _ := get(t, base+"/v1/status", ""); body != "api /v1/status" {
		t.Errorf("the API: %q", body)
	}
	for _, name := range []string{"/page.css", "/page.js"} {
		if status, body, _ := get(t, base+name, ""); status != http.StatusOK || strings.Contains(body, "://") {
			t.Errorf("%s: %d, or it names another host", name, status)
		}
	}
	if status, _, _ := get(t, base+"/page.html", ""); status != http.StatusNotFound {
		t.Errorf("the template is served: %d", status)
	}
}

// Whatever somebody writes is text.
func TestPageIsNoWayIn(t *testing.T) {
	o := recorded(t)
	evil := "</main><script>alert(1)</script>\r\nevent: beat\rdata: {}"
	o.Status.Headline, o.Status.Active.Reason, o.Status.Nodes[0].Name = evil, evil, evil
	o.History.Decisions[0].Reason, o.Status.Members[0].Name = evil, evil
	o.Status.Problems[0].Next = evil
	base, _ := server(t, func() api.Overview { return o })
	_, body, _ := get(t, base+"/", "")
	if strings.Contains(body, "<script>alert") || strings.Contains(body, "</main><") && strings.Count(body, "</main>") != 1 {
		t.Errorf("text became markup:\n%s", body)
	}
	for _, e := range stream(t, base, 3) {
		if e.name == "beat" && !strings.HasPrefix(e.data, `{"at"`) || strings.ContainsAny(e.data, "\r") {
			t.Errorf("text became an event: %+v", e)
		}
	}
	for _, host := range []string{"evil.example", "evil.example:9105", "127.0.0.1.evil.example", ""} {
		want := http.StatusMisdirectedRequest
		if host == "" {
			want = http.StatusOK
		}
		if status, _, _ := get(t, base+"/v1/status", host); status != want {
			t.Errorf("asked as %q: %d", host, status)
		}
	}
	for _, host := range []string{"localhost:9105", "127.0.0.1", "[::1]:9105"} {
		if status, _, _ := get(t, base+"/", host); status != http.StatusOK {
			t.Errorf("asked as %q: %d", host, status)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %s", resp.Status)
	}
}

type sent struct{ name, data string }

// stream reads so many events.
func stream(t *testing.T, base string, n int) []sent {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/live", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%s, %v", resp.Status, resp.Header)
	}
	var all []sent
	var e sent
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for len(all) < n && lines.Scan() {
		switch key, value, _ := strings.Cut(lines.Text(), ": "); key {
		case "event":
			e.name = value
		case "data":
			e.data += value + "\n"
		case "":
			all, e = append(all, e), sent{}
		default:
			t.Errorf("no field of an event: %q", lines.Text())
		}
	}
	return all
}

// What has changed is sent once, and a sign of life every second; nothing is looked at while nobody looks.
func TestPageIsFresh(t *testing.T) {
	var turn atomic.Int64
	o := recorded(t)
	base, asked := server(t, func() api.Overview {
		o := o
		if turn.Add(1) > 2 {
			o.Status.Headline = "all is well again"
		}
		return o
	})
	var got []string
	for _, e := range stream(t, base, 6) {
		switch {
		case e.name == "main" && strings.Contains(e.data, "all is well again"):
			e.name = "again"
		case e.name == "main" && !strings.Contains(e.data, o.Status.Headline):
			t.Errorf("what was sent says neither: %s", e.data)
		}
		got = append(got, e.name)
	}
	if text := strings.Join(got, " "); text != "beat main beat beat again beat" {
		t.Errorf("sent: %s", text)
	}
	time.Sleep(every + every/5) // the last viewer has gone: one turn may be under way
	before := asked.Load()
	time.Sleep(2*every + every/5)
	if after := asked.Load(); after != before {
		t.Errorf("nobody looks, and it was looked %d times", after-before)
	}
}

// One viewer too many is told so, all of them and those of one address, and a place is free when one goes.
func TestPageHasBounds(t *testing.T) {
	var h hub
	h.render = func() (frame, error) { return frame{}, nil }
	var all []chan frame
	join := func(from string, n int) {
		t.Helper()
		for range n {
			c := h.join(from)
			if c == nil {
				t.Fatal("a viewer was refused")
			}
			all = append(all, c)
		}
	}
	join("10.0.0.1", mostOfOne)
	if h.join("10.0.0.1") != nil {
		t.Error("one address has no bound")
	}
	join("10.0.0.2", mostViewers-mostOfOne)
	if h.join("10.0.0.3") != nil {
		t.Error("there is no bound")
	}
	h.leave(all[0])
	all = all[1:]
	join("10.0.0.3", 1)
	for _, c := range all {
		h.leave(c)
	}
}

// Whoever comes and goes has nothing rendered more often; and what cannot be rendered ends nothing.
func TestPageIsRenderedOnceASecond(t *testing.T) {
	o := recorded(t)
	base, asked := server(t, func() api.Overview { return o })
	began := time.Now()
	for range 50 {
		stream(t, base, 1)
	}
	if n, most := asked.Load(), int64(time.Since(began)/every)+2; n > most {
		t.Errorf("rendered %d times in %v", n, time.Since(began))
	}
	p := New(Config{Overview: func() api.Overview { panic("a fault") }, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if _, err := p.rendered(); err == nil || !strings.Contains(err.Error(), "a fault") {
		t.Errorf("%v", err)
	}
}

// A port that is taken is tried again; the end of the daemon ends what is sent.
func TestRun(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := recorded(t)
	p := New(Config{Bind: taken.Addr().String(), Overview: func() api.Overview { return o }, API: http.NotFoundHandler(), Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	p.again = 50 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	time.Sleep(2 * p.again)
	if err := taken.Close(); err != nil {
		t.Fatal(err)
	}
	base := "http://" + taken.Addr().String()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if resp, err := http.Get(base + "/page.css"); err == nil {
			_ = resp.Body.Close()
			break
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	ended := make(chan struct{})
	go func() {
		stream(t, base, 1000)
		close(ended)
	}()
	time.Sleep(100 * time.Millisecond)
	cancel()
	for _, c := range []<-chan struct{}{ended, after(done, t)} {
		select {
		case <-c:
		case <-time.After(5 * time.Second):
			t.Fatal("it does not end")
		}
	}
}

func after(done <-chan error, t *testing.T) <-chan struct{} {
	t.Helper()
	c := make(chan struct{})
	go func() {
		if err := <-done; err != nil {
			t.Error(err)
		}
		close(c)
	}()
	return c
}
