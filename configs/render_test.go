package configs

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden files anew")

// haproxies gives the HAProxy of the PATH and those named in HAPROXY_BINARIES (separated by colons), by version.
func haproxies(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	var paths []string
	if p, err := exec.LookPath("haproxy"); err == nil {
		paths = append(paths, p)
	}
	paths = append(paths, filepath.SplitList(os.Getenv("HAPROXY_BINARIES"))...)
	for _, p := range paths {
		out, err := exec.Command(p, "-v").Output()
		if err != nil {
			t.Fatalf("%s -v: %v", p, err)
		}
		words := strings.Fields(string(out))
		if len(words) < 3 {
			t.Fatalf("%s -v printed %q", p, out)
		}
		found[words[2]] = p
	}
	if len(found) == 0 {
		t.Skip("no haproxy in the PATH")
	}
	return found
}

func exampleInput() RenderInput {
	return RenderInput{
		Nodes: []RenderNode{
			{Name: "pxc-0", Host: "10.0.1.10"}, {Name: "pxc-2", Host: "10.0.1.12"}, {Name: "pxc-1", Host: "10.0.1.11"},
		},
		Proxies: []RenderProxy{
			{Name: "px0", Host: "10.0.0.10"}, {Name: "px1", Host: "10.0.0.11"}, {Name: "px2", Host: "10.0.0.12"},
		},
		LocalProxy: "px0",
	}
}

func kubernetesInput() RenderInput {
	in := RenderInput{
		Active:      "test-pxc-db-pxc-2",
		Resolvers:   &RenderResolvers{Name: "kube", ResolvConf: true},
		StatsSocket: "/etc/haproxy/pxc/haproxy.sock",
		Check:       RenderCheck{Method: CheckExternal, Command: "/usr/local/bin/check_pxc.sh", Port: 33062, Inter: 10 * time.Second, Rise: 1, Fall: 2},
		Timeouts:    RenderTimeouts{Check: 5 * time.Second},
	}
	for _, n := range []string{"0", "2", "1"} {
		name := "test-pxc-db-pxc-" + n
		in.Nodes = append(in.Nodes, RenderNode{Name: name, Host: name + ".test-pxc-db-pxc.pxc.svc.cluster.local"})
	}
	for _, n := range []string{"0", "1", "2"} {
		name := "test-pxc-db-haproxy-" + n
		in.Proxies = append(in.Proxies, RenderProxy{Name: name, Host: name + ".test-pxc-db-haproxy.pxc.svc.cluster.local"})
	}
	return in
}

func labInput() RenderInput {
	in := exampleInput()
	in.Services = []RenderService{Writers()}
	in.Check = RenderCheck{Method: CheckMySQL, User: "haproxy"}
	return in
}

func TestRenderGolden(t *testing.T) {
	for name, in := range map[string]RenderInput{"four-services": exampleInput(), "kubernetes": kubernetesInput(), "writers-only": labInput()} {
		t.Run(name, func(t *testing.T) {
			got, err := Render(in)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("examples", name+".cfg")
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("the example differs (go test -update writes it anew):\n%s", diff)
			}
			if _, ours := readHeader(string(got)); !ours {
				t.Error("the rendered file is not recognised as ours")
			}
		})
	}
}

// Every rendered file is taken by every HAProxy at hand without an alert, and without a warning by the one it is for.
func TestRenderPassesHAProxy(t *testing.T) {
	for version, binary := range haproxies(t) {
		for name, in := range map[string]RenderInput{"four-services": exampleInput(), "writers-only": labInput(), "kubernetes": checkable(kubernetesInput())} {
			t.Run(version+"/"+name, func(t *testing.T) {
				data, err := Render(in)
				if err != nil {
					t.Fatal(err)
				}
				file := filepath.Join(t.TempDir(), "haproxy.cfg")
				if err := os.WriteFile(file, data, 0o600); err != nil {
					t.Fatal(err)
				}
				if err := CheckWithHAProxy(context.Background(), binary, file); err != nil {
					t.Fatal(err)
				}
				out, err := exec.Command(binary, "-c", "-f", file).CombinedOutput()
				if err != nil || strings.Contains(string(out), "[WARNING]") {
					t.Errorf("haproxy -c: %v\n%s", err, out)
				}
			})
		}
	}
}

// checkable replaces what does not exist on the machine of a test: names that HAProxy resolves at the start.
func checkable(in RenderInput) RenderInput {
	for i := range in.Proxies {
		in.Proxies[i].Host = "127.0.0.1"
		in.Proxies[i].Port = 10100 + i
	}
	for i := range in.Nodes {
		in.Nodes[i].Host = "localhost"
	}
	in.LocalProxy = in.Proxies[0].Name
	in.Check.Command = "/bin/true"
	return in
}

func TestRenderRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*RenderInput)
		want   string
	}{
		"no nodes":          {func(in *RenderInput) { in.Nodes = nil }, "nodes: none given"},
		"node name":         {func(in *RenderInput) { in.Nodes[1].Name = "pxc 2" }, `nodes[1].name: "pxc 2" is not a HAProxy name`},
		"node host":         {func(in *RenderInput) { in.Nodes[1].Host = "a;b" }, "nodes[1].host"},
		"no ordinal":        {func(in *RenderInput) { in.Nodes[1].Name = "db" }, `nodes[1].id: "db" does not end in a number; give an id`},
		"equal ids":         {func(in *RenderInput) { in.Nodes[1].ID = 1 }, "nodes[1].id: pxc-0 and pxc-2 both have id 1"},
		"negative id":       {func(in *RenderInput) { in.Nodes[1].ID = -1 }, "nodes[1].id: -1"},
		"node twice":        {func(in *RenderInput) { in.Nodes[1] = RenderNode{Name: "pxc-0", Host: "x", ID: 9} }, "nodes[1].name: pxc-0 is given twice"},
		"unknown active":    {func(in *RenderInput) { in.Active = "pxc-7" }, `active: "pxc-7" is none of the nodes`},
		"no proxies":        {func(in *RenderInput) { in.Proxies = nil; in.LocalProxy = "" }, "proxies: none given"},
		"proxy port":        {func(in *RenderInput) { in.Proxies[0].Port = 70000 }, "proxies[0].port: 70000"},
		"proxy twice":       {func(in *RenderInput) { in.Proxies[0].Name = "px1" }, "proxies[1].name: px1 is given twice"},
		"local proxy":       {func(in *RenderInput) { in.LocalProxy = "px9" }, `local proxy: "px9" is none of the proxies`},
		"no sticky service": {func(in *RenderInput) { in.Services = []RenderService{Readers()} }, "none of them is sticky"},
		"no service":        {func(in *RenderInput) { in.Services = []RenderService{} }, "services: none given"},
		"same bind":         {func(in *RenderInput) { s := Readers(); s.Bind = ":3306"; in.Services = []RenderService{Writers(), s} }, "services[1].bind: :3306 is bound by services[0]"},
		"reserved name":     {func(in *RenderInput) { s := Writers(); s.Backend = "haproxyd"; in.Services = []RenderService{s} }, `"haproxyd" is the name of the beacon`},
		"bind without port": {func(in *RenderInput) { s := Writers(); s.Bind = "10.0.0.1"; in.Services = []RenderService{s} }, "services[0].bind"},
		"node port":         {func(in *RenderInput) { s := Writers(); s.NodePort = 0; in.Services = []RenderService{s} }, "services[0].node port"},
		"peers name":        {func(in *RenderInput) { in.PeersName = "self" }, "peers name"},
		"half a TLS":        {func(in *RenderInput) { in.PeersCert = "/a.pem" }, `peers ca: "" is not an absolute path`},
		"TLS by a name":     {func(in *RenderInput) { in.PeersCert, in.PeersCA = "a.pem", "/ca.pem" }, "peers cert"},
		"TLS injection":     {func(in *RenderInput) { in.PeersCert, in.PeersCA = "/a.pem verify none", "/ca.pem" }, "peers cert"},
		"socket":            {func(in *RenderInput) { in.StatsSocket = "run/x.sock" }, "stats socket"},
		"socket injection":  {func(in *RenderInput) { in.StatsSocket = "/x level user\n" }, "stats socket"},
		"socket mode":       {func(in *RenderInput) { in.StatsSocketMode = "999" }, "stats socket mode"},
		"daemon":            {func(in *RenderInput) { in.Daemon = ":9102" }, "daemon"},
		"health path":       {func(in *RenderInput) { in.HealthPath = "ready" }, "health path"},
		"small table":       {func(in *RenderInput) { in.TableSize = "10" }, "table size"},
		"table size":        {func(in *RenderInput) { in.TableSize = "many" }, "table size"},
		"check method":      {func(in *RenderInput) { in.Check.Method = "ping" }, "check method"},
		"check command":     {func(in *RenderInput) { in.Check = RenderCheck{Method: CheckExternal, Command: "check"} }, "check command"},
		"check user":        {func(in *RenderInput) { in.Check.Method = CheckMySQL }, "check user"},
		"negative rise":     {func(in *RenderInput) { in.Check.Rise = -1 }, "check rise and fall"},
		"check port":        {func(in *RenderInput) { in.Check.Port = -1 }, "check port"},
		"inter":             {func(in *RenderInput) { in.Check.Inter = -time.Second }, "check inter"},
		"timeout":           {func(in *RenderInput) { in.Timeouts.Client = 60 * 24 * time.Hour }, "timeout client"},
		"microseconds":      {func(in *RenderInput) { in.Timeouts.Connect = time.Microsecond }, "timeout connect"},
		"resolvers":         {func(in *RenderInput) { in.Resolvers = &RenderResolvers{} }, "resolvers: give nameservers"},
		"nameserver":        {func(in *RenderInput) { in.Resolvers = &RenderResolvers{Nameservers: []string{"10.0.0.1"}} }, "resolvers nameservers[0]"},
		"long stats socket": {func(in *RenderInput) { in.StatsSocket = "/" + strings.Repeat("s", 95) }, "stats socket: "},
		"long hold socket":  {func(in *RenderInput) { in.StatsSocket = "/run/" + strings.Repeat("d", 60) + "/s" }, "services[0].backend: its hold socket: "},
		"hold name": {func(in *RenderInput) {
			s := Writers()
			s.Frontend = "haproxyd-hold-x"
			in.Services = []RenderService{s}
		}, "begins like a hold frontend"},
		"haproxy version": {func(in *RenderInput) { in.HAProxyVersion = "new" }, "haproxy version"},
		"max conn":        {func(in *RenderInput) { in.MaxConn = -1 }, "max conn"},
		"user":            {func(in *RenderInput) { in.User = "ha proxy" }, `user: "ha proxy" is not one plain word`},
		"group":           {func(in *RenderInput) { in.Group = "#" }, "group: "},
		"relative chroot": {func(in *RenderInput) { in.Chroot = "jail" }, `chroot: "jail" is not an absolute path`},
		"check in a chroot": {func(in *RenderInput) {
			in.Chroot, in.Check = "/jail", RenderCheck{Method: CheckExternal, Command: "/bin/check"}
		}, "chroot: the program of an external check is looked for inside /jail"},
		"user for the operator": {func(in *RenderInput) { in.Operator, in.User, in.Proxies = true, "haproxy", nil }, "user, group, chroot: a pod has its own"},
		"negative self port":    {func(in *RenderInput) { in.SelfPeerPort = -1 }, "self peer port"},
	} {
		t.Run(name, func(t *testing.T) {
			in := exampleInput()
			c.change(&in)
			_, err := Render(in)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

// genInput draws inputs that Render takes.
func genInput(t *rapid.T) RenderInput {
	in := exampleInput()
	in.Nodes = nil
	for i := range rapid.IntRange(1, 6).Draw(t, "nodes") {
		in.Nodes = append(in.Nodes, RenderNode{Name: "db-" + string(rune('0'+i)), Host: fmt.Sprintf(rapid.SampledFrom([]string{"10.9.0.%d", "db%d.example.net", "2001:db8::%d"}).Draw(t, "host"), i)})
	}
	in.Nodes = rapid.Permutation(in.Nodes).Draw(t, "order")
	services := AllServices()
	in.Services = services[:rapid.IntRange(1, 4).Draw(t, "services")]
	if rapid.Bool().Draw(t, "resolvers") {
		in.Resolvers = &RenderResolvers{ResolvConf: true}
	}
	in.HAProxyVersion = rapid.SampledFrom([]string{"", "2.6.12-1+deb12u3", "3.0.11"}).Draw(t, "version")
	in.LocalProxy = rapid.SampledFrom([]string{"", "px0", "px2"}).Draw(t, "local")
	in.Active = rapid.SampledFrom(in.Nodes).Draw(t, "active").Name
	if rapid.Bool().Draw(t, "another user") {
		in.User, in.Group, in.Chroot = "nobody", "nogroup", "/var"
	}
	if rapid.Bool().Draw(t, "peers by TLS") {
		in.PeersCert, in.PeersCA = "/etc/haproxy/peers.pem", "/etc/haproxy/peers-ca.pem"
	}
	return in
}

// versionOf is the version that the input is for.
func versionOf(in RenderInput) string {
	if in.HAProxyVersion == "" {
		return "2.6.12"
	}
	return in.HAProxyVersion
}

// Reordering a rendered file is the same as rendering it for the other node; it can be repeated and undone.
func TestReorderEqualsRender(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := genInput(t)
		text, err := Render(in)
		if err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(1, 3).Draw(t, "moves") {
			in.Active = rapid.SampledFrom(in.Nodes).Draw(t, "next").Name
			if text, err = reorder("haproxy.cfg", string(text), in.Active); err != nil {
				t.Fatal(err)
			}
		}
		want, err := Render(in)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(text)); diff != "" {
			t.Fatal(diff)
		}
	})
}

// What is rendered is read back as it was meant: steering, keys, ids, the active node first in every sticky backend.
func TestRenderIsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := genInput(t)
		text, err := Render(in)
		if err != nil {
			t.Fatal(err)
		}
		top, errs := build([]input{{name: "haproxy.cfg", text: string(text)}}, Reading{LocalPeer: "px0"})
		if len(errs) > 0 {
			t.Fatal(errs[0])
		}
		if err := top.Validate(); err != nil {
			t.Fatal(err)
		}
		want := &Steering{Table: "haproxyd-steer", ActiveKey: "1", FenceKey: "2", HoldKey: "3", KeepKey: "4", BeaconBackend: "haproxyd", BeaconServer: "local",
			AliveBackend: "haproxyd-alive", AliveServer: "local", PeersSection: "self", Pos: top.Steering.Pos}
		if diff := cmp.Diff(want, top.Steering); diff != "" {
			t.Fatal(diff)
		}
		if got := steered(top); got != "127.0.0.1:9102 1024" {
			t.Fatalf("beacon and size of the private table: %s", got)
		}
		sticky := 0
		for _, s := range in.Services {
			if s.Sticky {
				sticky++
			}
		}
		if len(top.Sticky) != sticky {
			t.Fatalf("%d sticky backends, want %d", len(top.Sticky), sticky)
		}
		for _, s := range top.Sticky {
			if s.KeepKey != "4" || !slices.Contains(holdNames(top), "haproxyd-hold-"+s.Name) || s.HoldSocket != "/run/haproxy/haproxyd-hold-"+s.Name+".sock" ||
				!s.HoldReverts(versionOf(in)) || s.Redispatch != (in.HAProxyVersion != "3.0.11") {
				t.Fatalf("hold %q at %q, redispatch %t for %q", holdNames(top), s.HoldSocket, s.Redispatch, in.HAProxyVersion)
			}
			if s.Servers[0].Name != in.Active || s.Servers[0].Backup || !s.Steered || s.Stores || !cmp.Equal(s.Keys, []string{"1"}) {
				t.Fatalf("sticky backend %+v with active %s", s, in.Active)
			}
			for _, srv := range s.Servers {
				if n, _ := ordinal(srv.Name); srv.ID != n+1 || !srv.ExplicitID || srv.Backup != (srv.Name != in.Active) {
					t.Fatalf("server %+v", srv)
				}
			}
		}
		var order []string
		for _, n := range in.Nodes {
			order = append(order, n.Name)
		}
		if !cmp.Equal(top.Preferred, order) || !top.Ours {
			t.Fatalf("preferred %v, want %v", top.Preferred, order)
		}
		local := in.LocalProxy
		if local == "" {
			local = "px0"
		}
		for _, f := range lint([]input{{name: "haproxy.cfg", text: string(text)}}, Reading{LocalPeer: local}) {
			if f.Rule == RulePeersClear && in.PeersCert == "" {
				continue // without certificates there is no other way
			}
			t.Fatalf("the rendered file does not lint clean: %+v", f)
		}
	})
}
