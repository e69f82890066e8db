package configs

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// limited is a program that runs the binary with at most so many open files, which it cannot raise.
func limited(t *testing.T, binary string, files int) string {
	t.Helper()
	without := ""
	if os.Getuid() == 0 {
		without = "setpriv --bounding-set -sys_resource "
	}
	script := filepath.Join(t.TempDir(), "limited")
	text := fmt.Sprintf("#!/bin/sh\nulimit -n %d && exec %s%s \"$@\"\n", files, without, binary)
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return script
}

// A first file starts where 20,000 files may be open, and one with 10,000 connections, which haproxy -c accepts there as
// well, does not.
func TestDefaultMaxConn(t *testing.T) {
	const files = 20000
	for version, binary := range haproxies(t) {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			l := startLive(t, limited(t, binary, files))
			info := l.try("show info")
			if !strings.Contains(info, fmt.Sprintf("Maxconn: %d\n", DefaultMaxConn)) {
				t.Errorf("show info: %s", info)
			}
			_, info, _ = strings.Cut(info, "\nUlimit-n: ")
			needed, _, _ := strings.Cut(info, "\n")
			t.Logf("it needs %s of %d files", needed, files)
			in := l.input
			in.MaxConn = 10000
			data, err := Render(in)
			if err != nil {
				t.Fatal(err)
			}
			larger := filepath.Join(filepath.Dir(l.cfg), "larger.cfg")
			if err := os.WriteFile(larger, data, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := CheckWithHAProxy(t.Context(), l.binary, larger); err != nil {
				t.Errorf("haproxy -c: %v", err)
			}
			out, err := exec.CommandContext(t.Context(), l.binary, "-db", "-f", larger).CombinedOutput()
			if err == nil || !strings.Contains(string(out), "Cannot raise FD limit") {
				t.Errorf("with 10,000 connections: %v\n%s", err, out)
			}
		})
	}
}

// As root HAProxy becomes another user in a directory of its own: what is rendered for that runs, its sockets are that
// user's and can be opened, before a reload and after one, and connections go where the daemon wants them.
func TestRenderedUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("another user's HAProxy takes root to start")
	}
	account, err := user.Lookup("haproxy")
	if err != nil {
		t.Skip("there is no user haproxy")
	}
	uid, _ := strconv.Atoi(account.Uid)
	gid, _ := strconv.Atoi(account.Gid)
	for version, binary := range haproxies(t) {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			jail := t.TempDir()
			l := startLive(t, binary, func(in *RenderInput) {
				in.HAProxyVersion, in.User, in.Group, in.Chroot = version, "haproxy", "haproxy", jail
			})
			topo := l.load()
			sockets := []string{l.input.StatsSocket}
			for _, b := range topo.Sticky {
				sockets = append(sockets, b.HoldSocket)
			}
			if len(sockets) != 4 {
				t.Fatalf("sockets %v", sockets)
			}
			for _, when := range []string{"at first", "after a reload"} {
				if root, err := os.Readlink(fmt.Sprintf("/proc/%d/root", l.cmd.Process.Pid)); err != nil || root != jail {
					t.Errorf("%s: its root is %q, %v", when, root, err)
				}
				if who := owner(t, fmt.Sprintf("/proc/%d", l.cmd.Process.Pid)); who != [2]int{uid, gid} {
					t.Errorf("%s: it runs as %v", when, who)
				}
				for _, s := range sockets {
					st, err := os.Stat(s)
					if err != nil {
						t.Fatal(err)
					}
					if who := owner(t, s); who != [2]int{uid, gid} || st.Mode().Perm() != 0o660 {
						t.Errorf("%s: %s is %v's, mode %s", when, s, who, st.Mode())
					}
				}
				l.until("the beacon is seen", 5*time.Second, func() bool { return l.up("haproxyd", "local") && l.up("galera-nodes", "pxc-1") })
				l.do("set table haproxyd-steer key 1 data.server_id 2")
				l.expect(5, "pxc-1", "galera-nodes", "galera-admin-nodes", "galera-mysqlx-nodes")
				l.do("set server galera-nodes/pxc-0 state maint")
				l.do("set server galera-nodes/pxc-0 state ready")
				if when == "at first" {
					l.start()
				}
			}
			if findings, err := LintAs(Reading{}, l.cfg); err != nil || len(findings) > 0 {
				t.Errorf("the linter says %v, %v", findings, err)
			}
		})
	}
}

func owner(t *testing.T, path string) [2]int {
	t.Helper()
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	sys := st.Sys().(*syscall.Stat_t)
	return [2]int{int(sys.Uid), int(sys.Gid)}
}
