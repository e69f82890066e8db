package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Addresses of the lab's network. Every lab uses the same ones on a bridge of its own.
const (
	network     = "10.99.0."
	prefixLen   = "/24"
	firstDB     = 11
	firstProxy  = 21
	clientHost  = 50
	hostLink    = "eth0"
	bridge      = "br0"
	bridgeName  = "br"
	netnsFolder = "/run/netns/"
)

// Host is one machine of the lab: a network namespace with one address on the lab's bridge.
type Host struct {
	// Name is the short name ("db0", "px1", "client").
	Name string
	// IP is the host's address on the bridge.
	IP string

	lab *Lab
	ns  *os.File
}

// Namespace returns the name under which `ip netns exec` knows the host.
func (h *Host) Namespace() string { return h.lab.namespace(h.Name) }

// Do runs fn on an operating system thread inside the host's namespace: sockets that fn itself makes belong to the
// host. It must not start processes (use Start or Run) nor make sockets in other goroutines.
func (h *Host) Do(fn func() error) error {
	result := make(chan error, 1)
	go func() {
		// A thread that could not be brought home stays locked, so the runtime ends it with the goroutine.
		runtime.LockOSThread()
		if err := unix.Setns(int(h.ns.Fd()), unix.CLONE_NEWNET); err != nil {
			runtime.UnlockOSThread()
			result <- fmt.Errorf("enter the namespace of %s: %w", h.Name, err)
			return
		}
		err := fn()
		if unix.Setns(int(h.lab.home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		result <- err
	}()
	return <-result
}

// Dial connects from inside the host. The address must be a literal IP address or a unix socket.
func (h *Host) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	var conn net.Conn
	err := h.Do(func() (err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// HTTPClient returns a client whose connections come from the host, one per request, with a timeout of 2 s.
func (h *Host) HTTPClient() *http.Client {
	return &http.Client{
		Timeout:   2 * time.Second,
		Transport: &http.Transport{DialContext: h.Dial, DisableKeepAlives: true},
	}
}

// Result is what a command that ran to its end has left.
type Result struct {
	Stdout, Stderr string
	// Exit is the exit status, -1 if the command was ended by a signal or never started.
	Exit int
}

// Run runs a command inside the host until it ends or the context does. A status other than 0 is an error too.
func (h *Host) Run(ctx context.Context, name string, args ...string) (Result, error) {
	result, err := h.Command(ctx, "", name, args...)
	if err == nil && result.Exit != 0 {
		err = fmt.Errorf("%s %s on %s: exit %d: %s", name, strings.Join(args, " "), h.Name, result.Exit,
			strings.TrimSpace(firstOf(result.Stderr, result.Stdout)))
	}
	return result, err
}

// Command is Run with standard input and without judging the exit status: the error says only that the command could
// not be run or that the context ended first.
func (h *Host) Command(ctx context.Context, stdin, name string, args ...string) (Result, error) {
	return h.command(ctx, nil, stdin, name, args...)
}

func (h *Host) command(ctx context.Context, user *syscall.Credential, stdin, name string, args ...string) (Result, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	cmd.WaitDelay = time.Second
	err := h.lab.spawner.start(h, cmd, user)
	if err != nil {
		return Result{Exit: -1}, fmt.Errorf("run %s on %s: %w", name, h.Name, err)
	}
	err = cmd.Wait()
	result := Result{Stdout: stdout.String(), Stderr: stderr.String(), Exit: cmd.ProcessState.ExitCode()}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && ctx.Err() == nil {
		err = nil
	}
	if err != nil {
		return result, fmt.Errorf("run %s on %s: %w", name, h.Name, errors.Join(err, ctx.Err()))
	}
	return result, nil
}

// namespace returns the full name of a host's namespace.
func (l *Lab) namespace(host string) string { return namespacePrefix(l.ID) + host }

func namespacePrefix(id string) string { return "lab-" + id + "-" }

// buildNetwork makes the bridge's namespace. Hosts are added by addHost.
func (l *Lab) buildNetwork() error {
	br := l.namespace(bridgeName)
	return errors.Join(
		ip("netns", "add", br),
		ip("-n", br, "link", "add", bridge, "type", "bridge"),
		ip("-n", br, "link", "set", bridge, "up"),
	)
}

// addHost makes one namespace and connects it with the bridge.
func (l *Lab) addHost(name string, last int) (*Host, error) {
	h := &Host{Name: name, IP: fmt.Sprintf("%s%d", network, last), lab: l}
	ns, br := h.Namespace(), l.namespace(bridgeName)
	err := errors.Join(
		ip("netns", "add", ns),
		ip("-n", br, "link", "add", name, "type", "veth", "peer", "name", hostLink, "netns", ns),
		ip("-n", br, "link", "set", name, "master", bridge, "up"),
		ip("-n", ns, "addr", "add", h.IP+prefixLen, "dev", hostLink),
		ip("-n", ns, "link", "set", hostLink, "up"),
		ip("-n", ns, "link", "set", "lo", "up"),
	)
	if err != nil {
		return nil, fmt.Errorf("make host %s: %w", name, err)
	}
	if h.ns, err = os.Open(netnsFolder + ns); err != nil {
		return nil, fmt.Errorf("make host %s: %w", name, err)
	}
	l.hosts = append(l.hosts, h)
	// Hundreds of connections per second leave that many ports in TIME_WAIT for a minute: without these a long run
	// would measure a lack of ports. /proc/sys/net shows the namespace of the thread that opens it.
	err = h.Do(func() error {
		return errors.Join(
			os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("15000 65000"), 0),
			os.WriteFile("/proc/sys/net/ipv4/tcp_tw_reuse", []byte("1"), 0),
		)
	})
	if err != nil {
		return nil, fmt.Errorf("set up host %s: %w", name, err)
	}
	return h, nil
}

func ip(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
