package configs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// rules are the codes of the Rule constants, with their comments.
func rules(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || !strings.HasPrefix(spec.Names[0].Name, "Rule") || len(spec.Values) == 0 {
				return true
			}
			code, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			if _, twice := out[code]; twice {
				t.Errorf("two constants are %q", code)
			}
			if out[code] = spec.Doc.Text(); !strings.HasPrefix(out[code], spec.Names[0].Name+": ") {
				t.Errorf("%s: the comment is %q", spec.Names[0].Name, out[code])
			}
			return true
		})
	}
	return out
}

// docs/lint.md has a row for each code: its severities, as the files of testdata/lint get them, what it is, why, and the fix.
// And it has none for a code that is not there.
func TestRulesAreDocumented(t *testing.T) {
	data, err := os.ReadFile("../docs/lint.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string][]string{}
	for _, line := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\|.*\\|$").FindAllStringSubmatch(string(data), -1) {
		documented[line[1]] = strings.Split(strings.Trim(line[0], "| "), " | ")
	}
	files, err := filepath.Glob("testdata/lint/*.cfg")
	if err != nil {
		t.Fatal(err)
	}
	severities := map[string]map[string]bool{}
	for _, file := range files {
		findings, err := LintAs(Reading{}, file)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range findings {
			if severities[f.Rule] == nil {
				severities[f.Rule] = map[string]bool{}
			}
			severities[f.Rule][string(f.Severity)] = true
		}
	}
	known := rules(t)
	for code := range severities {
		if _, ok := known[code]; !ok {
			t.Errorf("a finding has the code %q, which is no constant", code)
		}
	}
	for code := range known {
		cells := documented[code]
		if len(cells) != 5 || slices.Contains(cells, "") {
			t.Errorf("docs/lint.md has no row | `%s` | severity | what | why | fix |: %q", code, cells)
			continue
		}
		if want := strings.Join(slices.Sorted(maps.Keys(severities[code])), ", "); cells[1] != want {
			t.Errorf("%s is %s, and docs/lint.md says %s", code, want, cells[1])
		}
	}
	for code := range documented {
		if _, ok := known[code]; !ok {
			t.Errorf("docs/lint.md has %q, which is no code", code)
		}
	}
}
