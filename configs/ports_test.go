package configs

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Where the nodes are probed: by MySQL's classic protocol, whatever stands first, and where a line has no port of its
// own, at the one that all clients come to.
func TestNodes(t *testing.T) {
	section := func(name, bind, port string) string {
		return fmt.Sprintf("listen %s\n  bind %s\n  stick-table type integer size 100k\n  stick on int(1)\n  server oak 10.0.0.1%s id 1\n  server elm 10.0.0.2%s id 2 backup\n", name, bind, port, port)
	}
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"one":                            {section("db", ":3306", ":3306"), []string{"10.0.0.1:3306", "10.0.0.2:3306"}},
		"the X protocol first":           {section("x", ":33060", ":33060") + section("db", ":3306", ":3306"), []string{"10.0.0.1:3306", "10.0.0.2:3306"}},
		"administrators first":           {section("a", ":33062", ":33062") + section("db", ":13306", ":13306"), []string{"10.0.0.1:13306", "10.0.0.2:13306"}},
		"the X protocol by its name":     {section("galera-mysqlx", ":1", ":1000") + section("db", ":2", ":2000"), []string{"10.0.0.1:2000", "10.0.0.2:2000"}},
		"nothing else":                   {section("x", ":33060", ":33060"), []string{"10.0.0.1:33060", "10.0.0.2:33060"}},
		"of two equal ones the first":    {section("a", ":1", ":1001") + section("b", ":2", ":1002"), []string{"10.0.0.1:1001", "10.0.0.2:1001"}},
		"no port":                        {section("db", ":3307", ""), []string{"10.0.0.1:3307", "10.0.0.2:3307"}},
		"a port behind the client's":     {section("db", ":3306", ":+10000"), []string{"10.0.0.1:13306", "10.0.0.2:13306"}},
		"a port before the client's":     {section("db", ":13306", ":-10000"), []string{"10.0.0.1:3306", "10.0.0.2:3306"}},
		"no port, and two to come to":    {section("db", ":3306,:3307", ""), []string{"10.0.0.1:0", "10.0.0.2:0"}},
		"no port, and a rule changes it": {section("db", ":3306\n  tcp-request connection set-dst-port int(1)", ""), []string{"10.0.0.1:0", "10.0.0.2:0"}},
	} {
		t.Run(name, func(t *testing.T) {
			top, errs := build([]input{{"haproxy.cfg", "defaults\n  mode tcp\n" + c.text}}, Reading{})
			if len(errs) > 0 {
				t.Fatal(errs[0])
			}
			var got []string
			for _, s := range top.Nodes() {
				got = append(got, s.Address())
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
