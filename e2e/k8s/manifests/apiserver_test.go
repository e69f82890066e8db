package manifests

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/kube/kubetest"
)

// namespaced is where everything is applied: a namespace that enforces PodSecurity
// restricted and warns of every workload that would break it.
const namespaced = `apiVersion: v1
kind: Namespace
metadata:
  name: %s
  labels:
    pod-security.kubernetes.io/enforce: restricted
    pod-security.kubernetes.io/warn: restricted
`

// kubectl runs one command against the API server.
type kubectl func(input []byte, args ...string) (string, error)

// TestServerSideDryRun applies every object to a real API server, which validates and
// defaults it and stores nothing. KUBECONFIG_DRYRUN names a cluster; without it an API
// server of its own is started from the cached binary; without that it is skipped.
func TestServerSideDryRun(t *testing.T) {
	run := apiServer(t)
	for _, b := range builds {
		t.Run(b.name, func(t *testing.T) {
			s := build(t, b.dir, b.overlay)
			namespace := s.workload().pod.Namespace
			for _, x := range s.services {
				namespace = x.Namespace
			}
			if namespace == "" {
				namespace = "dry-run"
			}
			if out, err := run(fmt.Appendf(nil, namespaced, namespace), "apply", "-f", "-"); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			var all [][]byte
			for key, data := range s.manifest {
				if strings.HasPrefix(key, "Prometheus") || strings.HasPrefix(key, "PodMonitor") {
					continue // prometheus-operator's, whose definitions are not here
				}
				all = append(all, data)
			}
			out, err := dryRun(run, namespace, bytes.Join(all, []byte("---\n")))
			if n := strings.Count(out, "(server dry run)"); err != nil || n != len(all) {
				t.Errorf("%d of %d objects were accepted: %v\n%s", n, len(all), err, out)
			}
			t.Logf("%d objects", len(all))
			if b.overlay {
				return
			}
			// The same call notices what is wrong.
			for name, change := range map[string][2]string{
				"an unknown field":    {"volumeMounts:", "volumeMount:"},
				"an impossible value": {"protocol: UDP", "protocol: UPD"},
				"an insecure pod":     {"runAsNonRoot: true", "runAsNonRoot: false"},
			} {
				data := s.manifest[s.workload().kind+"/haproxy"]
				changed := bytes.ReplaceAll(data, []byte(change[0]), []byte(change[1]))
				if bytes.Equal(data, changed) {
					t.Fatalf("%s: nothing to change", name)
				}
				if out, err := dryRun(run, namespace, changed); err == nil {
					t.Errorf("%s was accepted: %s", name, out)
				}
			}
		})
	}
}

// dryRun fails on a warning, too: that is how PodSecurity speaks of a workload.
func dryRun(run kubectl, namespace string, object []byte) (string, error) {
	return run(object, "apply", "--dry-run=server", "--validate=strict", "--warnings-as-errors", "-n", namespace, "-f", "-")
}

// apiServer is kubectl at the cluster that KUBECONFIG_DRYRUN names, or at an API server
// of its own on loopback, for as long as the test: nothing of it needs root or a container.
func apiServer(t *testing.T) kubectl {
	t.Helper()
	binary, missing := kubetest.Find()
	if config := os.Getenv("KUBECONFIG_DRYRUN"); config != "" {
		command := []string{binary, "kubectl"}
		if missing != nil {
			command = []string{"kubectl"}
		}
		return func(input []byte, args ...string) (string, error) {
			return runLocal(t.Context(), string(input), command[0], append(append(command[1:], "--kubeconfig", config), args...)...)
		}
	}
	if missing != nil {
		t.Skipf("no API server: KUBECONFIG_DRYRUN is not set, and %v", missing)
	}
	dir := t.TempDir()
	s, err := kubetest.Start(t.Context(), kubetest.Machine{IP: "127.0.0.1", Run: runLocal, Start: func(name string, args ...string) (func(), error) {
		return startLocal(dir, name, args...)
	}}, dir)
	t.Cleanup(s.Close)
	if err != nil {
		t.Fatal(err)
	}
	return func(input []byte, args ...string) (string, error) {
		return s.Kubectl(t.Context(), string(input), args...)
	}
}

// runLocal runs a command to its end; what it said is in the error, too.
func runLocal(ctx context.Context, stdin, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return string(out), err
}

func startLocal(dir, name string, args ...string) (func(), error) {
	log, err := os.Create(filepath.Join(dir, name+".log"))
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, dir
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	return func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = log.Close()
	}, nil
}
