package configs

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Each file of testdata/lint says, at the end of its lines, which rules must speak there (# want: RULE, ...); no other
// finding may come. HAProxy itself must take the file, unless its first line says that it refuses, or from which version it does not.
func TestLintRules(t *testing.T) {
	files, err := filepath.Glob("testdata/lint/*.cfg")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	binaries := haproxies(t)
	spoke := map[string]bool{}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for i, line := range strings.Split(string(data), "\n") {
				_, rules, found := strings.Cut(line, "# want: ")
				if !found {
					continue
				}
				for rule := range strings.SplitSeq(rules, ", ") {
					want = append(want, Position{file, i + 1}.String()+" "+rule)
					spoke[rule] = true
				}
			}
			findings, err := LintAs(Reading{}, file)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range findings {
				got = append(got, Position{f.File, f.Line}.String()+" "+f.Rule)
				if want := severityOf(f.Rule, file); f.Severity != want {
					t.Errorf("severity %s, want %s: %+v", f.Severity, want, f)
				}
				if f.Problem == "" || f.Why == "" || f.Fix == "" || strings.Contains(f.Problem+f.Why+f.Fix, "\n") {
					t.Errorf("an incomplete finding: %+v", f)
				}
			}
			slices.Sort(want)
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s\n%v", diff, findings)
			}
			if strings.HasPrefix(string(data), "# haproxy: refuses") {
				return
			}
			for version, binary := range binaries {
				if strings.HasPrefix(string(data), "# haproxy: from 3.0") && version < "3" {
					continue
				}
				if err := CheckWithHAProxy(context.Background(), binary, file); err != nil {
					t.Errorf("HAProxy %s: %v", version, err)
				}
			}
		})
	}
	for rule := range rules(t) {
		if !spoke[rule] {
			t.Errorf("no file in testdata/lint for rule %s", rule)
		}
	}
}

// severityOf is what the files of testdata/lint must get.
func severityOf(rule, file string) Severity {
	switch rule {
	case RuleMarkedDown, RuleNoBeacon, RuleHoldUnusable, RuleReadinessOnDatabase, RuleTableHidden, RulePeersClear, RuleTwoProxies,
		RuleUnknownWord, RuleOtherBackend, RuleNoCheck, RuleSeveralActive:
		return SeverityWarning
	case RuleRefused:
		if strings.Contains(file, "names") {
			return SeverityWarning
		}
	case RuleServerAddress:
		if strings.Contains(file, "of-this-file") {
			return SeverityWarning
		}
	case RuleNoPrivateTable:
		if !strings.Contains(file, "shared") {
			return SeverityWarning
		}
	case RuleTableSmall:
		if strings.Contains(file, "warning") {
			return SeverityWarning
		}
	}
	return SeverityError
}

func rulesOf(t *testing.T, localPeer string, files ...string) map[string]int {
	t.Helper()
	findings, err := LintAs(Reading{LocalPeer: localPeer}, files...)
	if err != nil {
		t.Fatal(err)
	}
	rules := map[string]int{}
	for _, f := range findings {
		rules[f.Rule]++
	}
	return rules
}

// The configurations of the field: what Percona's operator writes, what the predecessor of this project made of it,
// and what the design wants.
func TestLintField(t *testing.T) {
	const global = "testdata/percona-global.cfg"
	if diff := cmp.Diff(map[string]int{RuleNoSticky: 1, RuleMarkedUp: 3, RuleMarkedDown: 9}, rulesOf(t, "", global, "testdata/percona-pxc.cfg")); diff != "" {
		t.Errorf("Percona's stock configuration:\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int{RuleTableSmall: 3, RuleServerIDMissing: 9, RuleNoPrivateTable: 3, RulePeersClear: 1},
		rulesOf(t, "test-pxc-db-haproxy-1", global, "testdata/predecessor-pxc.cfg")); diff != "" {
		t.Errorf("the predecessor's configuration:\n%s", diff)
	}
	// Their peers are without TLS, which needs certificates that nobody has at first.
	inClearOnly := map[string]int{RulePeersClear: 1}
	if diff := cmp.Diff(inClearOnly, rulesOf(t, "", "testdata/design.cfg")); diff != "" {
		t.Errorf("the design's configuration:\n%s", diff)
	}
	examples, err := filepath.Glob("examples/*.cfg")
	if err != nil || len(examples) == 0 {
		t.Fatal("no examples", err)
	}
	for _, file := range examples {
		local := ""
		if strings.Contains(file, "kubernetes") {
			// This one is the same for all HAProxies and names none.
			local = "test-pxc-db-haproxy-2"
		}
		if diff := cmp.Diff(inClearOnly, rulesOf(t, local, file)); diff != "" {
			t.Errorf("%s:\n%s", file, diff)
		}
	}
	// The name of the host is not among the predecessor's peers: without -L its peers section is dropped.
	if rules := rulesOf(t, "somebody", global, "testdata/predecessor-pxc.cfg"); rules[RuleLocalPeer] != 1 {
		t.Errorf("a missing local peer was not found: %v", rules)
	}
}

func TestLintUnreadable(t *testing.T) {
	if _, err := LintAs(Reading{}, "testdata/none.cfg"); err == nil || !strings.Contains(err.Error(), "testdata/none.cfg: cannot be read") {
		t.Errorf("error %v", err)
	}
	if _, err := LintAs(Reading{}); err == nil {
		t.Error("no error without a file")
	}
}
