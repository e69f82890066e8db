package grants_test

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/haproxy-peers/haproxy-peers/control/galera/grants"
)

var update = flag.Bool("update", false, "rewrite testdata/*.sql")

func config(kind grants.Kind, parts ...grants.Part) grants.Config {
	return grants.Config{Kind: kind, User: "haproxyd", Host: "10.0.0.%", CanarySchema: "haproxyd", Parts: parts}
}

func mustSQL(t *testing.T, c grants.Config) string {
	t.Helper()
	text, err := grants.SQL(c)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestGolden(t *testing.T) {
	for _, kind := range grants.Kinds() {
		file := filepath.Join("testdata", string(kind)+".sql")
		got := mustSQL(t, config(kind, grants.Parts()...))
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s differs from what is printed; run with -update and look at the difference", file)
		}
	}
}

// Each part alone has what it needs, and not what others need.
func TestParts(t *testing.T) {
	words := map[grants.Part][]string{
		grants.PartProbe:     {"CREATE USER IF NOT EXISTS 'haproxyd'@'10.0.0.%' ACCOUNT LOCK;"},
		grants.PartDrain:     {"GRANT PROCESS ", "GRANT SELECT ON performance_schema.* "},
		grants.PartCanary:    {"ON `haproxyd`.* TO"},
		grants.PartEvict:     {"PROCEDURE haproxyd_galera.evict("},
		grants.PartEvictLast: {"PROCEDURE haproxyd_galera.evict_last("},
	}
	shared := []string{"PROCEDURE haproxyd_galera.clear_evicted(", "CREATE USER IF NOT EXISTS " + grants.Definer, "CREATE SCHEMA IF NOT EXISTS haproxyd_galera;"}
	for _, kind := range grants.Kinds() {
		for _, part := range grants.Parts() {
			text := mustSQL(t, config(kind, part))
			for of, all := range words {
				for _, w := range all {
					if strings.Contains(text, w) != (of == part) {
						t.Errorf("%s, %s: %q is there: %v", kind, part, w, of != part)
					}
				}
			}
			for _, w := range shared {
				if strings.Contains(text, w) != part.Evicts() {
					t.Errorf("%s, %s: %q is there: %v", kind, part, w, !part.Evicts())
				}
			}
			if part.Evicts() != (strings.Contains(text, "SUPER") || strings.Contains(text, "SYSTEM_VARIABLES_ADMIN")) {
				t.Errorf("%s, %s: a privilege too many or too few", kind, part)
			}
		}
	}
	if slices.Contains(grants.DefaultParts(), grants.PartEvictLast) {
		t.Error("evict-last is printed without being asked for")
	}
}

// The text, split as the client splits it, is the statements.
func TestTextIsStatements(t *testing.T) {
	for _, kind := range grants.Kinds() {
		c := config(kind, grants.Parts()...)
		want, err := grants.Statements(c)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		delimiter, statement := ";", ""
		for line := range strings.Lines(mustSQL(t, c)) {
			if statement == "" && (strings.HasPrefix(line, "--") || line == "\n") {
				continue
			}
			if word, ok := strings.CutPrefix(line, "DELIMITER "); ok {
				delimiter = strings.TrimSpace(word)
				continue
			}
			statement += line
			if text, ends := strings.CutSuffix(strings.TrimSpace(statement), delimiter); ends {
				got = append(got, text)
				statement = ""
			}
		}
		if !slices.Equal(got, want) || statement != "" {
			t.Errorf("%s: the client makes %d statements of the text, which has %d; left is %q", kind, len(got), len(want), statement)
		}
	}
}

func TestValidate(t *testing.T) {
	good := config(grants.KindMariaDB, grants.PartProbe)
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for says, spoil := range map[string]func(*grants.Config){
		`"oracle" is no kind`:             func(c *grants.Config) { c.Kind = "oracle" },
		"the user \"\"":                   func(c *grants.Config) { c.User = "" },
		`the user "a'b"`:                  func(c *grants.Config) { c.User = "a'b" },
		`the user "a\\"`:                  func(c *grants.Config) { c.User = `a\` },
		`the user "a\n"`:                  func(c *grants.Config) { c.User = "a\n" },
		"the user \"aaaa":                 func(c *grants.Config) { c.User = strings.Repeat("a", 33) },
		`the host "%' "`:                  func(c *grants.Config) { c.Host = "%' " },
		"the host \"\"":                   func(c *grants.Config) { c.Host = "" },
		"the canary's schema \"a`b\"":     func(c *grants.Config) { c.CanarySchema = "a`b" },
		"no part is wanted: give some of": func(c *grants.Config) { c.Parts = nil },
		`"all" is no part`:                func(c *grants.Config) { c.Parts = []grants.Part{"all"} },
	} {
		c := good
		spoil(&c)
		_, err := grants.SQL(c)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v does not say %s", err, says)
		}
		if _, err := grants.Statements(c); err == nil {
			t.Errorf("statements where %s", says)
		}
	}
}

func TestKindOf(t *testing.T) {
	for greeting, want := range map[string]struct {
		kind    grants.Kind
		version string
	}{
		"5.5.5-10.11.19-MariaDB-0+deb12u1": {grants.KindMariaDB, "10.11.19-MariaDB-0+deb12u1"},
		"11.8.9-MariaDB-4 from Debian":     {grants.KindMariaDB, "11.8.9-MariaDB-4 from Debian"},
		"5.5.5-10.11.19-own-name":          {grants.KindMariaDB, "10.11.19-own-name"},
		"8.0.36-28.1":                      {grants.KindMySQL, "8.0.36-28.1"},
		"9.7.4-2":                          {grants.KindMySQL, "9.7.4-2"},
		"":                                 {grants.KindMySQL, ""},
	} {
		if kind, version := grants.KindOf(greeting); kind != want.kind || version != want.version {
			t.Errorf("%q: %s, %q", greeting, kind, version)
		}
	}
}

// In GRANT the name of a schema is a pattern.
func TestCanaryPattern(t *testing.T) {
	if got := grants.Canary("my_schema", "'u'@'%'"); got != "GRANT CREATE, SELECT, INSERT, UPDATE ON `my\\_schema`.* TO 'u'@'%'" {
		t.Error(got)
	}
}

// What the documents tell to run is printed.
func TestDocuments(t *testing.T) {
	root := "../../.."
	files, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	account := regexp.MustCompile(`'[^']*'@'[^']*'`)
	plain := func(s string) string {
		return strings.ReplaceAll(account.ReplaceAllString(s, "ACCOUNT"), "`", "")
	}
	printed := map[string]bool{}
	for _, kind := range grants.Kinds() {
		statements, err := grants.Statements(config(kind, grants.Parts()...))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range statements {
			printed[plain(s)] = true
		}
	}
	grant := regexp.MustCompile(`GRANT [A-Z_, ]+ ON (PROCEDURE )?[^ ]+ TO '[^']*'@'[^']*'`)
	n := 0
	for _, file := range append(files, filepath.Join(root, "README.md"), filepath.Join(root, "control/galera/sessions/doc.go"), filepath.Join(root, "control/galera/canary.go")) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range grant.FindAllString(string(text), -1) {
			if n++; !printed[plain(s)] {
				t.Errorf("%s tells to run %q, which `haproxyctl galera grants` does not print", file, s)
			}
		}
	}
	if n < 6 {
		t.Errorf("only %d grants are found in the documents: is the pattern right?", n)
	}
}
