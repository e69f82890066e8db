package manifests

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const monitoring = kubernetes + "/monitoring"

func alerts(t *testing.T) ruleFile {
	t.Helper()
	data, err := os.ReadFile(monitoring + "/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var f ruleFile
	if err := yaml.UnmarshalStrict(data, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

// The custom resource holds the groups of the plain file, and each alert says what to do.
func TestAlertsAreTheSame(t *testing.T) {
	f := alerts(t)
	s := build(t, "testdata/five", true)
	if len(s.rules) != 1 || !reflect.DeepEqual(s.rules[0].Spec, f) {
		t.Error("prometheusrule.yaml and alerts.yaml differ")
	}
	for _, r := range f.Groups[0].Rules {
		if sev := r.Labels["severity"]; sev != "warning" && sev != "critical" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s: severity %q, annotations %v", r.Alert, sev, r.Annotations)
		}
	}
}

// Each alert has its section in the runbook, and each section of an alert an alert.
func TestRunbook(t *testing.T) {
	const runbook = "docs/runbook.md"
	data, err := os.ReadFile(filepath.Join(kubernetes, "../..", runbook))
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^## (HAProxyd\w+)\n\n\*\*Means\*\* `).FindAllSubmatch(data, -1) {
		sections[string(m[1])] = true
	}
	for _, r := range alerts(t).Groups[0].Rules {
		if !sections[r.Alert] {
			t.Errorf("%s has no section %s with what it means", runbook, r.Alert)
		}
		delete(sections, r.Alert)
		if want := "https://github.com/haproxy-peers/haproxy-peers/blob/main/" + runbook + "#" + strings.ToLower(r.Alert); r.Annotations["runbook_url"] != want {
			t.Errorf("%s: runbook_url %q, want %s", r.Alert, r.Annotations["runbook_url"], want)
		}
	}
	for name := range sections {
		t.Errorf("%s has a section on %s, which is no alert", runbook, name)
	}
}

// recorded are the metrics of a real daemon with their label names.
func recorded(t *testing.T) map[string]bool {
	t.Helper()
	data, err := os.ReadFile("testdata/metrics.txt")
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{"up": true, "cluster": true, "namespace": true, "pod": true, "job": true, "instance": true}
	for _, m := range regexp.MustCompile(`(?m)^(\w+)(?:\{(.*)\})? `).FindAllStringSubmatch(string(data), -1) {
		have[m[1]] = true
		for _, l := range regexp.MustCompile(`(\w+)="`).FindAllStringSubmatch(m[2], -1) {
			have[l[1]] = true
		}
	}
	return have
}

var (
	metricName = regexp.MustCompile(`\b(haproxyd_\w+|process_\w+|up)\b`)
	labelName  = regexp.MustCompile(`(?:\b(?:by|on) \(([\w, ]+)\))|(\w+)(?:=~?|!=)"`)
)

// unknownNames are the metrics and labels of an expression that no daemon exports.
func unknownNames(expr string, have map[string]bool) (out []string) {
	for _, m := range metricName.FindAllString(expr, -1) {
		if !have[m] {
			out = append(out, m)
		}
	}
	for _, m := range labelName.FindAllStringSubmatch(expr, -1) {
		for _, l := range strings.FieldsFunc(m[1]+m[2], func(r rune) bool { return r == ',' || r == ' ' }) {
			if !have[l] {
				out = append(out, l)
			}
		}
	}
	return out
}

// Every metric and label in an alert or a panel is one that a real daemon exports.
func TestMetricsExist(t *testing.T) {
	have := recorded(t)
	for _, r := range alerts(t).Groups[0].Rules {
		if names := unknownNames(r.Expr, have); len(names) > 0 {
			t.Errorf("alert %s: no daemon exports %v", r.Alert, names)
		}
	}
	for _, p := range dashboard(t).Panels {
		for _, q := range p.Targets {
			if names := unknownNames(q.Expr, have); len(names) > 0 {
				t.Errorf("panel %s: no daemon exports %v", p.Title, names)
			}
		}
	}
	for _, a := range dashboard(t).Annotations.List {
		if names := unknownNames(a.Expr, have); len(names) > 0 {
			t.Errorf("annotation %s: no daemon exports %v", a.Name, names)
		}
	}
	for _, wrong := range []string{`haproxyd_agree == 0`, `sum by (server) (haproxyd_sessions)`, `haproxyd_galera_node_verdict{state="down"}`} {
		if len(unknownNames(wrong, have)) != 1 {
			t.Errorf("%s passed", wrong)
		}
	}
}

// The metrics' names are as Prometheus' own tool wants them, but for those that are deprecated, and those are used nowhere.
func TestMetricNames(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("e2e/install-deps.sh manifests installs promtool: ", err)
	}
	data, err := os.ReadFile("testdata/metrics.txt")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(promtool, "check", "metrics")
	cmd.Stdin = bytes.NewReader(data)
	out, _ := cmd.CombinedOutput() // it ends with 3 where it has something to say
	deprecated := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^# HELP (\w+) DEPRECATED, use \w+\. `).FindAllStringSubmatch(string(data), -1) {
		deprecated[m[1]] = true
	}
	for line := range strings.Lines(string(out)) {
		if name, _, _ := strings.Cut(line, " "); !deprecated[name] {
			t.Errorf("%s", line)
		}
	}
	for _, file := range []string{"alerts.yaml", "dashboard.json"} {
		text, err := os.ReadFile(filepath.Join(monitoring, file))
		if err != nil {
			t.Fatal(err)
		}
		for name := range deprecated {
			if bytes.Contains(text, []byte(name)) {
				t.Errorf("%s uses %s, which is deprecated", file, name)
			}
		}
	}
	if len(deprecated) == 0 {
		t.Error("nothing is deprecated: is this the daemon's output?")
	}
}

type panel struct {
	ID      int    `json:"id"`
	Title   string `json:"title"`
	Type    string `json:"type"`
	GridPos struct {
		X, Y, W, H int
	} `json:"gridPos"`
	Targets []struct {
		RefID string `json:"refId"`
		Expr  string `json:"expr"`
	} `json:"targets"`
}

func dashboard(t *testing.T) (d struct {
	UID        string  `json:"uid"`
	Panels     []panel `json:"panels"`
	Templating struct {
		List []struct {
			Name string `json:"name"`
		} `json:"list"`
	} `json:"templating"`
	Annotations struct {
		List []struct {
			Name string `json:"name"`
			Expr string `json:"expr"`
		} `json:"list"`
	} `json:"annotations"`
}) {
	t.Helper()
	data, err := os.ReadFile(monitoring + "/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(&d); err != nil {
		t.Fatal(err)
	}
	return d
}

// The dashboard's panels have numbers of their own, do not overlap, and use no variable that is not there.
func TestDashboard(t *testing.T) {
	d := dashboard(t)
	known := map[string]bool{"__rate_interval": true}
	for _, v := range d.Templating.List {
		known[v.Name] = true
	}
	taken := map[[2]int]string{}
	ids := map[int]bool{}
	for _, p := range d.Panels {
		if ids[p.ID] || len(p.Targets) == 0 {
			t.Errorf("%s: number %d twice, or no query", p.Title, p.ID)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%s lies on %s, or outside", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		for _, q := range p.Targets {
			for _, m := range regexp.MustCompile(`\$\{?(\w+)`).FindAllStringSubmatch(q.Expr, -1) {
				if !known[m[1]] {
					t.Errorf("%s: variable %s", p.Title, m[1])
				}
			}
		}
	}
	if len(d.Panels) < 20 {
		t.Errorf("only %d panels", len(d.Panels))
	}
}

// Prometheus' own tool runs the alerts' unit tests; each alert has one that fires.
func TestAlertsFire(t *testing.T) {
	tests, err := os.ReadFile(monitoring + "/alerts_test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range alerts(t).Groups[0].Rules {
		if !regexp.MustCompile(`alertname: ` + r.Alert + `\n\s+exp_alerts:`).Match(tests) {
			t.Errorf("no test sees %s fire", r.Alert)
		}
	}
	tool := os.Getenv("PROMTOOL")
	if tool == "" {
		tool = "promtool"
	}
	if _, err := exec.LookPath(tool); err != nil {
		t.Skip("there is no promtool (Debian's package prometheus has it; PROMTOOL names it)")
	}
	for _, args := range [][]string{{"check", "rules", "alerts.yaml"}, {"test", "rules", "alerts_test.yaml"}} {
		cmd := exec.CommandContext(t.Context(), tool, args...)
		cmd.Dir = monitoring
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}
