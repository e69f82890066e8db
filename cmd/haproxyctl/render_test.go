package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
)

// renderFrom renders a file for proxies on hosts and returns the names of the
// writer backend's servers in their order, stdout and stderr.
func renderFrom(t *testing.T, file string, hosts []string, port int, args ...string) (order, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	a := &app{stdout: &out, stderr: &errs, getenv: func(string) string { return "" }, now: time.Now}
	var proxies []string
	for i, h := range hosts {
		proxies = append(proxies, fmt.Sprintf("px%d=%s", i, h))
	}
	line := append([]string{"config", "render", "--nodes", "pxc-0=10.0.0.11,pxc-1=10.0.0.12,pxc-2=10.0.0.13",
		"--proxies", strings.Join(proxies, ","), "--haproxy", "nothing-here", "--out", file,
		"--from-members", "--http-port", fmt.Sprint(port)}, args...)
	if code := a.run(t.Context(), line); code != exitDone {
		t.Fatalf("exit status %d: %s", code, errs.String())
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, backend, _ := strings.Cut(string(data), "\nbackend galera-nodes\n")
	var names []string
	for line := range strings.SplitSeq(backend, "\n") {
		if strings.HasPrefix(line, "backend ") || strings.HasPrefix(line, "frontend ") {
			break
		}
		if f := strings.Fields(line); len(f) > 1 && f[0] == "server" {
			name := f[1]
			if f[len(f)-1] != "backup" {
				name += "!"
			}
			names = append(names, name)
		}
	}
	return strings.Join(names, " "), out.String(), errs.String()
}

func TestRenderFromMembers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "haproxy.cfg")

	hosts, port := startMembers(t, says(api.Active{Reason: "waiting"}), agreed("pxc-2", 0, 7), agreed("pxc-1", 0, 6))
	order, stdout, stderr := renderFrom(t, file, hosts, port, "--wait", "1m", "--active", "pxc-1")
	if order != "pxc-2! pxc-0 pxc-1" {
		t.Errorf("the agreed active does not come first, alone: %s", order)
	}
	if want := ": pxc-2 comes first (agreed by the members, epoch 7).\n"; !strings.HasSuffix(stdout, want) {
		t.Errorf("got %q, want ...%q", stdout, want)
	}
	if strings.Contains(stderr, "members") {
		t.Errorf("it complains: %s", stderr)
	}

	// All proxies start together: nobody knows, the file of before does.
	hosts, port = startMembers(t, says(api.Active{Active: "pxc-1", Epoch: 9, Reason: "1 of 3 voters is heard"}))
	order, stdout, stderr = renderFrom(t, file, hosts, port, "--wait", "50ms")
	if order != "pxc-2! pxc-0 pxc-1" || !strings.Contains(stdout, "it did in the file before") {
		t.Errorf("the last decision on disk is lost: %s, %s", order, stdout)
	}
	if !strings.Contains(stderr, "asked the members for 50ms: no member knows an agreed active node (127.0.0.1: 1 of 3 voters is heard); going on without\n") {
		t.Errorf("it does not say so: %q", stderr)
	}

	// --active beats the file when nobody knows.
	if order, _, _ = renderFrom(t, file, hosts, port, "--wait", "50ms", "--active", "pxc-1"); order != "pxc-1! pxc-0 pxc-2" {
		t.Errorf("got %s", order)
	}

	// A node that this file does not know: said, and HAProxy starts all the same.
	hosts, port = startMembers(t, agreed("pxc-7", 0, 7))
	order, _, stderr = renderFrom(t, filepath.Join(t.TempDir(), "new.cfg"), hosts, port, "--wait", "1m")
	if order != "pxc-0! pxc-1 pxc-2" || !strings.Contains(stderr, `agree on "pxc-7", which is none of the nodes`) {
		t.Errorf("got %s, %s", order, stderr)
	}
}

// A proxy that is gone hangs rather than refuses; the others' word is not lost.
func TestRenderWithAHangingMember(t *testing.T) {
	done := make(chan struct{})
	t.Cleanup(func() { close(done) })
	hosts, port := startMembers(t, func(http.ResponseWriter, *http.Request) { <-done }, agreed("pxc-1", 2, 1))
	start := time.Now()
	order, _, _ := renderFrom(t, filepath.Join(t.TempDir(), "new.cfg"), hosts, port, "--wait", "1m")
	if order != "pxc-1! pxc-0 pxc-2" {
		t.Errorf("got %s", order)
	}
	if took := time.Since(start); took > 10*askWithin {
		t.Errorf("it took %s", took)
	}
}
