package register

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// mutant is one rule broken, in testdata/mutants.txt.
type mutant struct {
	rule, name, hook, test string
	old, new               []string
}

// row is what the table in DESIGN.md says of it.
func (m *mutant) row() string {
	name := m.name
	if m.hook != "" {
		name = "hook `" + m.hook + "`"
	}
	return fmt.Sprintf("| %s | %s | `%s` |", m.rule, name, m.test)
}

// sources are the files of this package and of those below it, the tests or the
// product.
func sources(tests bool) (files []string) {
	for _, dir := range []string{"", "state/", "voters/"} {
		all, _ := filepath.Glob(dir + "*.go") // the pattern is good
		for _, f := range all {
			if strings.HasSuffix(f, "_test.go") == tests {
				files = append(files, f)
			}
		}
	}
	return files
}

// apply returns the file that the rule stands in, and what it is with the rule broken.
func (m *mutant) apply() (file, broken string, err error) {
	files := sources(false)
	old, found := strings.Join(m.old, "\n"), 0
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return "", "", err
		}
		if n := strings.Count(string(text), old); n > 0 {
			found += n
			file, broken = f, strings.Replace(string(text), old, strings.Join(m.new, "\n"), 1)
		}
	}
	if found != 1 {
		return "", "", fmt.Errorf("the product has its text %d times, not once: follow the product in testdata/mutants.txt", found)
	}
	return file, broken, nil
}

func readMutants(t *testing.T) (list []mutant) {
	t.Helper()
	text, err := os.ReadFile("testdata/mutants.txt")
	if err != nil {
		t.Fatal(err)
	}
	var m mutant
	for n, line := range strings.Split(string(text), "\n") {
		key, rest, _ := strings.Cut(line, " ")
		switch key {
		case "rule:":
			m = mutant{rule: rest}
		case "mutant:":
			m.name = rest
		case "hook:":
			m.hook = rest
		case "-":
			m.old = append(m.old, rest)
		case "+":
			m.new = append(m.new, rest)
		case "test:":
			m.test = rest
			list = append(list, m)
		case "", "#", "##":
		default:
			t.Fatalf("testdata/mutants.txt:%d: %q", n+1, line)
		}
	}
	return list
}

// folders are the packages of the tests.
func folders(t *testing.T) map[string]string {
	t.Helper()
	dirs := make(map[string]string)
	for _, f := range sources(true) {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(t`).FindAllStringSubmatch(string(text), -1) {
			dirs[m[1]] = "./" + filepath.Dir(f)
		}
	}
	return dirs
}

// Every mutant still fits the product, names a test that there is, and stands in
// the table of DESIGN.md; and every row of that table is one of them.
func TestMutantsFit(t *testing.T) {
	design, err := os.ReadFile("DESIGN.md")
	if err != nil {
		t.Fatal(err)
	}
	hooks, err := os.ReadFile("core.go")
	if err != nil {
		t.Fatal(err)
	}
	tests := folders(t)
	rows := make(map[string]bool)
	for _, m := range readMutants(t) {
		rows[m.row()] = true
		if m.hook != "" {
			if !strings.Contains(string(hooks), "\t"+m.hook+" ") {
				t.Errorf("%s: there is no hook %q", m.rule, m.hook)
			}
		} else if _, _, err := m.apply(); err != nil {
			t.Errorf("%q: %v", m.name, err)
		}
		if tests[m.test] == "" {
			t.Errorf("%q: there is no %s", m.name, m.test)
		}
		if !strings.Contains(string(design), m.row()) {
			t.Errorf("DESIGN.md lacks the row %s", m.row())
		}
	}
	for _, line := range strings.Split(string(design), "\n") {
		if strings.HasPrefix(line, "| ") && strings.HasSuffix(line, "` |") && !rows[line] {
			t.Errorf("DESIGN.md has a row that testdata/mutants.txt has not: %s", line)
		}
	}
}

// TestMutantsAreKilled breaks one rule after the other in the product and runs
// the test that is named for it, which must fail. It builds this package once for
// each. MUTANTS is a regular expression for those that are to be tried.
func TestMutantsAreKilled(t *testing.T) {
	if os.Getenv("MUTANTS") == "" {
		t.Skip("make mutants runs this; it builds the package about a hundred times")
	}
	want, err := regexp.Compile(os.Getenv("MUTANTS"))
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	jobs := make(chan struct{}, envInt("MUTANTS_JOBS", runtime.GOMAXPROCS(0)))
	for _, m := range readMutants(t) {
		if m.hook != "" || !want.MatchString(m.name) {
			continue // the tests that set a hook prove by themselves what it breaks
		}
		t.Run(strings.ReplaceAll(m.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			jobs <- struct{}{}
			defer func() { <-jobs }()
			m.mustDie(t, dir)
		})
	}
}

func (m *mutant) mustDie(t *testing.T, dir string) {
	file, text, err := m.apply()
	if err != nil {
		t.Fatal(err)
	}
	tmp := t.TempDir()
	broken, tests := filepath.Join(tmp, filepath.Base(file)), folders(t)[m.test]
	overlay, binary := filepath.Join(tmp, "overlay.json"), filepath.Join(tmp, "register.test")
	if err := os.WriteFile(broken, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(dir, file): broken}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(overlay, replace, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "go", "test", "-vet=off", "-c", "-overlay", overlay, "-o", binary, tests).CombinedOutput(); err != nil {
		t.Fatalf("the mutant does not build: %v\n%s", err, out)
	}
	args := []string{"-test.run", "^" + m.test + "$", "-test.timeout", "120s"}
	if tests == "./voters" {
		args = append(args, "-rapid.nofailfile") // that package alone tests properties
	}
	run := exec.CommandContext(t.Context(), binary, args...)
	run.Dir = filepath.Join(dir, tests)
	out, err := run.CombinedOutput()
	if err == nil {
		t.Fatalf("%s passes although the rule is broken: %s", m.test, m.rule)
	}
	if !strings.Contains(string(out), "--- FAIL: ") && !strings.Contains(string(out), "panic: ") {
		t.Fatalf("%s did not run: %v\n%s", m.test, err, out)
	}
	first, _, _ := strings.Cut(regexp.MustCompile(`(?s)^.*?--- FAIL: [^\n]*\n\s*`).ReplaceAllString(string(out), ""), "\n")
	t.Logf("killed: %.200s", first)
}
