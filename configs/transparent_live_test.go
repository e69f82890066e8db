package configs

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// A virtual address that may be another machine's now is bound with `transparent`, and is the key of `stick on dst`.
func TestTransparentKey(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("`bind ... transparent` takes root")
	}
	for version, binary := range haproxies(t) {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			node := startNode(t, "oak", "127.0.0.11:0")
			l := newLive(t, binary)
			l.services["db"] = fmt.Sprintf("127.0.0.77:%d", freePort(t))
			l.write(fmt.Sprintf(`global
  stats socket %s mode 600 level admin
defaults
  mode tcp
  timeout connect 1s
  timeout client 10s
  timeout server 10s
listen db
  bind %s transparent
  stick-table type ip size 100k
  stick on dst
  server oak %s id 1
`, l.input.StatsSocket, l.services["db"], node.addr))
			if keys := l.load().Sticky[0].Keys; !slices.Equal(keys, []string{"127.0.0.77"}) {
				t.Errorf("keys %v", keys)
			}
			l.start()
			if got := l.node("db"); got != "oak" {
				t.Fatalf("went to %q", got)
			}
			if table := l.try("show table db"); !strings.Contains(table, "key=127.0.0.77 ") {
				t.Errorf("the table has %s", table)
			}
		})
	}
}
