package configs

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

type operatorPatch struct {
	APIVersion string `yaml:"apiVersion"`
	Metadata   struct{ Name, Namespace string }
	Spec       struct {
		HAProxy struct {
			Configuration string
			Sidecars      []struct {
				Name         string
				Args         []string
				VolumeMounts []struct {
					Name      string
					MountPath string `yaml:"mountPath"`
				} `yaml:"volumeMounts"`
			}
			SidecarVolumes []struct{ Name string } `yaml:"sidecarVolumes"`
		} `yaml:"haproxy"`
	}
}

func operatorInput() OperatorInput {
	return OperatorInput{Cluster: "test-pxc-db", Namespace: "pxc", Domain: "cluster.local", Nodes: 3, Proxies: 3, Image: "example.org/haproxyd:1",
		Render: RenderInput{HAProxyVersion: "2.8"}}
}

func parsePatch(t *testing.T) operatorPatch {
	t.Helper()
	data, err := PerconaOperator(operatorInput())
	if err != nil {
		t.Fatal(err)
	}
	var p operatorPatch
	if err := yaml.Unmarshal(data, &p); err != nil {
		t.Fatalf("%v in\n%s", err, data)
	}
	return p
}

// operatorFiles writes the patch's configuration and the file that the operator's script writes, as they lie in the pod.
func operatorFiles(t *testing.T, configuration string) (global, pxc string) {
	t.Helper()
	data, err := os.ReadFile("testdata/percona-pxc.cfg")
	if err != nil {
		t.Fatal(err)
	}
	// Since 1.15 its servers name the resolvers section of the global file.
	text := regexp.MustCompile(`(?m) check inter`).ReplaceAllString(string(data), " resolvers kubernetes check inter")
	dir := t.TempDir()
	global, pxc = filepath.Join(dir, "haproxy-global.cfg"), filepath.Join(dir, "haproxy.cfg")
	for file, content := range map[string]string{global: configuration, pxc: text} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return global, pxc
}

func TestPerconaOperatorPatch(t *testing.T) {
	p := parsePatch(t)
	h := p.Spec.HAProxy
	if p.APIVersion != "pxc.percona.com/v1" || p.Metadata.Name != "test-pxc-db" || p.Metadata.Namespace != "pxc" || len(h.Sidecars) != 1 {
		t.Fatalf("%+v", p)
	}
	args := strings.Join(h.Sidecars[0].Args, " ")
	for _, want := range []string{
		"--initial-voters=test-pxc-db-haproxy-0,test-pxc-db-haproxy-1,test-pxc-db-haproxy-2",
		"--join=test-pxc-db-haproxy-0.test-pxc-db-haproxy:7946,",
		"--haproxy-cfg=/etc/haproxy-custom/haproxy-global.cfg",
	} {
		if !strings.Contains(args, want) {
			t.Errorf("the arguments lack %s: %s", want, args)
		}
	}
	// Every volume is the operator's own or is declared.
	volumes := []string{"haproxy-auto", "haproxy-custom", "mysql-users-secret-file"}
	for _, v := range h.SidecarVolumes {
		volumes = append(volumes, v.Name)
	}
	for _, m := range h.Sidecars[0].VolumeMounts {
		if !slices.Contains(volumes, m.Name) {
			t.Errorf("the volume %s is nobody's", m.Name)
		}
	}
	// The operator's script takes the third word of every line with these two words.
	if n := strings.Count(h.Configuration, "stats socket"); n != 1 || !strings.Contains(h.Configuration, "\n  stats socket /etc/haproxy/pxc/haproxy.sock ") {
		t.Errorf("the operator's script would not find the admin socket: %d lines", n)
	}
	want, err := Render(operatorInput().configuration())
	if err != nil || h.Configuration != string(want) {
		t.Errorf("YAML changed the configuration: %v", err)
	}
	if _, ours := readHeader(string(want)); ours {
		t.Error("the daemon would rewrite a ConfigMap's file")
	}
	for _, bad := range []func(*OperatorInput){
		func(in *OperatorInput) { in.Cluster = "a b" }, func(in *OperatorInput) { in.Namespace = "A" }, func(in *OperatorInput) { in.Nodes = 0 },
		func(in *OperatorInput) { in.Image = "x\n  y: z" }, func(in *OperatorInput) { in.Domain = "" }, func(in *OperatorInput) { in.Proxies = -1 },
	} {
		in := operatorInput()
		bad(&in)
		if _, err := PerconaOperator(in); err == nil {
			t.Errorf("accepted: %+v", in)
		}
	}
}

// The daemon reads our file alone; HAProxy reads the operator's behind it.
func TestPerconaOperatorConfiguration(t *testing.T) {
	text := parsePatch(t).Spec.HAProxy.Configuration
	global, pxc := operatorFiles(t, text)
	for _, files := range [][]string{{global}, {global, pxc}} {
		topo, err := LoadAs(Reading{LocalPeer: "test-pxc-db-haproxy-1"}, files...)
		if err != nil {
			t.Fatal(err)
		}
		if err := topo.Validate(); err != nil {
			t.Fatal(err)
		}
		var sticky []string
		for _, s := range topo.Sticky {
			sticky = append(sticky, s.Name)
			if !s.Steered || s.HoldSocket == "" || len(s.Servers) != 3 || s.Servers[2].ID != 3 {
				t.Errorf("%+v", s)
			}
		}
		if got := strings.Join(sticky, " "); got != "agreed-nodes agreed-admin-nodes agreed-mysqlx-nodes" {
			t.Errorf("sticky backends: %s", got)
		}
		findings, err := LintAs(Reading{LocalPeer: "test-pxc-db-haproxy-1"}, global)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range findings {
			t.Errorf("lint: %+v", f)
		}
	}
	for version, binary := range haproxies(t) {
		// The script of the check is in the operator's image, and haproxy -c does not look for it.
		if err := CheckWithHAProxy(context.Background(), binary, global, pxc); err != nil {
			t.Errorf("%s: %v", version, err)
		}
		// With the stock frontends beside ours HAProxy would refuse: ours replace them.
		if err := CheckWithHAProxy(context.Background(), binary, "testdata/percona-global.cfg", global); err == nil {
			t.Errorf("%s accepts two frontends of one name", version)
		}
	}
	if _, err := exec.LookPath("haproxy"); err != nil {
		t.Log("there is no haproxy here")
	}
}
