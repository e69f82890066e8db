package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const aKey = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"

func keyFile(t *testing.T, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := errors.Join(os.WriteFile(path, []byte(aKey), 0o600), os.Chmod(path, mode)); err != nil {
		t.Fatal(err)
	}
	return path
}

// Without a key the daemon starts only where nobody else can reach it, or with an explicit word.
func TestKeyless(t *testing.T) {
	key := keyFile(t, 0o600)
	for args, want := range map[string]string{
		"":                                                   "there is no gossip key",
		"--gossip-bind=10.0.0.1:7946":                        "whoever reaches 10.0.0.1:7946 could take part",
		"--gossip-bind=[::]:7946":                            "there is no gossip key",
		"--gossip-bind=127.0.0.1:7946":                       "",
		"--gossip-bind=127.9.9.9:0":                          "",
		"--gossip-bind=[::1]:7946":                           "",
		"--gossip-insecure":                                  "",
		"--gossip-key-file=" + key:                           "",
		"--gossip-key-file=" + key + "-none":                 "no such file",
		"--gossip-encrypt=accept":                            "there is no gossip key",
		"--gossip-encrypt=accept --gossip-insecure":          "there is no key to do so with",
		"--gossip-encrypt=maybe --gossip-insecure":           "give accept, send or require",
		"--gossip-encrypt=send --gossip-key-file=" + key:     "",
		"--gossip-insecure --gossip-key-file=" + key:         "",
		"--gossip-insecure=false --gossip-bind=0.0.0.0:7946": "there is no gossip key",
	} {
		s, err := parse(t, strings.Fields(args), nil, "")
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.checkFiles()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", args, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: more than one line: %v", args, err)
		}
	}
}

// The environment and the file have it, too: 7535bfe ignores the variable, so it can be set before an update.
func TestInsecureByEnvironmentAndFile(t *testing.T) {
	for _, from := range []struct {
		env  map[string]string
		file string
	}{{env: map[string]string{"HAPROXYD_GOSSIP_INSECURE": "true"}}, {file: "gossip-insecure: true\n"}} {
		s, err := parse(t, nil, from.env, from.file)
		if err != nil || !s.Cluster.Insecure {
			t.Fatalf("%+v: %v", from, err)
		}
		if _, err := s.checkFiles(); err != nil {
			t.Errorf("%+v: %v", from, err)
		}
		if w := s.gossipWarnings(); len(w) != 1 || !strings.Contains(w[0], "the gossip has no key") {
			t.Errorf("%+v: status says %q", from, w)
		}
	}
}

// What `status` says of the gossip, and nothing where it is as it should be.
func TestGossipWarnings(t *testing.T) {
	for args, want := range map[string]string{
		"--gossip-key-file=x":                         "",
		"--gossip-bind=127.0.0.1:1":                   "",
		"--gossip-insecure":                           "the gossip has no key",
		"--gossip-key-file=x --gossip-encrypt=accept": "(--gossip-encrypt accept)",
		"--gossip-key-file=x --gossip-encrypt=send":   "(--gossip-encrypt send)",
	} {
		s, err := parse(t, strings.Fields(args), nil, "")
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(s.gossipWarnings(), "; "); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %q", args, got)
		}
	}
}

// A key or a password that somebody else may write is refused; one that others may read is a warning.
func TestUnsafeFiles(t *testing.T) {
	for mode, want := range map[os.FileMode]string{0o600: "", 0o440: "", 0o644: "warns", 0o620: "refuses", 0o602: "refuses", 0o666: "refuses"} {
		for _, flag := range []string{"--gossip-key-file", "--probe-password-file"} {
			path := keyFile(t, mode)
			s, err := parse(t, []string{"--gossip-bind=127.0.0.1:0", flag, path}, nil, "")
			if err != nil {
				t.Fatal(err)
			}
			warnings, err := s.checkFiles()
			var refused refusedError
			got := ""
			switch {
			case errors.As(err, &refused) && strings.HasPrefix(err.Error(), strings.TrimPrefix(flag, "--")+": "+path):
				got = "refuses"
			case err != nil:
				got = err.Error()
			case len(warnings) > 0:
				got = "warns"
			}
			if got != want {
				t.Errorf("%s, %04o: %q, %q, want %q", flag, mode, got, warnings, want)
			}
		}
	}
}

// The binary: one line, and status 2; nothing has been written.
func TestRefusedInOneLine(t *testing.T) {
	for name, args := range map[string][]string{
		"no key":          {"--gossip-bind", "0.0.0.0:0"},
		"an unsafe key":   {"--gossip-key-file", keyFile(t, 0o622)},
		"an unsafe probe": {"--probe-user", "u", "--probe-password-file", keyFile(t, 0o660)},
	} {
		cmd, stderr := daemon(t, args...)
		_ = cmd.Run()
		if code, text := cmd.ProcessState.ExitCode(), stderr.String(); code != 2 || strings.Count(text, "\n") != 1 || !strings.HasPrefix(text, "haproxyd: ") {
			t.Errorf("%s: status %d, %q", name, code, text)
		}
	}
	data := filepath.Join(t.TempDir(), "data")
	cmd, stderr := daemon(t, "--data-dir", data)
	if err := os.MkdirAll(filepath.Join(data, "haproxyd"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(data, "haproxyd"), 0o777); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Run()
	if code, text := cmd.ProcessState.ExitCode(), stderr.String(); code != 2 || !strings.Contains(text, "chmod 700 ") {
		t.Errorf("an unsafe folder: status %d, %q", code, text)
	}
}

// Under --supervise a refused daemon leaves the supervisor answering: no HAProxy leaves its service.
func TestSuperviseRefused(t *testing.T) {
	liveness := freeAddr(t)
	cmd, stderr := daemon(t, "--gossip-bind", "0.0.0.0:0", "--supervise", liveness)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	said := ""
	for end := time.Now().Add(30 * time.Second); !strings.Contains(said, "refuses to start"); time.Sleep(20 * time.Millisecond) {
		select {
		case err := <-ended:
			t.Fatalf("it ended: %v\n%s", err, stderr)
		default:
		}
		if time.Now().After(end) {
			t.Fatalf("the liveness says %q", said)
		}
		if resp, err := http.Get("http://" + liveness + "/healthz"); err == nil {
			text, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			said = fmt.Sprint(resp.StatusCode, " ", string(text))
			if resp.StatusCode != http.StatusOK {
				t.Fatal(said)
			}
		}
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("%v\n%s", err, stderr)
	}
	if !strings.Contains(stderr.String(), "haproxyd: there is no gossip key") {
		t.Errorf("the daemon's own words are missing: %s", stderr)
	}
}

// Everything of the daemon's is in a folder of its own.
func TestFolder(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	cmd, stderr := daemon(t, "--data-dir", data)
	cfg := cmd.Args[slices.Index(cmd.Args, "--haproxy-cfg")+1]
	text := "global\n  stats socket " + cfg + ".sock level admin\npeers p\n  peer px0 127.0.0.1:10000\nbackend b\n  stick-table type integer size 1k peers p\n  stick on int(1)\n  server a 127.0.0.1:3306 id 1\n"
	if err := os.WriteFile(cfg, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	state := filepath.Join(data, "haproxyd", "register.state")
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(state); err == nil {
			break
		}
		if time.Now().After(end) {
			_ = cmd.Process.Kill()
			<-ended
			t.Fatalf("no %s\n%s", state, stderr)
		}
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("%v\n%s", err, stderr)
	}
	entries, err := os.ReadDir(data)
	if err != nil || len(entries) != 1 || entries[0].Name() != "haproxyd" {
		t.Errorf("%v, %v", entries, err)
	}
	if st, err := os.Stat(filepath.Join(data, "haproxyd")); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("the folder is %v, %v", st, err)
	}
}
