package configs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Which sticky backends are the database's: those of --backends; else those that have servers in common with what can
// be a way to a single node; and where that is not one service, none can be told.
func TestOurs(t *testing.T) {
	const head = `global
  stats socket /tmp/s level admin
defaults
  mode tcp
peers lbs
  peer px0 127.0.0.1:10000
`
	service := func(name, key string, servers ...string) string {
		text := "listen " + name + "\n  bind 127.0.0.1:3306\n  stick-table type integer size 100k peers lbs\n  stick on " + key + "\n"
		for _, s := range servers {
			text += "  server " + s + " 10.0.0.1:3306 check\n"
		}
		return text
	}
	for name, c := range map[string]struct {
		text     string
		backends []string
		want     []string // the sticky backends
		problem  string
	}{
		"one":                             {service("db", "int(1)", "oak", "elm"), nil, []string{"db"}, ""},
		"two ways to the same nodes":      {service("db", "int(1)", "oak", "elm") + service("admin", "int(1)", "elm", "oak"), nil, []string{"db", "admin"}, ""},
		"by what lies between":            {service("a", "int(1)", "oak") + service("b", "int(1)", "elm") + service("c", "int(1)", "oak", "elm"), nil, []string{"a", "b", "c"}, ""},
		"another by client":               {service("shop", "src", "web1", "web2") + service("db", "int(1)", "oak", "elm"), nil, []string{"db"}, ""},
		"two that could be":               {service("queue", "int(1)", "ant") + service("db", "int(1)", "oak"), nil, nil, "the sticky backends queue and db have no server in common"},
		"two that could be, and named":    {service("queue", "int(1)", "ant") + service("db", "int(1)", "oak"), []string{"db"}, []string{"db"}, ""},
		"named, and not there":            {service("db", "int(1)", "oak"), []string{"dbs"}, nil, "--backends names dbs, which is no sticky backend here"},
		"another by client, and a port":   {at(service("queue", "int(1)", "ant"), 5672) + service("db", "src", "oak", "elm"), nil, nil, `backend db sticks on "src"`},
		"a database beside, unstuck":      {at(service("queue", "int(1)", "ant"), 5672) + "listen db\n  bind 127.0.0.1:3306\n  server oak 10.0.0.2:3306 check\n", nil, nil, "the sticky backends queue have no server in common with backend db"},
		"the same, and named":             {at(service("db2", "int(1)", "oak"), 5672) + "listen db\n  bind 127.0.0.1:3306\n  server elm 10.0.0.2:3306 check\n", []string{"db2"}, []string{"db2"}, ""},
		"by the name alone":               {at(service("queue", "int(1)", "ant"), 1) + at(service("db", "src", "oak", "elm"), 2), nil, nil, "the sticky backends queue have no server in common with backend db"},
		"the name alone chooses none":     {at(service("queue", "int(1)", "ant")+service("db", "int(1)", "oak", "elm"), 1), nil, nil, "the sticky backends queue and db have no server in common"},
		"nodes at another port, beside":   {at(service("db", "int(1)", "oak"), 6033) + "listen ro\n  bind 127.0.0.1:3307\n  server oak-ro 10.0.0.1:3306 check\n", nil, []string{"db"}, ""},
		"two that could be, by the port":  {at(service("queue", "int(1)", "ant"), 5672) + service("db", "int(1)", "oak"), nil, []string{"db"}, ""},
		"two that could be, by the check": {at(service("queue", "int(1)", "ant"), 5672) + at(service("db", "int(1)", "oak"), 6033) + "  option mysql-check user haproxy\n", nil, []string{"db"}, ""},
		"a private table says it":         {service("queue", "int(1)", "ant") + beside("db", "oak"), nil, []string{"db"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "haproxy.cfg")
			if err := os.WriteFile(file, []byte(head+c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			topo, err := LoadAs(Reading{LocalPeer: "px0", Backends: c.backends}, file)
			if err == nil {
				err = topo.Validate()
			}
			if c.want == nil {
				if err == nil || !strings.Contains(err.Error(), c.problem) {
					t.Errorf("error %v, want %q", err, c.problem)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range topo.Sticky {
				got = append(got, s.Name)
			}
			if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(c.want))) {
				t.Errorf("%v, want %v", got, c.want)
			}
			if nodes := topo.NodeNames(); slices.Contains(nodes, "ant") || slices.Contains(nodes, "web1") {
				t.Errorf("nodes %v", nodes)
			}
			var e *Error
			if errors.As(err, &e) {
				t.Error(e)
			}
		})
	}
}

// at is a service whose servers have another port.
func at(text string, port int) string {
	return strings.ReplaceAll(text, "10.0.0.1:3306", fmt.Sprintf("10.0.0.1:%d", port))
}

// beside is a service with a private table of its own.
func beside(name, server string) string {
	return "backend haproxyd\n  option httpchk GET /beacon\n  server local 127.0.0.1:9102 check\n" +
		"backend haproxyd-steer\n  stick-table type integer size 1k\n" +
		"listen " + name + "\n  bind 127.0.0.1:3306\n  stick-table type integer size 100k peers lbs\n" +
		"  stick match int(1) table haproxyd-steer if { srv_is_up(haproxyd/local) }\n  stick match int(1)\n  stick store-request int(1)\n" +
		"  server " + server + " 10.0.0.1:3306 check\n"
}
