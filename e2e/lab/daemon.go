package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Daemon is the haproxyd beside a proxy's HAProxy.
type Daemon struct {
	// AdminSocket is where Ctl talks to the daemon; the daemon's arguments have to name it (Arguments does).
	AdminSocket string
	// DataDir is the daemon's data folder. Reset empties it; a restart does not.
	DataDir string

	proxy *Proxy

	mu      sync.Mutex // a supervisor starts daemons too
	options DaemonOptions
	proc    *Process
}

// DaemonOptions says how to start a daemon.
type DaemonOptions struct {
	// Args are the daemon's arguments, all of them. Daemon.Arguments gives the usual ones.
	Args []string

	// Env is added to the environment ("KEY=value").
	Env []string

	// Binary is the daemon to run. Default: the lab's.
	Binary string
}

const daemonStopTimeout = 10 * time.Second

func newDaemon(p *Proxy) *Daemon {
	return &Daemon{
		AdminSocket: filepath.Join(p.Dir, "haproxyd.sock"),
		DataDir:     filepath.Join(p.Dir, "haproxyd"),
		proxy:       p,
	}
}

// File is the path of one of the daemon's own files: it keeps them in a folder of its own.
func (d *Daemon) File(name string) string { return filepath.Join(d.DataDir, "haproxyd", name) }

// Arguments returns the arguments every daemon of a lab needs: configuration, data folder, admin socket, the address
// it is reached at, the key of the lab's gossip. Further ones follow.
func (d *Daemon) Arguments(more ...string) []string {
	return d.Keyless(append([]string{"--gossip-key-file", d.proxy.lab.GossipKey}, more...)...)
}

// Keyless is Arguments without the key.
func (d *Daemon) Keyless(more ...string) []string {
	return append([]string{
		"--haproxy-cfg", d.proxy.ConfigFile, "--name", d.proxy.Name,
		"--data-dir", d.DataDir, "--admin-socket", d.AdminSocket,
		"--gossip-bind", d.proxy.IP + ":7946", "--gossip-advertise", d.proxy.IP + ":7946",
	}, more...)
}

// Start starts the daemon and waits for nothing: a daemon that ends at once is a scenario too. See WaitSocket.
func (d *Daemon) Start(options DaemonOptions) error {
	if d.Running() {
		return fmt.Errorf("start the daemon of %s: it runs already", d.proxy.Name)
	}
	if err := os.MkdirAll(d.DataDir, 0o755); err != nil {
		return err
	}
	proc, err := d.proxy.Host.Start(Spec{
		Name: "haproxyd",
		Args: append([]string{firstOf(options.Binary, d.proxy.lab.cfg.Haproxyd)}, options.Args...),
		Env:  append(d.proxy.lab.stepEnv(d.proxy.Name), options.Env...),
		// Its own group tells its traffic from HAProxy's (Breach.Of).
		Credential: inGroup(daemonGroup),
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	d.options = options
	if err == nil {
		d.proc = proc
	}
	return err
}

// StartAgain starts a daemon that has ended, as it was started before, over the data it has left.
func (d *Daemon) StartAgain() error {
	d.mu.Lock()
	options := d.options
	d.mu.Unlock()
	return d.Start(options)
}

// LoseDisk removes the data folder: the disk is gone. The daemon must have ended.
func (d *Daemon) LoseDisk() error {
	if d.Running() {
		return fmt.Errorf("lose the disk of %s: its daemon runs", d.proxy.Name)
	}
	return os.RemoveAll(d.DataDir)
}

// WaitSocket waits until the admin socket accepts connections. A daemon that ends meanwhile is an error with its words.
func (d *Daemon) WaitSocket(ctx context.Context) error {
	return poll(ctx, "the daemon of "+d.proxy.Name, 5*time.Millisecond, func() (bool, string, error) {
		if !d.Running() {
			return false, "", fmt.Errorf("it has ended: %s", d.Process().LogTail(2000))
		}
		conn, err := net.Dial("unix", d.AdminSocket)
		if err != nil {
			return false, err.Error(), nil
		}
		return true, "", conn.Close()
	})
}

// Process returns the daemon's process, nil before the first start.
func (d *Daemon) Process() *Process {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.proc
}

// clean forgets how the daemon was started. It must have ended.
func (d *Daemon) clean() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.proc, d.options = nil, DaemonOptions{}
}

// Running tells whether the daemon lives; a paused one does.
func (d *Daemon) Running() bool { return d.Process().Running() }

// Kill9 ends the daemon as a crash does.
func (d *Daemon) Kill9() { d.Process().Kill9() }

// Stop ends the daemon with SIGTERM, within 10 s.
func (d *Daemon) Stop() error {
	proc := d.Process()
	if proc == nil {
		return nil
	}
	return proc.Stop(daemonStopTimeout)
}

// Pause stops the daemon with SIGSTOP: a hang.
func (d *Daemon) Pause() error { return d.Process().Pause() }

// Cont lets a paused daemon go on.
func (d *Daemon) Cont() error { return d.Process().Cont() }

// Haproxyctl is the admin command's binary.
func (l *Lab) Haproxyctl() string { return l.cfg.Haproxyctl }

// Ctl runs haproxyctl with the daemon's admin socket on the proxy's host. The error says only that it could not be
// run; its exit status is in the result.
func (d *Daemon) Ctl(ctx context.Context, args ...string) (Result, error) {
	return d.proxy.Command(ctx, "", d.proxy.lab.cfg.Haproxyctl, append([]string{"--admin-socket", d.AdminSocket}, args...)...)
}

// StartCtl starts haproxyctl as a process of the proxy's host, for an operator's command that is killed on its way. It
// takes part in steps as member "ctl".
func (d *Daemon) StartCtl(args ...string) (*Process, error) {
	return d.proxy.Host.Start(Spec{
		Name: "haproxyctl",
		Args: append([]string{d.proxy.lab.cfg.Haproxyctl, "--admin-socket", d.AdminSocket}, args...),
		Env:  d.proxy.lab.stepEnv("ctl"),
	})
}

// Build compiles haproxyd and haproxyctl of the module that the working directory belongs to into a folder, for
// Config.Haproxyd and Config.Haproxyctl.
func Build(ctx context.Context, dir string) (haproxyd, haproxyctl string, err error) {
	return BuildWith(ctx, dir)
}

// ErrNoCommit says that the repository does not hold a commit: an archive of the sources, or a shallow clone.
var ErrNoCommit = errors.New("the repository does not hold that commit")

// BuildCommit compiles haproxyd of an earlier commit of this repository into a folder, for DaemonOptions.Binary.
func BuildCommit(ctx context.Context, commit, dir string) (haproxyd string, err error) {
	if err := exec.CommandContext(ctx, "git", "cat-file", "-e", commit+"^{commit}").Run(); err != nil {
		return "", fmt.Errorf("%w: %s", ErrNoCommit, commit)
	}
	source := filepath.Join(dir, "source")
	if err := os.MkdirAll(source, 0o700); err != nil {
		return "", err
	}
	haproxyd = filepath.Join(dir, "haproxyd")
	script := `cd "$(git rev-parse --show-toplevel)" && git archive "$1" | tar -x -C "$2" && cd "$2" && go build -trimpath -o "$3" ./cmd/haproxyd`
	if out, err := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script, "build", commit, source, haproxyd).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the daemon of %s: %w: %s", commit, err, out)
	}
	return haproxyd, nil
}

// BuildWith is Build with build tags, such as StepsTag.
func BuildWith(ctx context.Context, dir string, tags ...string) (haproxyd, haproxyctl string, err error) {
	const module = "github.com/haproxy-peers/haproxy-peers/"
	dir, err = filepath.Abs(dir)
	if err != nil {
		return "", "", err
	}
	// A test may be in a module of its own, which knows this one and not what it is made of.
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", strings.TrimSuffix(module, "/")).Output()
	if err != nil {
		return "", "", fmt.Errorf("find the daemon's sources: %w", err)
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-tags", strings.Join(tags, ","),
		"-o", dir+string(filepath.Separator), module+"cmd/haproxyd", module+"cmd/haproxyctl")
	cmd.Dir = strings.TrimSpace(string(root))
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", "", fmt.Errorf("build the daemon: %w: %s", err, out)
	}
	return filepath.Join(dir, "haproxyd"), filepath.Join(dir, "haproxyctl"), nil
}
