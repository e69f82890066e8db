package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
	"golang.org/x/sys/unix"

	"github.com/haproxy-peers/haproxy-peers/cluster/gossip"
	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/runtimeapi"
)

// operatorBed is one pod of the operator: HAProxy with the patch's configuration and the operator's own file, and
// haproxyd with the sidecar's arguments, in namespaces of their own, where the paths and ports are the real ones.
type operatorBed struct {
	t      *testing.T
	daemon *api.Client
	master runtimeapi.Master
}

const operatorPod = "db-haproxy-0"

// clientsAddress is not loopback: those are the operator's probes.
const clientsAddress = "10.99.0.1"

// The operator reloads HAProxy at every readiness flap of a database pod, after `shutdown sessions` for its own
// backends. That must neither cut our sessions nor move the writer.
func TestPerconaOperatorReloads(t *testing.T) {
	if _, err := exec.LookPath("haproxy"); err != nil {
		t.Skip("there is no haproxy")
	}
	if os.Getuid() != 0 {
		t.Skip("namespaces need root")
	}
	if os.Getenv(inNamespace) == "" {
		dir := t.TempDir()
		if out, err := exec.Command("go", "build", "-o", dir, "../haproxyd").CombinedOutput(); err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		again(t, "-nm", dir, 3*time.Minute)
		return
	}
	b := &operatorBed{t: t, master: runtimeapi.Master{Socket: "/etc/haproxy/pxc/haproxy-main.sock"}}
	b.pod()
	b.nodes()
	sidecar := b.patch()
	b.operatorFile(0, 1, 2)
	start(b.t, "haproxy", "-W", "-db", "-L", operatorPod, "-f", "/etc/haproxy-custom/haproxy-global.cfg", "-f", "/etc/haproxy/pxc/haproxy.cfg", "-S", b.master.Socket)
	start(b.t, filepath.Join(os.Getenv(inNamespace), "haproxyd"), sidecar...)
	b.daemon = api.New("/run/haproxyd/admin.sock")
	b.until("the daemon steers", func() (bool, string) {
		act, err := b.daemon.Active(t.Context())
		return err == nil && act.Agreed && act.Steering == 1 && act.Converged == 1, fmt.Sprintf("%+v, %v", act, err)
	})
	if _, err := b.daemon.Set(t.Context(), api.SetRequest{Node: "db-pxc-1", Drain: "immediate"}); err != nil {
		t.Fatal(err)
	}
	b.until("the writer is db-pxc-1", func() (bool, string) {
		act, err := b.daemon.Active(t.Context())
		return err == nil && act.Active == "db-pxc-1" && act.Converged == 1, fmt.Sprintf("%+v, %v", act, err)
	})
	before, err := b.daemon.Active(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// The old process's life is bounded by hard-stop-after (30 s): the sessions are opened just before.
	sessions := b.sessions(20)
	stop, fresh := make(chan struct{}), new(freshConnections)
	var wg sync.WaitGroup
	wg.Go(func() { fresh.run(stop) })
	start := time.Now()
	for i := range 5 {
		b.flap(i)
	}
	took := time.Since(start)
	for i, c := range sessions {
		if err := echo(c, 5*time.Second); err != nil {
			t.Errorf("session %d was cut: %v", i, err)
		}
	}
	close(stop)
	wg.Wait()
	after, err := b.daemon.Active(t.Context())
	if err != nil || after.Epoch != before.Epoch || after.Active != before.Active {
		t.Errorf("a move: %+v, before %+v, %v", after, before, err)
	}
	good, wrong, failed := fresh.good.Load(), fresh.wrong.Load(), fresh.failed.Load()
	// Without the rules that make clients wait it was 20 for each reload. A daemon that gets no turn within their bound, on
	// a machine that is too busy, still leaves one or two.
	if good == 0 || wrong+failed > 2*5 {
		t.Errorf("%d new connections to the writer, %d elsewhere, %d failed", good, wrong, failed)
	}
	t.Logf("5 reloads in %s, at epoch %d before and after: 20 of 20 sessions live, %d new connections to the writer, %d elsewhere, %d failed, the longest waited %s",
		took.Round(100*time.Millisecond), after.Epoch, good, wrong, failed, time.Duration(fresh.longest.Load()).Round(time.Millisecond))
}

// flap is what the operator's script does when a pod's readiness changes.
func (b *operatorBed) flap(i int) {
	if i%2 == 0 {
		b.operatorFile(0, 1)
	} else {
		b.operatorFile(0, 1, 2)
	}
	admin, err := runtimeapi.New(runtimeapi.Config{Socket: "/etc/haproxy/pxc/haproxy.sock", Timeout: time.Second})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, backend := range []string{"galera-nodes", "galera-admin-nodes"} {
		if err := admin.ShutdownSessionsServer(b.t.Context(), backend, "db-pxc-1"); err != nil {
			b.t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(b.t.Context(), reloadWithin)
	defer cancel()
	worker, err := b.master.Reload(ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	b.until("the daemon steers the new process", func() (bool, string) {
		members, err := b.daemon.Members(b.t.Context())
		if err != nil || len(members) != 1 || members[0].Proxy == nil {
			return false, fmt.Sprintf("%+v, %v", members, err)
		}
		p := members[0].Proxy
		return p.Pid == worker.Pid && p.Steering && p.Converged, fmt.Sprintf("%+v", p)
	})
}

// pod makes what the pod has: loopback, DNS, the volumes' paths and the operator's check.
func (b *operatorBed) pod() {
	script := "d=" + b.t.TempDir() + `
set -e
ip link set lo up
ip addr add 10.99.0.1/32 dev lo
mount --make-rprivate /
echo "nameserver 127.0.0.1" > $d/resolv; echo "127.0.0.1 localhost" > $d/hosts
for n in 0 1 2; do echo "127.0.0.4$n db-pxc-$n.db-pxc.ns.svc.cluster.local" >> $d/hosts; done
mount --bind $d/resolv /etc/resolv.conf
mount --bind $d/hosts /etc/hosts
mount -t tmpfs none /etc/haproxy
mkdir -p /etc/haproxy/pxc
mount -t tmpfs none /opt
mkdir -p /opt/percona
printf '#!/bin/sh\nexit 0\n' > /opt/percona/haproxy_check_pxc.sh
chmod 755 /opt/percona/haproxy_check_pxc.sh
mount -t tmpfs none /run
mount -t tmpfs none /var/lib
mkdir -p /run/haproxyd /var/lib/haproxyd`
	if out, err := exec.Command("sh", "-c", script).CombinedOutput(); err != nil {
		b.t.Fatalf("%s: %v", out, err)
	}
}

// patch runs the command, and puts the configuration and the arguments where the pod has them.
func (b *operatorBed) patch() (args []string) {
	var out, errs bytes.Buffer
	a := &app{stdout: &out, stderr: &errs, getenv: func(string) string { return "" }, now: time.Now}
	if code := a.run(b.t.Context(), []string{"config", "operator", "--cluster", "db", "--namespace", "ns",
		"--haproxy-size", "1", "--check-inter", "500ms", "--haproxy-version", "2.6", "--maxconn", "500"}); code != exitDone {
		b.t.Fatal(errs.String())
	}
	var p struct {
		Spec struct {
			HAProxy struct {
				Configuration string
				Sidecars      []struct{ Args []string }
			} `yaml:"haproxy"`
		}
	}
	if err := yaml.Unmarshal(out.Bytes(), &p); err != nil {
		b.t.Fatal(err)
	}
	custom := filepath.Join(b.t.TempDir(), "haproxy-global.cfg")
	if err := os.WriteFile(custom, []byte(p.Spec.HAProxy.Configuration), 0o644); err != nil {
		b.t.Fatal(err)
	}
	// The root is the machine's own, so its folder is taken away again.
	if err := os.MkdirAll("/etc/haproxy-custom", 0o755); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { os.Remove("/etc/haproxy-custom") })
	if err := unix.Mount(filepath.Dir(custom), "/etc/haproxy-custom", "", unix.MS_BIND, ""); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { unix.Unmount("/etc/haproxy-custom", unix.MNT_DETACH) })
	for _, arg := range p.Spec.HAProxy.Sidecars[0].Args {
		switch {
		case strings.HasPrefix(arg, "--join="), strings.HasPrefix(arg, "--probe-"):
			continue // a pod alone, in front of nodes that speak no SQL
		}
		if strings.HasPrefix(arg, "--gossip-key-file=") { // the Secret's
			key := filepath.Join(b.t.TempDir(), "keys")
			if err := writeNew(key, gossip.NewKey()+"\n"); err != nil {
				b.t.Fatal(err)
			}
			arg = "--gossip-key-file=" + key
		}
		arg = strings.ReplaceAll(strings.ReplaceAll(arg, "$(POD_NAME)", operatorPod), "$(POD_IP)", "127.0.0.1")
		args = append(args, arg)
	}
	return args
}

// operatorFile is what the operator's script writes for these nodes.
func (b *operatorBed) operatorFile(ordinals ...int) {
	var out strings.Builder
	for _, b := range []struct {
		name string
		port int
	}{{"galera-nodes", 3306}, {"galera-admin-nodes", 33062}, {"galera-replica-nodes", 3306}, {"galera-mysqlx-nodes", 33060}} {
		fmt.Fprintf(&out, "backend %s\n  mode tcp\n  option external-check\n  external-check command /opt/percona/haproxy_check_pxc.sh\n", b.name)
		for _, n := range ordinals {
			fmt.Fprintf(&out, "  server db-pxc-%d db-pxc-%d.db-pxc.ns.svc.cluster.local:%d resolvers kubernetes check inter 10000 rise 1 fall 2 weight 1\n", n, n, b.port)
		}
	}
	if err := os.WriteFile("/etc/haproxy/pxc/haproxy.cfg", []byte(out.String()), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// nodes greet with their name and echo. They share the ports with HAProxy's wildcard binds: the more
// specific address is theirs.
func (b *operatorBed) nodes() {
	reuse := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
	}}
	for n := range 3 {
		for _, port := range []int{3306, 33062, 33060} {
			ln, err := reuse.Listen(b.t.Context(), "tcp", fmt.Sprintf("127.0.0.%d:%d", 40+n, port))
			if err != nil {
				b.t.Fatal(err)
			}
			go greetAndEcho(ln, n)
		}
	}
	go serveDNSAt(b.t, "127.0.0.1:53")
}

func (b *operatorBed) until(what string, ok func() (bool, string)) {
	b.t.Helper()
	for start := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		done, state := ok()
		if done {
			return
		}
		if time.Since(start) > 30*time.Second {
			b.t.Fatalf("waited for: %s; last: %s", what, state)
		}
	}
}

// sessions are open on the writer, over its two classic ports.
func (b *operatorBed) sessions(n int) (out []net.Conn) {
	for i := range n {
		c, node, err := connect([]string{clientsAddress + ":3306", clientsAddress + ":33062"}[i%2])
		if err != nil || node != '1' {
			b.t.Fatalf("a session to node %c: %v", node, err)
		}
		b.t.Cleanup(func() { c.Close() })
		out = append(out, c)
	}
	return out
}

func connect(address string) (c net.Conn, node byte, err error) {
	if c, err = net.DialTimeout("tcp", address, 2*time.Second); err != nil {
		return nil, 0, err
	}
	c.SetDeadline(time.Now().Add(5 * time.Second))
	name := make([]byte, 1)
	if _, err = io.ReadFull(c, name); err != nil {
		c.Close()
		return nil, 0, err
	}
	return c, name[0], nil
}

// freshConnections counts where new connections go, one after the other.
type freshConnections struct {
	good, wrong, failed atomic.Int64
	longest             atomic.Int64 // in nanoseconds, until the node's greeting
}

func (f *freshConnections) run(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(5 * time.Millisecond):
		}
		begun := time.Now()
		c, node, err := connect(clientsAddress + ":3306")
		f.longest.Store(max(f.longest.Load(), int64(time.Since(begun))))
		switch {
		case err != nil:
			f.failed.Add(1)
			continue
		case node == '1':
			f.good.Add(1)
		default:
			f.wrong.Add(1)
		}
		c.Close()
	}
}
