package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
)

func parse(t *testing.T, args []string, env map[string]string, file string) (*settings, error) {
	t.Helper()
	var s settings
	f := pflag.NewFlagSet("haproxyd", pflag.ContinueOnError)
	s.flags(f)
	if file != "" {
		path := filepath.Join(t.TempDir(), "haproxyd.yaml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config", path)
	}
	if err := f.Parse(args); err != nil {
		t.Fatal(err)
	}
	return &s, fill(f, func(name string) (string, bool) { v, ok := env[name]; return v, ok })
}

func TestFlagBeatsEnvironmentBeatsFile(t *testing.T) {
	file := "gossip-bind: 10.0.0.1:1\nhttp-bind: 10.0.0.1:2\nadmin-socket: /file\nobserve: true\nhaproxy-cfg: [a.cfg, b.cfg]\n"
	s, err := parse(t, []string{"--gossip-bind", "10.0.0.3:1"}, map[string]string{
		"HAPROXYD_GOSSIP_BIND": "10.0.0.2:1", "HAPROXYD_HTTP_BIND": "10.0.0.2:2",
	}, file)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ got, want string }{
		{s.Cluster.GossipBind, "10.0.0.3:1"}, {s.HTTPBind, "10.0.0.2:2"}, {s.AdminSocket, "/file"},
		{strings.Join(s.Files, " "), "a.cfg b.cfg"}, {s.DataDir, "/var/lib/haproxyd"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
	if !s.Observe {
		t.Error("observe: true of the file is not heard")
	}
}

func TestSeveralFilesByEnvironment(t *testing.T) {
	s, err := parse(t, nil, map[string]string{"HAPROXYD_HAPROXY_CFG": "/a.cfg,/b.cfg"}, "")
	if err != nil || strings.Join(s.Files, " ") != "/a.cfg /b.cfg" {
		t.Errorf("got %v, %v", s.Files, err)
	}
}

func TestBadSettingsNameThePlace(t *testing.T) {
	for name, tt := range map[string]struct {
		env  map[string]string
		file string
		want string
	}{
		"an unknown key":          {file: "name: a\ngosip-bind: x\n", want: `:2: unknown key "gosip-bind"`},
		"a key twice":             {file: "name: a\nname: b\n", want: `:2: key "name" stands twice`},
		"a value of another kind": {file: "observe: perhaps\n", want: ":1: observe: "},
		"a nested value":          {file: "name:\n  a: b\n", want: ":1: name: expected a value or a list"},
		"no mapping":              {file: "- a\n", want: "expected `key: value` lines"},
		"no YAML":                 {file: "a: b: c\n", want: "config "},
		"the environment":         {env: map[string]string{"HAPROXYD_PROBE_INTERVAL": "soon"}, want: "environment variable HAPROXYD_PROBE_INTERVAL: "},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse(t, nil, tt.env, tt.file)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want …%s…", err, tt.want)
			}
		})
	}
}

func TestProbeSSL(t *testing.T) {
	s, err := parse(t, []string{"--probe-ssl-ca", "/ca"}, map[string]string{"HAPROXYD_PROBE_SSL_MODE": "verify_ca"}, "probe-ssl-cert: /cert\nprobe-ssl-key: /key\n")
	if want := (conn.SSL{Mode: conn.SSLVerifyCA, CA: "/ca", Cert: "/cert", Key: "/key"}); err != nil || s.ProbeSSL != want {
		t.Errorf("got %+v, %v", s.ProbeSSL, err)
	}
	if s, err := parse(t, nil, nil, ""); err != nil || s.ProbeSSL != (conn.SSL{Mode: conn.SSLPreferred}) {
		t.Errorf("by default %+v, %v", s.ProbeSSL, err)
	}
	if _, err := parse(t, nil, map[string]string{"HAPROXYD_PROBE_SSL_MODE": "on"}, ""); err == nil || !strings.Contains(err.Error(), "VERIFY_IDENTITY") {
		t.Errorf("a wrong word: %v", err)
	}
}
