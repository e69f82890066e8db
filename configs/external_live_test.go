package configs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What the linter calls an error keeps HAProxy from ever running its external check, and what it does not lets it run.
func TestExternalCheckRuns(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("another user's HAProxy takes root to start")
	}
	for name, c := range map[string]struct {
		global string
		runs   bool
	}{
		"as root":                {"", true},
		"unprivileged":           {"  uid 65534\n", false},
		"unprivileged, may fork": {"  uid 65534\n  insecure-fork-wanted\n", true},
		"in a chroot":            {"  uid 65534\n  insecure-fork-wanted\n  chroot /var/empty-for-haproxy\n", false},
	} {
		for version, binary := range haproxies(t) {
			t.Run(name+", "+version, func(t *testing.T) {
				t.Parallel()
				l := newLive(t, binary)
				empty := filepath.Join(filepath.Dir(l.cfg), "empty")
				if err := os.Mkdir(empty, 0o755); err != nil {
					t.Fatal(err)
				}
				l.write(fmt.Sprintf(`global
  stats socket %s mode 600 level admin
  external-check
%sdefaults
  mode tcp
  timeout connect 1s
  timeout client 1s
  timeout server 1s
backend db
  option external-check
  external-check path /bin:/usr/bin
  external-check command /bin/true
  server oak 127.0.0.1:9 id 1 check inter 200ms fall 2 rise 1
`, l.input.StatsSocket, strings.ReplaceAll(c.global, "/var/empty-for-haproxy", empty)))
				findings, err := LintAs(Reading{}, l.cfg)
				if err != nil {
					t.Fatal(err)
				}
				told := false
				for _, f := range findings {
					told = told || f.Rule == RuleExternalCheck
				}
				if told == c.runs {
					t.Errorf("told %v: %v", told, findings)
				}
				l.start()
				seen := func(state string) bool { return strings.Contains(l.try("show stat"), ","+state+",") }
				if c.runs {
					l.until("a check has passed", 5*time.Second, func() bool { return strings.Contains(l.try("show stat"), "PROCOK") })
					return
				}
				l.until("the server is down", 5*time.Second, func() bool { return seen("DOWN") })
			})
		}
	}
}
