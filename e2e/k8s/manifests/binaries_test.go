package manifests

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// binaries are the real haproxyd and haproxyctl, built once.
var binaries = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "haproxy-peers-manifests-")
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "build", "-o", dir+"/", "./cmd/haproxyd", "./cmd/haproxyctl")
	cmd.Dir = "../../.."
	out, err := cmd.CombinedOutput()
	if err != nil {
		return dir, errors.New(string(out))
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, _ := binaries(); dir != "" {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

func run(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	dir, err := binaries()
	if err != nil {
		t.Fatalf("go build: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, filepath.Join(dir, name), args...).CombinedOutput()
	return string(out), err
}

// flagsOf are the flags that a command's help lists.
func flagsOf(t *testing.T, name string, args ...string) map[string]bool {
	t.Helper()
	out, err := run(t, name, append(args, "--help")...)
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	found := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\s+(?:-\w, )?--([\w-]+)`).FindAllStringSubmatch(out, -1) {
		found[m[1]] = true
	}
	return found
}

// unknownFlags are the flags and settings that the binaries do not have.
func unknownFlags(s *set, daemon, render map[string]bool) (unknown []string) {
	look := func(c *corev1.Container, known map[string]bool) {
		for _, a := range c.Args {
			if name, ok := strings.CutPrefix(a, "--"); ok {
				if name, _, _ = strings.Cut(name, "="); !known[name] {
					unknown = append(unknown, name)
				}
			}
		}
	}
	look(s.container("haproxyd"), daemon)
	look(s.container("render"), render)
	for k := range s.settings().Data {
		if name, ok := strings.CutPrefix(k, "HAPROXYD_"); ok {
			if name = strings.ToLower(strings.ReplaceAll(name, "_", "-")); !daemon[name] {
				unknown = append(unknown, name)
			}
		}
	}
	return unknown
}

// Every flag and setting in the manifests is one that the binaries have.
func TestFlags(t *testing.T) {
	daemon, render := flagsOf(t, "haproxyd"), flagsOf(t, "haproxyctl", "config", "render")
	for _, b := range builds {
		for _, name := range unknownFlags(build(t, b.dir, b.overlay), daemon, render) {
			t.Errorf("%s: neither haproxyd nor haproxyctl config render knows --%s there", b.name, name)
		}
	}
	for _, wrong := range []func(s *set){
		func(s *set) { s.container("haproxyd").Args[0] = "--haproxy-config=x" },
		func(s *set) { s.container("render").Args[2] = "--node=x" },
		func(s *set) { s.settings().Data["HAPROXYD_PROBE_NAME"] = "x" },
	} {
		s := build(t, builds[0].dir, false)
		before := len(unknownFlags(s, daemon, render))
		wrong(s)
		if len(unknownFlags(s, daemon, render)) == before {
			t.Error("a wrong flag was not noticed")
		}
	}
}

// The haproxy.cfg that the settings give is accepted by HAProxy and by the linter.
func TestRendered(t *testing.T) {
	haproxy, err := exec.LookPath("haproxy")
	if err != nil {
		t.Skip("there is no haproxy on this machine")
	}
	for _, b := range builds {
		t.Run(b.name, func(t *testing.T) {
			s := build(t, b.dir, b.overlay)
			if s.workload().kind == "DaemonSet" {
				s.settings().Data["RENDER_PROXIES"] = "dns:localhost"
			}
			// HAProxy resolves the peers' names when it starts; the services of a cluster are not here.
			s.settings().Data["RENDER_PROXIES"] = regexp.MustCompile(`=haproxy-(\d)`).ReplaceAllString(s.settings().Data["RENDER_PROXIES"], "=127.0.1.1$1")
			file := filepath.Join(t.TempDir(), "haproxy.cfg")
			c := s.container("render")
			env := s.environment(c)
			var args []string
			for _, a := range c.Args {
				for k, v := range env {
					a = strings.ReplaceAll(a, "$("+k+")", v)
				}
				switch name, _, _ := strings.Cut(strings.TrimPrefix(a, "--"), "="); name {
				case "wait":
					a = "--wait=1s" // there are no members to ask
				case "out":
					a = "--out=" + file
				}
				args = append(args, a)
			}
			if out, err := run(t, "haproxyctl", append(args, "--haproxy="+haproxy)...); err != nil {
				t.Fatalf("haproxyctl %v: %v\n%s", args, err, out)
			} else if !strings.Contains(out, "Wrote "+file) {
				t.Fatal(out)
			}
			// The sockets' folder is the pod's.
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(text), "stats socket /run/haproxy/admin.sock") {
				t.Error("the admin socket is not in the shared folder")
			}
			if out, err := exec.CommandContext(t.Context(), haproxy, "-c", "-f", file).CombinedOutput(); err != nil {
				t.Errorf("haproxy -c: %v\n%s", err, out)
			}
			if out, err := run(t, "haproxyctl", "config", "lint", file); err != nil {
				t.Errorf("lint: %v\n%s", err, out)
			}
		})
	}
}
