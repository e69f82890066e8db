package serving

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// up serves with these options until the test ends.
func up(t *testing.T, l net.Listener, h http.Handler, o Options) *Server {
	t.Helper()
	s := New(h, o)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

func listen(t *testing.T, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// client asks over a connection of its own each time, as health checks do.
func client(l net.Listener) *http.Client {
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, l.Addr().Network(), l.Addr().String())
		},
	}}
}

func ok(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })
}

// held is how many connections have a place.
func (s *Server) held() int {
	s.crowd.mu.Lock()
	defer s.crowd.mu.Unlock()
	return s.crowd.classes[here].held + s.crowd.classes[elsewhere].held
}

// sockets is how many connections one process of this test may have beside the server's.
func sockets(most int) int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 500
	}
	return min(most, int(limit.Cur)-600)
}

// Five thousand connections whose requests never end are held at once by a client that never lets go: every question
// in between and after is answered, and the server never holds more than its places.
func TestUnfinishedRequests(t *testing.T) {
	const places = 100
	for name, text := range map[string]string{
		"silent":              "",
		"half a request line": "GET /beac",
		"half a header":       "GET /beacon HTTP/1.1\r\nHost: a\r\nX-A: b\r\n",
		"a body that is owed": "GET /beacon HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n",
		"a chunk that is owed": "POST /beacon HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" +
			"ff\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			l := listen(t, "tcp", "127.0.0.1:0")
			s := up(t, l, ok("steering"), Options{Conns: places, MaxBody: 4096, ReadWithin: time.Hour})
			ask := client(l)
			number := sockets(5000)
			for i := range number {
				c, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				_, _ = io.WriteString(c, text)
				if i%500 != 0 && i != number-1 {
					continue
				}
				resp, err := ask.Get("http://x/beacon")
				if err != nil {
					t.Fatalf("with %d connections: %v", i, err)
				}
				body, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if err != nil || resp.StatusCode != http.StatusOK || string(body) != "steering" {
					t.Fatalf("with %d connections: %s %q %v", i, resp.Status, body, err)
				}
				if n := s.held(); n > places {
					t.Fatalf("%d connections are held, of %d", n, places)
				}
			}
		})
	}
}

// Connections that come as fast as a client can make them, held or not, let those through that ask something: one
// question in two at least, as a health check with `fall 2` needs.
func TestConnectionsWithoutEnd(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0")
	s := up(t, l, ok("steering"), Options{ReadWithin: time.Hour})
	var made atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range 4 {
		go func() {
			var kept []net.Conn
			for ctx.Err() == nil {
				c, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					continue
				}
				_, _ = io.WriteString(c, "GET /x HTTP/1.1\r\n")
				made.Add(1)
				_ = c.(*net.TCPConn).SetLinger(0)
				if kept = append(kept, c); len(kept) > 200 {
					_ = kept[0].Close()
					kept = kept[1:]
				}
			}
			for _, c := range kept {
				_ = c.Close()
			}
		}()
	}
	ask := client(l)
	answered, lost := 0, 0
	for answered < 50 || made.Load() < 2000 {
		resp, err := ask.Get("http://x/beacon")
		if err != nil {
			if lost++; lost > answered+20 {
				t.Fatalf("%d answered, %d lost: %v", answered, lost, err)
			}
			continue
		}
		answered++
		_ = resp.Body.Close()
	}
	if n := s.held(); n > 384 {
		t.Errorf("%d connections are held", n)
	}
	t.Logf("%d connections made, %d questions answered, %d lost", made.Load(), answered, lost)
}

// A connection whose request is being answered keeps its place; who comes when all are busy is closed.
func TestAnsweringIsNotCut(t *testing.T) {
	l := listen(t, "unix", filepath.Join(t.TempDir(), "s"))
	began, end := make(chan struct{}), make(chan struct{})
	up(t, l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		began <- struct{}{}
		select {
		case <-end:
			_, _ = w.Write(body)
		case <-r.Context().Done():
		}
	}), Options{Conns: 1, MaxBody: 10, ReadWithin: 50 * time.Millisecond})
	answer := make(chan string, 1)
	go func() {
		resp, err := client(l).Post("http://x/", "text/plain", strings.NewReader("a body"))
		if err != nil {
			answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		answer <- string(body)
	}()
	<-began
	if resp, err := client(l).Get("http://x/"); err == nil {
		resp.Body.Close()
		t.Error("a second one was let in")
	}
	time.Sleep(100 * time.Millisecond) // the time to read is over, the answer's is not
	close(end)
	if got := <-answer; got != "a body" {
		t.Errorf("the first one got %q", got)
	}
}

// From elsewhere nobody takes the places of this host.
func TestClasses(t *testing.T) {
	c := crowd{max: 2}
	conn := func(ip string) *addressed {
		a, b := net.Pipe()
		t.Cleanup(func() { a.Close(); b.Close() })
		return &addressed{Conn: a, addr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	}
	now := time.Now()
	local, _ := c.admit(conn("127.0.0.1"), now)
	for range 10 {
		now = now.Add(grace)
		if g, _ := c.admit(conn("10.0.0.7"), now); g == nil {
			t.Fatal("a stranger found no place, although others only waited")
		}
	}
	c.admit(conn("10.0.0.7"), now)
	if g, wait := c.admit(conn("10.0.0.7"), now); g != nil || wait <= 0 {
		t.Error("one that has just come has lost its place")
	}
	if local.gone || c.classes[here].held != 1 || c.classes[elsewhere].held != 2 {
		t.Errorf("held %d and %d, local gone: %v", c.classes[here].held, c.classes[elsewhere].held, local.gone)
	}
	if classOf(&net.TCPAddr{IP: net.IPv6loopback}) != here || classOf(&net.UnixAddr{}) != here {
		t.Error("IPv6 loopback and unix sockets are of this host")
	}
}

type addressed struct {
	net.Conn
	addr net.Addr
}

func (a *addressed) RemoteAddr() net.Addr { return a.addr }

func TestTooLarge(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0")
	up(t, l, ok(""), Options{MaxBody: 100})
	for name, tt := range map[string]struct {
		body   io.Reader
		header string
		want   int
	}{
		"a body":                          {strings.NewReader(strings.Repeat("x", 101)), "", http.StatusRequestEntityTooLarge},
		"a body of unknown length":        {io.MultiReader(strings.NewReader(strings.Repeat("x", 101))), "", http.StatusRequestEntityTooLarge},
		"a body that fits":                {strings.NewReader(strings.Repeat("x", 100)), "", http.StatusOK},
		"a body of unknown length, fits":  {io.MultiReader(strings.NewReader("x")), "", http.StatusOK},
		"a header":                        {nil, strings.Repeat("x", 1<<20), http.StatusRequestHeaderFieldsTooLarge},
		"no body and a header as usual":   {nil, "x", http.StatusOK},
		"no body and a header of 3 KiB":   {nil, strings.Repeat("x", 3<<10), http.StatusOK},
		"no body and a header of 100 KiB": {nil, strings.Repeat("x", 100<<10), http.StatusRequestHeaderFieldsTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequest(http.MethodPost, "http://x/", tt.body)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("X-A", tt.header)
			resp, err := client(l).Do(req)
			if err != nil {
				// The server has closed before all was sent: right for what it refuses.
				if tt.want == http.StatusOK {
					t.Fatal(err)
				}
				return
			}
			defer resp.Body.Close()
			if resp.StatusCode != tt.want {
				t.Errorf("got %s", resp.Status)
			}
		})
	}
}

func TestThrottle(t *testing.T) { synctest.Test(t, testThrottle) }

func testThrottle(t *testing.T) {
	answered := 0
	h := Throttle(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { answered++ }), Rate{All: 40, Each: 20}).(*throttle)
	// flood asks a thousand times a second for a while, and returns how often it was answered.
	flood := func(from string, seconds int) int {
		before := answered
		for range 1000 * seconds {
			time.Sleep(time.Millisecond)
			h.ServeHTTP(discard{http.Header{}}, &http.Request{RemoteAddr: from})
		}
		return answered - before
	}
	if n := flood("10.0.0.1:1", 10); n < 200 || n > 220 {
		t.Errorf("%d answers in ten seconds, at 20 a second", n)
	}
	if n := flood("10.0.0.2:1", 1); n < 20 {
		t.Errorf("another address got %d answers", n)
	}
	for i := range 10_000 {
		h.ServeHTTP(discard{http.Header{}}, &http.Request{RemoteAddr: fmt.Sprintf("10.1.%d.%d:1", i/250, i%250)})
	}
	if len(h.gate.each) > maxSources {
		t.Errorf("%d addresses are remembered", len(h.gate.each))
	}
	time.Sleep(time.Minute)
	if n := flood("10.0.0.3:1", 1); n == 0 {
		t.Error("after many addresses none is answered any more")
	}
}

// What waits for its readers does not wait for all of them at a time.
func TestThrottleBusy(t *testing.T) {
	began, end := make(chan struct{}, mostBusy), make(chan struct{})
	h := Throttle(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { began <- struct{}{}; <-end }), Rate{All: 100, Each: 100})
	done := make(chan struct{})
	for range mostBusy {
		go func() { h.ServeHTTP(discard{http.Header{}}, &http.Request{}); done <- struct{}{} }()
		<-began
	}
	w := &status{discard{http.Header{}}, 0}
	h.ServeHTTP(w, &http.Request{})
	if w.code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("got %d %v", w.code, w.Header())
	}
	close(end)
	for range mostBusy {
		<-done
	}
}

type discard struct{ header http.Header }

func (d discard) Header() http.Header       { return d.header }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}

type status struct {
	discard
	code int
}

func (s *status) WriteHeader(code int) { s.code = code }

// A connection is for one request: whoever has sent more is answered once.
func TestOneRequest(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0")
	up(t, l, ok("yes"), Options{})
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, strings.Repeat("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 3))
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	answers, _ := io.ReadAll(c) // a reset, for what was not read
	if n := strings.Count(string(answers), "200 OK"); n > 1 {
		t.Errorf("%d answers: %q", n, answers)
	}
}
