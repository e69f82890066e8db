package configs

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func load(t *testing.T, files ...string) *Topology {
	t.Helper()
	top, err := Load(files...)
	if err != nil {
		t.Fatal(err)
	}
	return top
}

func TestLoadDesign(t *testing.T) {
	top := load(t, "testdata/design.cfg")
	if err := top.Validate(); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"pxc-0", "pxc-2", "pxc-1"}, top.NodeNames()); diff != "" {
		t.Error(diff)
	}
	if path, err := top.AdminSocket(); path != "/tmp/admin.sock" || err != nil {
		t.Errorf("admin socket %q, %v", path, err)
	}
	if top.LocalPeer != "px0" || top.Ours || top.Steering == nil {
		t.Errorf("local peer %q, ours %t, steering %v", top.LocalPeer, top.Ours, top.Steering)
	}
	want := &Steering{Table: "haproxyd-steer", ActiveKey: "1", FenceKey: "2", BeaconBackend: "haproxyd", BeaconServer: "local",
		AliveBackend: "haproxyd-alive", AliveServer: "local", PeersSection: "self", Pos: Position{"testdata/design.cfg", 36}}
	if diff := cmp.Diff(want, top.Steering); diff != "" {
		t.Error(diff)
	}
	if got := steered(top); got != "127.0.0.1:9102 1024" {
		t.Errorf("beacon and size of the private table: %s", got)
	}
	s := top.Sticky[0]
	if len(top.Sticky) != 1 || s.Name != "galera-nodes" || s.Table != "galera-nodes" || size(top, s) != 102400 || s.PeersSection != "mypeers" ||
		s.Stores || !s.Steered || s.Key != (KeyExpr{"int(1)", KeyInt, "1"}) || !cmp.Equal(s.Keys, []string{"1"}) || s.Pos.Line != 37 {
		t.Errorf("sticky %+v", top.Sticky)
	}
	if srv := s.Servers[1]; srv.Name != "pxc-2" || srv.ID != 3 || !srv.ExplicitID || !srv.Backup || srv.Address() != "10.0.1.12:3306" || srv.Pos.Line != 40 {
		t.Errorf("server %+v", srv)
	}
	p, ok := top.PeersNamed("mypeers")
	if !ok || len(p.Peers) != 3 || !p.Has("px2") || p.Peers[2].Host != "10.0.0.12" || p.Peers[2].Port != 10000 || p.Pos.Line != 11 {
		t.Errorf("peers %+v", p)
	}
}

// The operator's two files are one configuration; the predecessor sticks in three backends, on one key.
func TestLoadSeveralFiles(t *testing.T) {
	top := load(t, "testdata/percona-global.cfg", "testdata/predecessor-pxc.cfg")
	var names []string
	for _, s := range top.Sticky {
		names = append(names, s.Name)
		if !s.Stores || size(top, s) != 1 || s.Steered || !cmp.Equal(s.Keys, []string{"1"}) || len(s.Servers) != 3 || s.Servers[1].ID != 2 || s.Servers[1].ExplicitID {
			t.Errorf("sticky %+v", s)
		}
	}
	if diff := cmp.Diff([]string{"galera-nodes", "galera-admin-nodes", "galera-mysqlx-nodes"}, names); diff != "" {
		t.Error(diff)
	}
	if top.Steering != nil {
		t.Errorf("steering %+v in a configuration without it", top.Steering)
	}
	if path, err := top.AdminSocket(); path != "/etc/haproxy/pxc/haproxy.sock" || err != nil {
		t.Errorf("admin socket %q, %v", path, err)
	}
	host, _ := os.Hostname()
	if top.LocalPeer != host {
		t.Errorf("local peer %q, want the host's name", top.LocalPeer)
	}
	stock := load(t, "testdata/percona-global.cfg", "testdata/percona-pxc.cfg")
	if err := stock.Validate(); !errors.Is(err, ErrNoSticky) {
		t.Errorf("error %v, want ErrNoSticky", err)
	}
}

func TestLoadAs(t *testing.T) {
	file := write(t, "global\n  localpeer a\npeers self\n  peer \"${HAPROXY_LOCALPEER}\" 127.0.0.1:1\n")
	top := load(t, file)
	for _, want := range []string{"a", "b", "c"} {
		if want != "a" {
			// -L wins over localpeer, as on HAProxy.
			var err error
			if top, err = LoadAs(Reading{LocalPeer: want}, file); err != nil {
				t.Fatal(err)
			}
		}
		if top.LocalPeer != want || !top.Peers[0].Has(want) {
			t.Errorf("local peer %q, peers %+v, want %q", top.LocalPeer, top.Peers, want)
		}
	}
	// A localpeer after the peers is ignored, and so is HAProxy's.
	late := load(t, write(t, "peers p\n  peer z 127.0.0.1:1\nglobal\n  localpeer z\n"))
	if late.LocalPeer == "z" {
		t.Error("a localpeer after the peers was taken")
	}
}

// steered gives the address of the beacon and the size of the private table.
func steered(top *Topology) string {
	backend, _ := top.backend(top.Steering.BeaconBackend)
	beacon, _ := backend.server(top.Steering.BeaconServer)
	table, _ := top.table(top.Steering.Table)
	return fmt.Sprint(beacon.Address(), " ", table.Size)
}

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestEnvironmentDirectives(t *testing.T) {
	t.Setenv("OUTER", "o")
	top := load(t, write(t, `global
  setenv A one
  presetenv A two
  presetenv B three
  setenv GONE x
  unsetenv GONE
backend x
  server "$A" 127.0.0.1:1
  server "$B" 127.0.0.1:1
  server "${GONE-none}" 127.0.0.1:1
  server "$OUTER" 127.0.0.1:1
`))
	var names []string
	for _, s := range top.Backends[0].Servers {
		names = append(names, s.Name)
	}
	if diff := cmp.Diff([]string{"one", "three", "none", "o"}, names); diff != "" {
		t.Error(diff)
	}
	top = load(t, write(t, "global\n  resetenv A\nbackend x\n  server \"${OUTER-hidden}\" 127.0.0.1:1\n"))
	if got := top.Backends[0].Servers[0].Name; got != "hidden" {
		t.Errorf("server %q after resetenv", got)
	}
}

// Each problem is one line that names the place and says what to do.
func TestLoadErrors(t *testing.T) {
	const table = "  stick-table type integer size 1k\n"
	for text, want := range map[string]string{
		"backend b\n  server a\n":                               ":2: a server line needs a name and an address; write `server NAME ADDRESS:PORT ...`",
		"backend b\n  server a \"${NOT_SET}:1\"\n":              ":2: the environment variable NOT_SET is not set here; start this program with the environment that HAProxy has",
		"backend b\n  server a $NOT_SET:1\n":                    ":2: the environment variable NOT_SET is not set here",
		"peers p\n  peer a ${NOT_SET}:1\n":                      ":2: the environment variable NOT_SET is not set here",
		"backend b\n  server a 1:1 id 0\n":                      `:2: server a has the id "0"; give a number above 0`,
		"backend b\n  server a 1:1 id 4\n  server c 1:1 id 4\n": ":3: id 4 is already used at ",
		"backend b\n  server a 1:1\n  server a 1:1\n":           ":3: server a was already declared at ",
		"backend b\n  stick on\n":                               ":2: a stick rule that cannot be read; write `stick on",
		"backend b\n  stick on int(1)\n":                        ":2: the stick rule uses the table b, which no section declares; add the stick-table",
		"backend b\n  stick-table type integer size many\n":     `:2: the stick-table of b has the size "many"`,
		"backend b from nowhere\n":                              `:1: backend b inherits from defaults "nowhere", which is not there`,
		"frontend\n":                                            ":1: a frontend section without a name",
		"frontend f\n  bind\n":                                  ":2: a bind line without an address",
		"frontend f\n  id x\n":                                  `:2: the id "x" is not a number`,
		"global\n  stats socket\n":                              ":2: a stats socket without an address",
		"peers p\n  peer\n":                                     ":2: a peer without a name",
		"peers p\n  peer a\n":                                   ":2: peer a has no address",
		"backend b\n  server-template a\n":                      ":2: a server-template line needs",
		"backend b\n  server-template a 9-2 h:1\n":              `:2: server-template has the range "9-2"`,
		"backend b\n" + table + "  stick match int(1) table b if { srv_is_up(x/y) }\n":               ":3: the beacon x/y is not declared",
		"backend b\n" + table + "  stick match src table b if { srv_is_up(b/a) }\n  server a h:1\n":  `:3: the private table b is asked for "src", which is not one constant key`,
		"backend b\n" + table + "  stick match int(1) table b if { srv_is_up(a) }\n  server a h:1\n": ":3: backend b has a private table and no native one",
		steeredTwice("int(2)"): ": backend c is steered by key 2 of table t with the beacon d/s, and the rule at ",
	} {
		_, err := Load(write(t, text))
		var e *Error
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") || !errors.As(err, &e) || e.Pos.Line == 0 {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
}

func steeredTwice(key string) string {
	backend := func(name, key string) string {
		return "backend " + name + "\n  stick-table type integer size 1k\n  stick match " + key + " table t if { srv_is_up(d/s) }\n  stick on int(1)\n  server x h:1\n"
	}
	return "backend t\n  stick-table type integer size 1k\nbackend d\n  server s 127.0.0.1:1\n" + backend("b", "int(1)") + backend("c", key)
}

// The steering layout is recognised under other names, with named ACLs, and without a fence.
func TestSteeringByStructure(t *testing.T) {
	top := load(t, write(t, `frontend in
  bind :1
  acl fenced int(9),in_table(p)
  tcp-request content reject if fenced { srv_is_up(w/x) -m bool }
  default_backend db
listen w
  bind :2
  server x 127.0.0.1:7
backend p
  stick-table type string size 1k
backend db
  acl on srv_is_up(w/x)
  stick-table type integer size 1k
  stick match str(active) table p if on
  stick match int(1)
  stick store-request int(1) if !on
  server a h:1
`))
	want := &Steering{Table: "p", ActiveKey: "active", FenceKey: "9", BeaconBackend: "w", BeaconServer: "x", AliveBackend: "w", AliveServer: "x",
		Pos: top.Steering.Pos}
	if diff := cmp.Diff(want, top.Steering); diff != "" {
		t.Error(diff)
	}
	if got := steered(top); got != "127.0.0.1:7 1024" {
		t.Errorf("beacon and size of the private table: %s", got)
	}
	if top.Sticky[0].Stores {
		t.Error("it stores also while the beacon is up")
	}
	top = load(t, write(t, steeredTwice("int(1)")))
	if st := top.Steering; st == nil || st.FenceKey != "" || st.AliveBackend != "" || len(top.Sticky) != 2 || !top.Sticky[0].Stores {
		t.Errorf("steering %+v, sticky %+v", top.Steering, top.Sticky)
	}
}

func TestUnknowableKeys(t *testing.T) {
	for name, c := range map[string]struct{ front, back string }{
		"converter":          {"  bind 127.0.0.1:1\n", "  stick-table type integer size 1k\n  stick on int(1),mod(2)\n"},
		"src":                {"  bind 127.0.0.1:1\n", "  stick-table type ip size 1k\n  stick on src\n"},
		"dst of all":         {"  bind :1\n", "  stick-table type ip size 1k\n  stick on dst\n"},
		"dst of any address": {"  bind 0.0.0.0:1\n", "  stick-table type ip size 1k\n  stick on dst\n"},
		"dst by proxy":       {"  bind 127.0.0.1:1 accept-proxy\n", "  stick-table type ip size 1k\n  stick on dst\n"},
		"dst set":            {"  bind 127.0.0.1:1\n  tcp-request connection set-dst ipv4(1.2.3.4)\n", "  stick-table type ip size 1k\n  stick on dst\n"},
		"fe_id not given":    {"  bind 127.0.0.1:1\n", "  stick-table type integer size 1k\n  stick on fe_id\n"},
		"name as number":     {"  bind 127.0.0.1:1\n", "  stick-table type integer size 1k\n  stick on fe_name\n"},
		"negative":           {"  bind 127.0.0.1:1\n", "  stick-table type integer size 1k\n  stick on int(-1)\n"},
		"dynamic":            {"  bind 127.0.0.1:1\n  use_backend %[dst_port]\n", "  stick-table type string size 1k\n  stick on fe_name\n"},
		"two keys":           {"  bind 127.0.0.1:1\n", "  stick-table type integer size 1k\n  stick on int(1) if { src 1.2.3.4 }\n  stick on int(2)\n"},
	} {
		top := load(t, write(t, "frontend in\n"+c.front+"  default_backend b\nbackend b\n"+c.back+"  server a h:1\n"))
		if len(top.Sticky) != 1 || top.Sticky[0].Keys != nil {
			t.Errorf("%s: sticky %+v, want one with unknowable keys", name, top.Sticky)
		}
		if err := top.Validate(); err == nil || !strings.Contains(err.Error(), "cannot be known in advance") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Where no frontend leads, there are no keys; that is known.
	top := load(t, write(t, "backend b\n  stick-table type string size 1k\n  stick on fe_name\n  server a h:1\n"))
	if keys := top.Sticky[0].Keys; keys == nil || len(keys) != 0 {
		t.Errorf("keys %#v", keys)
	}
}

func TestAdminSocketErrors(t *testing.T) {
	for text, want := range map[string]string{
		"global\n":                                     "there is no stats socket; add",
		"global\n  stats socket /x level user\n":       ":2: the stats socket /x has level user, not admin",
		"global\n  stats socket /x\n":                  ":2: the stats socket /x has level operator, not admin",
		"global\n  stats socket 1.2.3.4:9 level admin": ":2: the admin-level stats socket 1.2.3.4:9 is not a unix socket",
	} {
		_, err := load(t, write(t, text)).AdminSocket()
		if !errors.Is(err, ErrNoAdminSocket) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	top := load(t, write(t, "global\n  stats socket /op level operator\n  stats socket unix@/adm mode 600 level admin process 1\n"))
	if path, err := top.AdminSocket(); path != "/adm" || err != nil {
		t.Errorf("%q, %v", path, err)
	}
}

// What Load makes of a file is what HAProxy makes of it: every table, every server's id, every key.
func TestTopologyMatchesHAProxy(t *testing.T) {
	for version, binary := range haproxies(t) {
		t.Run(version, func(t *testing.T) { matchHAProxy(t, version, binary) })
	}
}

func matchHAProxy(t *testing.T, version, binary string) {
	dir, err := os.MkdirTemp("", "keys")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	node := startNode(t, "n", "127.0.0.1:0")
	_, nodePort, _ := net.SplitHostPort(node.addr)
	for k, v := range map[string]string{"SOCKET": socket, "PEERPORT": strconv.Itoa(freePort(t)), "P1": strconv.Itoa(freePort(t)), "P2": nodePort} {
		t.Setenv(k, v)
	}
	top := load(t, "testdata/keys.cfg")
	cmd := exec.Command(binary, "-db", "-f", "testdata/keys.cfg")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
		if t.Failed() {
			t.Log(said.String())
		}
	})
	l := &live{t: t, services: map[string]string{}, input: RenderInput{StatsSocket: socket}}
	l.until("HAProxy answers", 10*time.Second, func() bool { return l.try("show info") != "" })

	for _, d := range Compare(top, observedServers(t, l), observedTables(l)) {
		t.Errorf("HAProxy %s: %s", version, d)
	}
	for i := 1; i <= 10; i++ {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.%d:%s", i, os.Getenv("P1")))
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(2 * time.Second))
		if _, err := c.Read(make([]byte, 2)); err != nil {
			t.Fatalf("127.0.0.%d: %v", i, err)
		}
		_ = c.Close()
	}
	if len(top.Sticky) != 8 {
		t.Fatalf("%d sticky backends", len(top.Sticky))
	}
	for _, s := range top.Sticky {
		var keys []string
		for line := range strings.SplitSeq(l.try("show table "+s.Table), "\n") {
			if _, rest, ok := strings.Cut(line, " key="); ok {
				key, _, _ := strings.Cut(rest, " ")
				keys = append(keys, key)
			}
		}
		slices.Sort(keys)
		if diff := cmp.Diff(s.Keys, keys); diff != "" {
			t.Errorf("HAProxy %s: keys of %s in %s (-here +there):\n%s", version, s.Name, s.Table, diff)
		}
	}
}

func observedServers(t *testing.T, l *live) []ObservedServer {
	t.Helper()
	var out []ObservedServer
	for line := range strings.SplitSeq(l.try("show servers state"), "\n") {
		f := strings.Fields(line)
		if len(f) < 19 || f[0] == "#" {
			continue
		}
		id, err := strconv.Atoi(f[2])
		if err != nil {
			t.Fatal(line)
		}
		port, _ := strconv.Atoi(f[18])
		out = append(out, ObservedServer{Backend: f[1], Name: f[3], ID: id, Addr: f[4], Port: port})
	}
	return out
}

func observedTables(l *live) []ObservedTable {
	var out []ObservedTable
	for line := range strings.SplitSeq(l.try("show table"), "\n") {
		f := strings.Split(strings.TrimPrefix(line, "# table: "), ", ")
		if len(f) != 4 {
			continue
		}
		size, _ := strconv.Atoi(strings.TrimPrefix(f[2], "size:"))
		out = append(out, ObservedTable{Name: f[0], Type: strings.TrimPrefix(f[1], "type: "), Size: size})
	}
	return out
}
func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		if _, err := Load("examples/four-services.cfg"); err != nil {
			b.Fatal(err)
		}
	}
}

// size is that of a sticky backend's native table.
func size(top *Topology, s StickyBackend) int {
	table, _ := top.table(s.Table)
	return table.Size
}
