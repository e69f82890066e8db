package scrape

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/haproxy-peers/haproxy-peers/control/serving/certtest"
)

// hash is bcrypt's of "secret", by htpasswd -nbB of apache2-utils.
const hash = "$2y$05$SwrBeLHLURxuvDurA0sJ1.7CoPop9acp45GJio29SSvHPOJlmHk7q"

// served starts a server and returns its address.
func served(t *testing.T, webConfig string) string {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "a_metric"}, func() float64 { return 1 }))
	c := Config{Bind: "127.0.0.1:0", WebConfig: webConfig, Gatherer: reg, Log: slog.New(slog.DiscardHandler)}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	s := New(c)
	if err := s.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s.listeners[0].Addr().String()
}

func get(t *testing.T, c *http.Client, url, user, password string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		req.SetBasicAuth(user, password)
	}
	resp, err := c.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(resp.StatusCode, " ", string(body))
}

// With a web configuration the metrics are for who has the password, over TLS; without one they are for everybody.
func TestScrape(t *testing.T) {
	dir := t.TempDir()
	ca := certtest.NewCA(t, dir, "ca")
	own := ca.Server("own", "127.0.0.1")
	file := filepath.Join(dir, "web.yml")
	text := fmt.Sprintf("tls_server_config:\n  cert_file: %s\n  key_file: %s\nbasic_auth_users:\n  prometheus: %s\n", own.Cert, own.Key, hash)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	address := served(t, file)
	pem, err := os.ReadFile(ca.File)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}, Timeout: 5 * time.Second}
	if got := get(t, c, "https://"+address+"/metrics", "prometheus", "secret"); !strings.HasPrefix(got, "200 ") || !strings.Contains(got, "a_metric 1") {
		t.Errorf("with the password: %s", got)
	}
	if got := get(t, c, "https://"+address+"/metrics", "prometheus", "wrong"); !strings.HasPrefix(got, "401 ") || strings.Contains(got, "a_metric") {
		t.Errorf("with a wrong one: %s", got)
	}
	time.Sleep(time.Second) // the pace
	if got := get(t, c, "https://"+address+"/metrics", "", ""); !strings.HasPrefix(got, "401 ") {
		t.Errorf("with none: %s", got)
	}
	if got := get(t, http.DefaultClient, "http://"+address+"/metrics", "prometheus", "secret"); strings.Contains(got, "a_metric") {
		t.Errorf("plain: %s", got)
	}
	if got := get(t, http.DefaultClient, "http://"+served(t, "")+"/metrics", "", ""); !strings.Contains(got, "a_metric 1") {
		t.Errorf("without a file: %s", got)
	}
}

// Who tries passwords is not listened to any more.
func TestScrapeHasAPace(t *testing.T) {
	address := served(t, "")
	answered, began := 0, time.Now()
	for range 30 {
		if got := get(t, http.DefaultClient, "http://"+address+"/metrics", "", ""); strings.HasPrefix(got, "200 ") {
			answered++
		}
	}
	if most := int(pace.Each*(1+time.Since(began).Seconds())) + 1; answered == 0 || answered > most {
		t.Errorf("%d of 30 requests at once were answered, at most %d", answered, most)
	}
}

func TestValidate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "web.yml")
	if err := os.WriteFile(file, []byte("tls_server_config:\n  certificate: a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, c := range map[string]Config{
		"which is not given": {WebConfig: file}, "give ADDR:PORT": {Bind: "9106"},
		"metrics-web-config " + file + ": yaml": {Bind: ":9106", WebConfig: file}, "no such file": {Bind: ":9106", WebConfig: "none"},
	} {
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if err := (Config{}).Validate(); err != nil {
		t.Error(err)
	}
}
