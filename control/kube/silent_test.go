package kube

import (
	"context"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/haproxy-peers/haproxy-peers/control/walltest"
)

// fakeServer answers lists; watch answers the watches.
func fakeServer(t *testing.T, watch http.HandlerFunc) (url, account string) {
	t.Helper()
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("watch") == "" {
			_, _ = fmt.Fprint(w, `{"kind":"PartialObjectMetadataList","metadata":{"resourceVersion":"1"},"items":[]}`)
			return
		}
		watch(w, r)
	}))
	t.Cleanup(srv.Close)
	account = t.TempDir()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	for name, data := range map[string][]byte{"token": []byte("t"), "ca.crt": ca, "namespace": []byte("ns")} {
		if err := os.WriteFile(filepath.Join(account, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return srv.URL, account
}

func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

// A server that holds a watch open and says nothing is noticed, and is a problem
// until it says something: that the next watch begins is no word.
func TestSilence(t *testing.T) {
	var watches, speak atomic.Int32
	url, account := fakeServer(t, func(w http.ResponseWriter, r *http.Request) {
		watches.Add(1)
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		if speak.Load() > 0 {
			_, _ = fmt.Fprintln(w, `{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"2"}}}`)
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
	})
	w, err := New(Config{
		Selector: "a=b", API: url, Account: account, Registerer: prometheus.NewRegistry(),
		retry: time.Millisecond, maxRetry: 10 * time.Millisecond, watch: 50 * time.Millisecond, patience: 50 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	until(t, "the silence is not noticed", func() bool { return strings.Contains(w.Problem(), "was to end after") })
	if testutil.ToFloat64(w.errors) < 1 {
		t.Error("no error was counted")
	}
	for seen := watches.Load(); watches.Load() < seen+3; time.Sleep(time.Millisecond) {
		if w.Problem() == "" || testutil.ToFloat64(w.up) != 0 {
			t.Fatal("the beginning of an answer ends the problem")
		}
	}
	speak.Store(1)
	until(t, "the problem stays although it speaks", func() bool { return w.Problem() == "" && testutil.ToFloat64(w.up) == 1 })
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A silence is noticed within 3 minutes, and the server is asked for no longer watch.
func TestSilenceIsNoticedInTime(t *testing.T) {
	c := Config{}.withDefaults()
	if d := 2*c.watch + c.patience; d > 3*time.Minute-c.maxRetry/2 {
		t.Errorf("after %v", d)
	}
}

// Whatever is done to our clock while a watch stands, a pod ends when it ends.
func TestServerClock(t *testing.T) {
	at := time.Now()
	h := http.Header{"Date": {at.Add(time.Hour).UTC().Format(http.TimeFormat)}}
	c := clockOf(h, at)
	if d := c.ahead(at); d < time.Hour-time.Second || d > time.Hour {
		t.Errorf("ahead by %v", d)
	}
	if d := c.ahead(at.Add(time.Minute)); d < time.Hour-time.Second || d > time.Hour {
		t.Errorf("a minute later ahead by %v", d)
	}
	// Ours is set an hour ahead after the answer, and the server is level with it.
	stepped := walltest.Step(at.Add(time.Minute), time.Hour)
	if d := c.ahead(stepped); d < -time.Second || d > 0 {
		t.Errorf("after the step ahead by %v", d)
	}
	o := object{}
	end := c.server.Add(31 * time.Minute)
	o.Metadata.Name, o.Metadata.UID, o.Metadata.DeletionTimestamp = "pxc-1", "u", &end
	if left := o.pod(c.ahead(time.Now())).Deadline.Sub(at); left < 30*time.Minute || left > 32*time.Minute {
		t.Errorf("the pod ends in %v", left)
	}
	if c := clockOf(http.Header{}, at); c.ahead(at) != 0 {
		t.Error("a server that does not tell has another time")
	}
	if c := clockOf(http.Header{"Date": {at.UTC().Format(http.TimeFormat)}}, at); c.ahead(at) != 0 {
		t.Error("less than a second is a difference")
	}
}
