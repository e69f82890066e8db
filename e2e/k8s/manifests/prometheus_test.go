package manifests

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// prometheus starts a real one that scrapes what a real daemon has served, as three daemons of one installation on plain
// machines, and returns its address.
func prometheus(t *testing.T, labels string) string {
	t.Helper()
	program, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skip("e2e/install-deps.sh manifests installs Prometheus: ", err)
	}
	var targets []string
	for range 3 {
		daemon := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.ServeFile(w, r, "testdata/metrics.txt")
		}))
		t.Cleanup(daemon.Close)
		targets = append(targets, strings.TrimPrefix(daemon.URL, "http://"))
	}
	rules, err := filepath.Abs(monitoring + "/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := fmt.Sprintf("global: {scrape_interval: 200ms, evaluation_interval: 200ms}\nrule_files: [%q]\nscrape_configs:\n  - job_name: haproxyd\n    static_configs:\n      - targets: [%q]\n        labels: {%s}\n",
		rules, strings.Join(targets, `", "`), labels)
	config = strings.ReplaceAll(config, `\"`, `"`)
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	cmd := exec.Command(program, "--config.file="+dir+"/prometheus.yml", "--storage.tsdb.path="+dir+"/data", "--web.listen-address="+address, "--log.level=warn")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	base := "http://" + address
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		// Five scrapes: what a rate needs.
		if all, err := query(base, `count(count_over_time(haproxyd_agreed[1m]) >= 5)`); err == nil && len(all) == 1 && strings.Contains(string(all[0]), `"3"`) {
			return base
		} else if time.Now().After(deadline) {
			t.Fatalf("Prometheus has scraped nothing: %v, %s", err, all)
		}
	}
}

// query is the result of an expression now.
func query(base, expr string) ([]json.RawMessage, error) {
	resp, err := http.Get(base + "/api/v1/query?query=" + url.QueryEscape(expr))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Status, Error string
		Data          struct{ Result []json.RawMessage }
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Status != "success" {
		return nil, fmt.Errorf("%s: %s: %s: %w", expr, resp.Status, answer.Error, err)
	}
	return answer.Data.Result, nil
}

// Every query of the dashboard has an answer from a real Prometheus, on plain machines, where no series has a namespace or
// a pod, with and without a label for the installation; and it loads the alerts.
func TestQueries(t *testing.T) {
	for name, labels := range map[string]struct{ scrape, cluster string }{"one of several": {"cluster: shop", "shop"}, "the only one": {"", ""}} {
		t.Run(name, func(t *testing.T) {
			base := prometheus(t, labels.scrape)
			fill := strings.NewReplacer("$__rate_interval", "1m", "$cluster", labels.cluster, "$namespace", "")
			for _, p := range dashboard(t).Panels {
				for _, q := range p.Targets {
					if all, err := query(base, fill.Replace(q.Expr)); err != nil {
						t.Errorf("%s: %v", p.Title, err)
					} else if len(all) == 0 {
						t.Errorf("%s: nothing for %s", p.Title, fill.Replace(q.Expr))
					}
				}
			}
			for _, a := range dashboard(t).Annotations.List {
				if _, err := query(base, fill.Replace(a.Expr)); err != nil {
					t.Errorf("%s: %v", a.Name, err)
				}
				// Without its bound each has something to say.
				if all, err := query(base, strings.TrimSuffix(fill.Replace(a.Expr), "> 0")); err != nil || len(all) == 0 {
					t.Errorf("%s: %d series, %v", a.Name, len(all), err)
				}
			}
			if all, err := query(base, "count(ALERTS) or vector(0)"); err != nil || len(all) != 1 {
				t.Errorf("alerts: %s, %v", all, err)
			}
		})
	}
}
