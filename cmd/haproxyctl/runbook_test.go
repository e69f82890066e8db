package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// Each command and flag that the runbook names exists, and each code of a problem is in it: it is read at three in the morning.
func TestRunbookIsRight(t *testing.T) {
	data, err := os.ReadFile("../../docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	commands := regexp.MustCompile("`haproxyctl ([^`]*)`").FindAllStringSubmatch(string(data), -1)
	if len(commands) < 20 {
		t.Fatalf("only %d commands", len(commands))
	}
	root := func() *cobra.Command {
		a, _ := testApp(false, formatTable)
		return a.rootCommand()
	}
	for _, m := range commands {
		words := strings.Fields(m[1])
		cmd, rest, err := root().Find(words)
		if err != nil || !cmd.Runnable() {
			t.Errorf("haproxyctl %s: %v", m[1], err)
			continue
		}
		if err := cmd.ParseFlags(rest); err != nil {
			t.Errorf("haproxyctl %s: %v", m[1], err)
		}
		if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
			t.Errorf("haproxyctl %s: %v", m[1], err)
		}
	}
	for _, code := range problemCodes(t) {
		if code != "uncoded" && !strings.Contains(string(data), "`"+code+"`") {
			t.Errorf("the runbook says nothing of the problem %s", code)
		}
	}
}

// problemCodes are the values of the constants Problem... of control/api.
func problemCodes(t *testing.T) (all []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "../../control/api/status.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(v.Names[0].Name, "Problem") || len(v.Values) != 1 {
			return true
		}
		code, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, code)
		return true
	})
	if len(all) < 30 {
		t.Fatalf("only %d codes", len(all))
	}
	return all
}
