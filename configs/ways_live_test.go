package configs

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// wayLive is a configuration of somebody's own, with two ports, in front of three nodes.
func wayLive(t *testing.T, binary, table, rules, options string) (*live, *Topology) {
	t.Helper()
	l := newLive(t, binary)
	var servers strings.Builder
	for i, name := range []string{"oak", "elm", "fir"} {
		l.nodes[name] = startNode(t, name, fmt.Sprintf("127.0.0.%d:0", 11+i))
		backup := ""
		if i > 0 {
			backup = " backup"
		}
		fmt.Fprintf(&servers, "  server %s %s id %d check inter 100ms fall 2 rise 1 on-marked-down shutdown-sessions%s\n", name, l.nodes[name].addr, i+1, backup)
	}
	for _, name := range []string{"one", "two", "three"} {
		l.services[name] = fmt.Sprintf("127.0.0.1:%d", freePort(t))
	}
	_, two, _ := net.SplitHostPort(l.services["two"])
	l.write(fmt.Sprintf(`global
  stats socket %s mode 600 level admin
defaults
  mode tcp
  timeout connect 500ms
  timeout client 10s
  timeout server 10s
  retries 1
%speers lbs
  peer %s 127.0.0.1:%d
listen db
  bind %s
  bind %s
  stick-table type integer size 100k peers lbs %s
%s%s`, l.input.StatsSocket, strings.NewReplacer("OAK", l.nodes["oak"].addr, "THREE", l.services["three"]).Replace(options), "px0", freePort(t), l.services["one"], l.services["two"], table, strings.ReplaceAll(rules, "TWO", two), servers.String()))
	topo := l.load()
	l.start()
	for name := range l.nodes {
		l.until(name+" is up", 5*time.Second, func() bool { return l.up("db", name) })
	}
	return l, topo
}

// Each way is one on every version: with it a connection goes where the table does not lead, and without it none.
func TestWays(t *testing.T) {
	const stick = "  stick on int(1)\n"
	point := func(l *live, id int) {
		l.try(fmt.Sprintf("clear table db key 1;set table db key 1 data.server_id %d", id))
	}
	elsewhere := func(l *live) bool { return l.node("one") != "elm" || l.node("two") != "elm" }
	for name, c := range map[string]struct {
		table, rules, options string
		want                  []string         // the rules of the ways
		wrong                 func(*live) bool // a connection goes wrong, with elm in the table; nil: elsewhere
	}{
		"none":                 {rules: stick},
		"redispatch":           {rules: stick, options: "  option redispatch\n"},
		"use-server":           {rules: stick + "  use-server oak if { dst_port TWO }\n", want: []string{RuleUseServer}},
		"a condition":          {rules: "  stick on int(1) if !{ dst_port TWO }\n", want: []string{RuleStickCondition}},
		"a condition, unless":  {rules: "  acl other dst_port TWO\n  stick match int(1) unless other\n  stick store-request int(1)\n", want: []string{RuleStickCondition}},
		"ignore-persist":       {rules: stick + "  ignore-persist if { dst_port TWO }\n"}, // it is about cookies
		"persist":              {rules: stick + "  option persist\n", want: []string{RulePersist}, wrong: deadActive},
		"persist, by defaults": {rules: stick, options: "  option persist\n", want: []string{RulePersist}, wrong: deadActive},
		"persist, taken back":  {rules: stick + "  no option persist\n", options: "  option persist\n", wrong: deadActive},
		"allbackups":           {rules: stick + "  option allbackups\n", want: []string{RuleAllBackups}, wrong: spread},
		"without allbackups":   {rules: stick, wrong: spread},
		"force-persist":        {rules: stick + "  force-persist if TRUE\n", want: []string{RulePersist}, wrong: deadActive},
		"rdp-cookie":           {rules: stick + "  tcp-request inspect-delay 2s\n  tcp-request content accept if RDP_COOKIE\n  persist rdp-cookie\n", want: []string{RulePersist}, wrong: cookie},
		"no rdp-cookie":        {rules: stick + "  tcp-request inspect-delay 2s\n  tcp-request content accept if RDP_COOKIE\n", wrong: cookie},
		"another backend":      {rules: stick + "  use_backend direct if { dst_port TWO }\n", options: "backend direct\n  server somebody OAK\n", want: []string{RuleOtherBackend}},
		"a map":                {rules: stick + "  use_backend %[dst_port,map(/dev/null,direct)]\n", options: "backend direct\n  server somebody OAK\n", want: []string{RuleOtherBackend}},
		"maxqueue":             {rules: stick + "  default-server maxconn 1 maxqueue 1\n", options: "  option redispatch\n", want: []string{RuleMaxQueue, RuleMaxQueue, RuleMaxQueue}, wrong: crowd},
		"maxqueue alone":       {rules: stick + "  default-server maxconn 1 maxqueue 1\n", wrong: crowd},
		"a table of two":       {rules: stick, options: "listen other\n  bind THREE\n  stick store-request int(1) table db\n  server ash OAK id 1\n", want: []string{RuleTableShared}, wrong: other},
		"a table looked up":    {rules: stick, options: "listen other\n  bind THREE\n  stick match int(1) table db\n  server ash OAK id 1\n", wrong: other},
		"store-response":       {rules: "  stick match int(1)\n  stick store-response int(1)\n"},
		"expire":               {table: "expire 1s", rules: stick, want: []string{RuleTableExpire}, wrong: quiet},
		"no expire":            {rules: stick, wrong: quiet},
	} {
		for version, haproxy := range haproxies(t) {
			t.Run(name+", "+version, func(t *testing.T) {
				t.Parallel()
				l, topo := wayLive(t, haproxy, c.table, c.rules, c.options)
				var rules []string
				for _, w := range topo.Ways {
					rules = append(rules, w.Rule)
				}
				if strings.Join(rules, " ") != strings.Join(c.want, " ") {
					t.Errorf("found %v, want %v", topo.Ways, c.want)
				}
				point(l, 2)
				wrong := elsewhere
				if c.wrong != nil {
					wrong = c.wrong
				}
				if got := wrong(l); got != (len(c.want) > 0) {
					t.Errorf("a connection went wrong: %v", got)
				}
			})
		}
	}
}

// deadActive: nobody gets through while the node of the entry is down and another is not.
func deadActive(l *live) bool {
	l.nodes["elm"].stop()
	l.until("elm is down", 5*time.Second, func() bool { return !l.up("db", "elm") })
	return l.node("one") == ""
}

// spread: without an entry, and with the first server down, connections go to more than one node.
func spread(l *live) bool {
	l.nodes["oak"].stop()
	l.until("oak is down", 5*time.Second, func() bool { return !l.up("db", "oak") })
	got := map[string]bool{}
	for range 6 {
		l.try("clear table db key 1")
		got[l.node("one")] = true
	}
	return len(got) > 1
}

// crowd: of many clients at once one is served by another node than the table's.
func crowd(l *live) bool {
	names := make(chan string, 6)
	for range cap(names) {
		go func() {
			name, c := l.open("one")
			names <- name
			time.Sleep(time.Second) // it keeps its place meanwhile
			if c != nil {
				_ = c.Close()
			}
		}()
	}
	wrong := false
	for range cap(names) {
		if name := <-names; name != "" && name != "elm" {
			wrong = true
		}
	}
	return wrong
}

// other: a connection to another service moves those to this one.
func other(l *live) bool {
	l.node("three")
	return l.node("one") != "elm"
}

// cookie: a client's cookie leads it to a server of its choice, oak here.
func cookie(l *live) bool {
	host, port, err := net.SplitHostPort(l.nodes["oak"].addr)
	if err != nil {
		l.t.Fatal(err)
	}
	n, _ := strconv.Atoi(port)
	ip := net.ParseIP(host).To4()
	// Address and port as Windows' terminal server writes them: backwards (section 4.2 of HAProxy's manual, `persist rdp-cookie`).
	text := fmt.Sprintf("Cookie: msts=%d.%d.0000\r\n", binary.LittleEndian.Uint32(ip), n>>8|n&0xff<<8)
	packet := append([]byte{3, 0, 0, byte(len(text) + 11), byte(len(text) + 6), 0xe0, 0, 0, 0, 0, 0}, text...)
	c, err := net.Dial("tcp", l.services["one"])
	if err != nil {
		l.t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_, _ = c.Write(packet)
	_ = c.SetReadDeadline(time.Now().Add(3 * time.Second))
	name, _ := bufio.NewReader(c).ReadString('\n')
	return strings.TrimSpace(name) == "oak"
}

// quiet: the entry is gone after a while without connections.
func quiet(l *live) bool {
	if first := l.node("one"); first != "elm" {
		l.t.Fatalf("went to %q", first)
	}
	time.Sleep(2500 * time.Millisecond)
	return l.node("one") != "elm"
}

// A backend that does only half of it is no sticky one: each of its connections is balanced, or nothing is ever stored.
func TestHalfSticky(t *testing.T) {
	for rules, sticks := range map[string]bool{"  stick store-request int(1)\n": false, "  stick match int(1)\n": true} {
		for version, binary := range haproxies(t) {
			t.Run(strings.TrimSpace(rules)+", "+version, func(t *testing.T) {
				t.Parallel()
				l, topo := wayLive(t, binary, "", rules, "")
				if len(topo.Sticky) != 0 || len(topo.Halves) != 1 || topo.Halves[0].Rule != RuleHalfSticky {
					t.Errorf("%+v, %+v", topo.Sticky, topo.Halves)
				}
				l.node("one")
				if stored := strings.Contains(l.try("show table db"), "key=1"); stored == sticks {
					t.Errorf("stored: %v", stored)
				}
				l.try("clear table db key 1;set table db key 1 data.server_id 2")
				if got := l.node("one"); (got == "elm") != sticks {
					t.Errorf("went to %q", got)
				}
			})
		}
	}
}

// How long the checks may take, from what a server's lines say.
func TestDownAfter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "haproxy.cfg")
	text := `defaults
  mode tcp
listen db
  bind 127.0.0.1:3306
  stick-table type integer size 100k
  stick on int(1)
  default-server inter 1s fall 2
  server oak 127.0.0.1:1 id 1 check
  server elm 127.0.0.1:2 id 2 check inter 500ms fall 4
  server fir 127.0.0.1:3 id 3
listen own
  bind 127.0.0.1:3307
  stick-table type integer size 100k
  stick on int(1)
  server elm 127.0.0.1:2 id 2 check
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	topo, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	for node, want := range map[string]time.Duration{"oak": 3 * time.Second, "elm": 8 * time.Second, "fir": 0, "ash": 0} {
		if got := topo.DownAfter(node); got != want {
			t.Errorf("%s: %v, want %v", node, got, want)
		}
	}
}
