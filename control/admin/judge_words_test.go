package admin

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
)

// Every code that a program may rely on is there because something is told by it.
func TestEveryCodeIsTold(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../api/status.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	docs, err := os.ReadFile("../../docs/status.md")
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{api.ProblemUncoded: true}
	for _, c := range judgements {
		s := well()
		c.change(s)
		s.judge()
		for _, p := range s.Problems {
			told[p.Code] = true
		}
	}
	codes := 0
	for _, d := range file.Decls {
		decl, ok := d.(*ast.GenDecl)
		if !ok || decl.Tok != token.CONST {
			continue
		}
		for _, spec := range decl.Specs {
			v := spec.(*ast.ValueSpec)
			if !strings.HasPrefix(v.Names[0].Name, "Problem") {
				continue
			}
			codes++
			if code, _ := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value); !told[code] || !strings.Contains(string(docs), "`"+code+"`") {
				t.Errorf("nothing is told as %s, or docs/status.md does not name it", code)
			}
		}
	}
	if codes < 30 {
		t.Errorf("found %d codes", codes)
	}
}

// A headline is a line, also of a thousand members.
func TestList(t *testing.T) {
	names := []string{"a", "b", "c", "d", "e", "f", "g"}
	for n, want := range []string{"", "a", "a and b", "a, b and c", "a, b, c and d", "a, b, c, d and e", "a, b, c, d, e and f", "a, b, c, d, e and 2 more"} {
		if got := list(names[:n]); got != want {
			t.Errorf("%d: got %q", n, got)
		}
	}
}

// The sentences are for people who have not read the source.
func TestWordsOfTheJudgement(t *testing.T) {
	s := well()
	s.hang(12*time.Second, "px1")
	s.Nodes[1].Opinions[0].Stuck, s.Nodes[1].Healthy, s.Nodes[1].Down = "no commit has ended for 3s", 2, 1
	s.Nodes[2].Healthy, s.Nodes[2].Down, s.Nodes[2].Eligible = 0, 3, false // the tally alone knows
	s.judge()
	var texts []string
	for _, p := range s.Problems {
		texts = append(texts, p.Text)
	}
	want := []string{
		"the HAProxy of px1 does not answer on its admin socket since 12 s: restart it or look at its log (HAProxy's admin socket /run/haproxy/admin.sock: no answer in time)",
		"db1 is down for px0 only: its commits hang: no commit has ended for 3s",
		"commits on db1 wait: no commit has ended for 3s",
		"db2 is down: it is another database: its Galera state UUID is not the one that was agreed on",
	}
	if !slices.Equal(texts, want) {
		t.Errorf("got\n%s", strings.Join(texts, "\n"))
	}
}
