package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/serving/certtest"
)

// elsewhere is a daemon that knows its clients by their certificates, and what it was asked.
func elsewhere(t *testing.T, ca *certtest.CA, h http.HandlerFunc) (endpoint string, asked *atomic.Int64) {
	t.Helper()
	pair := ca.Server("server", "127.0.0.1")
	cert, err := tls.LoadX509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(ca.File)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	asked = &atomic.Int64{}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { asked.Add(1); h(w, r) }))
	srv.TLS = &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv.URL, asked
}

func answers(node string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"active":"`+node+`"}`) }
}

// nobody is an endpoint where nobody listens.
func nobody(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "https://" + l.Addr().String()
}

// The first that can be reached is asked, and asked again. A question that is not answered goes to the next, an order
// does not: it may have been carried out.
func TestRemote(t *testing.T) {
	dir := t.TempDir()
	ca := certtest.NewCA(t, dir, "ca")
	ana := ca.Client("ana", "ana")
	remote := func(endpoints ...string) *Client {
		c, err := NewRemote(Remote{Endpoints: endpoints, Cert: ana.Cert, Key: ana.Key, CA: ca.File})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	one, ones := elsewhere(t, ca, answers("one"))
	two, twos := elsewhere(t, ca, answers("two"))
	c := remote(nobody(t), one, two)
	for range 2 {
		if a, err := c.Active(t.Context()); err != nil || a.Active != "one" {
			t.Errorf("%+v, %v", a, err)
		}
	}
	if ones.Load() != 2 || twos.Load() != 0 {
		t.Errorf("one was asked %d times, two %d times", ones.Load(), twos.Load())
	}
	if _, err := remote(nobody(t), one).Exclude(t.Context(), "a"); err != nil || ones.Load() != 3 {
		t.Errorf("an order where the first is not there: %v, %d", err, ones.Load())
	}

	hung, hangs := elsewhere(t, ca, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // else its end is not noticed
		<-r.Context().Done()
	})
	begun := time.Now()
	if a, err := remote(hung, two).Active(t.Context()); err != nil || a.Active != "two" || time.Since(begun) > answerWithin+time.Second {
		t.Errorf("where the first hangs: %+v, %v, after %v", a, err, time.Since(begun))
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	before := twos.Load()
	if _, err := remote(hung, two).Exclude(ctx, "a"); !errors.Is(err, ErrNoAnswer) || twos.Load() != before {
		t.Errorf("an order that may have been carried out was given again: %v, %d", err, twos.Load()-before)
	}
	if hangs.Load() != 2 {
		t.Errorf("the one that hangs was asked %d times", hangs.Load())
	}

	gone := remote(nobody(t), nobody(t))
	if _, err := gone.Active(t.Context()); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "none of the 2 endpoints can be asked: https://127.0.0.1:") || !strings.Contains(err.Error(), "connection refused") {
		t.Error(err)
	}
}

// Each way in which two certificates do not fit is one sentence that says what to do.
func TestRemoteRefusals(t *testing.T) {
	dir, elsewhereDir := t.TempDir(), t.TempDir()
	ca, other := certtest.NewCA(t, dir, "ca"), certtest.NewCA(t, elsewhereDir, "other")
	ana, stranger := ca.Client("ana", "ana"), other.Client("ana", "ana")
	endpoint, asked := elsewhere(t, ca, answers("one"))
	plain := httptest.NewServer(answers("one"))
	defer plain.Close()
	for name, tt := range map[string]struct {
		remote Remote
		want   string
	}{
		"another CA's client": {Remote{Endpoints: []string{endpoint}, Cert: stranger.Cert, Key: stranger.Key, CA: ca.File}, "refuses this certificate"},
		"another CA":          {Remote{Endpoints: []string{endpoint}, Cert: ana.Cert, Key: ana.Key, CA: other.File}, "name it with --tls-ca"},
		"another name":        {Remote{Endpoints: []string{strings.Replace(endpoint, "127.0.0.1", "localhost", 1)}, Cert: ana.Cert, Key: ana.Key, CA: ca.File}, "cannot be believed"},
		"no TLS":              {Remote{Endpoints: []string{strings.Replace(plain.URL, "http:", "https:", 1)}, Cert: ana.Cert, Key: ana.Key, CA: ca.File}, "speaks no TLS"},
		"no certificate":      {Remote{Endpoints: []string{endpoint}}, "--tls-cert and --tls-key"},
		"a plain endpoint":    {Remote{Endpoints: []string{plain.URL}, Cert: ana.Cert, Key: ana.Key}, "give https://HOST:PORT"},
		"no CA":               {Remote{Endpoints: []string{endpoint}, Cert: ana.Cert, Key: ana.Key, CA: ana.Key}, "no certificate in it"},
		"no endpoint":         {Remote{Cert: ana.Cert, Key: ana.Key}, "no endpoint"},
	} {
		c, err := NewRemote(tt.remote)
		if err == nil {
			_, err = c.Exclude(t.Context(), "a")
			if !errors.Is(err, ErrUnreachable) {
				t.Errorf("%s: an order may have arrived: %v", name, err)
			}
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if asked.Load() > 0 {
		t.Errorf("the daemon was asked %d times", asked.Load())
	}
	if c, err := NewRemote(Remote{Endpoints: []string{"https://px0"}, Cert: ana.Cert, Key: ana.Key}); err != nil || c.ways[0].base != "https://px0:9104" {
		t.Errorf("%+v, %v", c, err)
	}
}

// Whoever is on the way can break an answer off, or spoil it: an order that may have arrived is given to nobody else.
func TestRemoteSpoiled(t *testing.T) {
	dir := t.TempDir()
	ca := certtest.NewCA(t, dir, "ca")
	ana := ca.Client("ana", "ana")
	arrived := make(chan struct{}, 1)
	one, ones := elsewhere(t, ca, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		arrived <- struct{}{}
		<-r.Context().Done()
	})
	two, twos := elsewhere(t, ca, answers("two"))
	for i, spoil := range []struct{ said, toServer string }{
		{said: "HTTP/"}, {said: "\x17\x01\x00\x00\x10"}, {}, {toServer: "\x17\x03\x03\x00\x20" + strings.Repeat("x", 32)},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			d, err := net.Dial("tcp", strings.TrimPrefix(one, "https://"))
			if err != nil {
				return
			}
			defer d.Close()
			go func() { _, _ = io.Copy(d, c) }()
			go func() { _, _ = io.Copy(c, d) }()
			<-arrived
			_, _ = io.WriteString(c, spoil.said)
			if spoil.toServer != "" {
				_, _ = io.WriteString(d, spoil.toServer)
				time.Sleep(500 * time.Millisecond) // its alert gets through
			}
		}()
		c, err := NewRemote(Remote{Endpoints: []string{"https://" + l.Addr().String(), two}, Cert: ana.Cert, Key: ana.Key, CA: ca.File})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Exclude(t.Context(), "a"); !errors.Is(err, ErrNoAnswer) || twos.Load() > 0 || ones.Load() != int64(i+1) {
			t.Errorf("%+v: %v, one was asked %d times, two %d times", spoil, err, ones.Load(), twos.Load())
		}
		_ = l.Close()
	}
}

// A question with little time leaves some for the other ways, and who asks again begins with the next.
func TestRemoteInLittleTime(t *testing.T) {
	dir := t.TempDir()
	ca := certtest.NewCA(t, dir, "ca")
	ana := ca.Client("ana", "ana")
	hung, _ := elsewhere(t, ca, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	two, _ := elsewhere(t, ca, answers("two"))
	c, err := NewRemote(Remote{Endpoints: []string{hung, two}, Cert: ana.Cert, Key: ana.Key, CA: ca.File})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if a, err := c.Active(ctx); err != nil || a.Active != "two" {
			t.Errorf("%+v, %v", a, err)
		}
		cancel()
	}
}
