package serving

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/serving/certtest"
)

// secured is a server that answers with its client's name, and its address.
func secured(t *testing.T, files Certificates, log *slog.Logger) string {
	t.Helper()
	config, err := files.TLS(log)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.TLS.VerifiedChains[0][0].Subject.CommonName)
	}), Options{TLS: config, MaxBody: 100, Log: log})
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	return l.Addr().String()
}

// saying is a log's text.
type saying struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (s *saying) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *saying) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func ask(t *testing.T, address string, ca *certtest.CA, client *certtest.Pair) (string, error) {
	t.Helper()
	text, err := os.ReadFile(ca.File)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	config := &tls.Config{RootCAs: pool}
	if client != nil {
		pair, err := tls.LoadX509KeyPair(client.Cert, client.Key)
		if err != nil {
			t.Fatal(err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}, Timeout: 5 * time.Second}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+address+"/", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return fmt.Sprint(resp.StatusCode, " ", string(body)), err
}

// Who shows no certificate of the CA's gets no answer; the files are read again when they change, and one that cannot be
// used changes nothing.
func TestCertificates(t *testing.T) {
	dir := t.TempDir()
	ca := certtest.NewCA(t, dir, "ca")
	server := ca.Server("server", "127.0.0.1")
	ana := ca.Client("ana", "ana", "some")
	files := Certificates{Cert: server.Cert, Key: server.Key, ClientCA: ca.File}
	var said saying
	address := secured(t, files, slog.New(slog.NewTextHandler(&said, nil)))
	if got, err := ask(t, address, ca, &ana); got != "200 ana" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	other := certtest.NewCA(t, dir, "other")
	stranger := other.Client("stranger", "ana", "some")
	for name, pair := range map[string]*certtest.Pair{"nobody": nil, "another CA's": &stranger, "a server": &server} {
		if got, err := ask(t, address, ca, pair); err == nil {
			t.Errorf("%s got %q", name, got)
		}
	}

	if err := os.WriteFile(files.Cert, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	time.Sleep(lookEvery + 10*time.Millisecond)
	if got, err := ask(t, address, ca, &ana); got != "200 ana" || err != nil {
		t.Errorf("a file that cannot be used was used: %q, %v", got, err)
	}
	if !strings.Contains(said.String(), "cannot be used") {
		t.Errorf("nothing was said: %s", said.String())
	}
	other.Server("server", "127.0.0.1")
	time.Sleep(lookEvery + 10*time.Millisecond)
	if _, err := ask(t, address, ca, &ana); err == nil {
		t.Error("the certificate before is still in use")
	}
	if got, err := ask(t, address, other, &ana); got != "200 ana" || err != nil {
		t.Errorf("with the new one: %q, %v", got, err)
	}
	// A CA that is taken away opens nothing any more.
	text, err := os.ReadFile(other.File)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(files.ClientCA, text, 0o600); err != nil {
		t.Fatal(err)
	}
	time.Sleep(lookEvery + 10*time.Millisecond)
	if got, err := ask(t, address, other, &ana); err == nil {
		t.Errorf("a client of the CA before got %q", got)
	}
	if got, err := ask(t, address, other, &stranger); got != "200 ana" || err != nil {
		t.Errorf("a client of the new CA: %q, %v", got, err)
	}
}

// What could not be read is tried until it can: the CA that it takes away opens nothing then.
func TestCertificatesAreTriedAgain(t *testing.T) {
	dir := t.TempDir()
	ca, other := certtest.NewCA(t, dir, "ca"), certtest.NewCA(t, dir, "other")
	server := ca.Server("server", "127.0.0.1")
	ana := ca.Client("ana", "ana")
	files := Certificates{Cert: server.Cert, Key: server.Key, ClientCA: filepath.Join(dir, "clients.pem")}
	link := func(to string) {
		t.Helper()
		if err := os.Symlink(to, files.ClientCA+".new"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(files.ClientCA+".new", files.ClientCA); err != nil {
			t.Fatal(err)
		}
		time.Sleep(lookEvery + 10*time.Millisecond)
	}
	link(ca.File)
	address := secured(t, files, slog.New(slog.DiscardHandler))
	link(filepath.Join(dir, "later.pem")) // is not there yet
	if got, err := ask(t, address, ca, &ana); got != "200 ana" {
		t.Errorf("%q, %v", got, err)
	}
	if err := os.Link(other.File, filepath.Join(dir, "later.pem")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(lookEvery + 10*time.Millisecond)
	if got, err := ask(t, address, ca, &ana); err == nil {
		t.Errorf("a client of the CA that was taken away got %q", got)
	}
}

// Each connection proves anew who it is, and a flood of handshakes is bounded, and is one line of the log at most.
func TestHandshakes(t *testing.T) {
	dir := t.TempDir()
	ca := certtest.NewCA(t, dir, "ca")
	server := ca.Server("server", "127.0.0.1")
	ana := ca.Client("ana", "ana")
	var said saying
	address := secured(t, Certificates{Cert: server.Cert, Key: server.Key, ClientCA: ca.File}, slog.New(slog.NewTextHandler(&said, nil)))
	pair, err := tls.LoadX509KeyPair(ana.Cert, ana.Key)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{pair}, ClientSessionCache: tls.NewLRUClientSessionCache(8)} //nolint:gosec // the test's own server
	resumed, answered, began := 0, 0, time.Now()
	for range 3 * int(handshakes.Each) {
		c, err := tls.Dial("tcp", address, config)
		if err != nil {
			continue
		}
		answered++
		if _, err := io.WriteString(c, "GET / HTTP/1.0\r\n\r\n"); err == nil {
			_, _ = io.ReadAll(c) // a ticket comes with the answer
		}
		if c.ConnectionState().DidResume {
			resumed++
		}
		_ = c.Close()
	}
	most := int(handshakes.Each*(1+time.Since(began).Seconds())) + 1
	if resumed > 0 || answered == 0 || answered > most {
		t.Errorf("%d answered, at most %d, and %d resumed", answered, most, resumed)
	}
	for range 10 {
		time.Sleep(50 * time.Millisecond) // there is room for two then
		c, err := net.Dial("tcp", address)
		if err != nil {
			continue // it was one too many
		}
		_, _ = io.WriteString(c, "GET / HTTP/1.0\r\n\r\n")
		_, _ = io.ReadAll(c)
		_ = c.Close()
	}
	if said.String() != "" {
		t.Errorf("the log has: %s", said.String())
	}
}

func TestCertificatesThatAreNone(t *testing.T) {
	dir := t.TempDir()
	ca := certtest.NewCA(t, dir, "ca")
	one, two := ca.Server("one", "a"), ca.Server("two", "a")
	for want, files := range map[string]Certificates{
		"two.key":              {Cert: one.Cert, Key: two.Key, ClientCA: ca.File},
		"missing.pem":          {Cert: dir + "/missing.pem", Key: one.Key, ClientCA: ca.File},
		"no certificate in it": {Cert: one.Cert, Key: one.Key, ClientCA: one.Key},
	} {
		if _, err := files.TLS(slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", files, err)
		}
	}
}

// endless has a connection from an address whenever one is asked for.
type endless struct {
	net.Listener
	from net.Addr
}

func (e *endless) Accept() (net.Conn, error) {
	time.Sleep(time.Millisecond)
	return &from{addr: e.from}, nil
}

type from struct {
	net.Conn
	addr net.Addr
}

func (f *from) RemoteAddr() net.Addr { return f.addr }
func (f *from) Close() error         { return nil }

// Of what comes too often only so much is taken.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := Pace(&endless{from: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 1}}, Rate{All: 40, Each: 20})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		n := 0
		for ctx.Err() == nil {
			if _, err := l.Accept(); err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n < 200 || n > 222 {
			t.Errorf("%d connections in ten seconds, at 20 a second", n)
		}
	})
}
