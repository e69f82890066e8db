package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Proxy is one host with an HAProxy and a daemon. The host's methods (Dial, Run, ...) are the proxy's too.
type Proxy struct {
	*Host
	// Dir is the proxy's folder.
	Dir string
	// ConfigFile is the HAProxy's configuration. Start writes it; a daemon that owns it may rewrite it.
	ConfigFile string
	// AdminSocket is where the configuration has to put its `stats socket ... level admin`.
	AdminSocket string
	// MasterSocket is the socket of the master process, with HAProxyOptions.MasterWorker.
	MasterSocket string
	// Daemon is the haproxyd beside this HAProxy.
	Daemon *Daemon

	mu        sync.Mutex // a supervisor starts HAProxies too
	options   HAProxyOptions
	processes []*Process // the last one serves; those before it are being replaced by it
}

// HAProxyOptions says how to start an HAProxy.
type HAProxyOptions struct {
	// Config is the configuration's text, written to Proxy.ConfigFile. Empty: the file as it is.
	Config string

	// MoreFiles are further configuration files, given to HAProxy before Proxy.ConfigFile.
	MoreFiles []string

	// MasterWorker starts it as Percona's image does: a master (-W) with a socket (-S) and a worker.
	MasterWorker bool

	// Binary is the haproxy to run. Default: the lab's.
	Binary string

	// LocalPeer is the -L argument. Default: the host's name.
	LocalPeer string

	// Args are appended to the command line.
	Args []string
}

const (
	haproxyStartTimeout = 5 * time.Second
	haproxyStopTimeout  = 5 * time.Second
	runtimeTimeout      = 2 * time.Second
)

func newProxy(h *Host) (*Proxy, error) {
	dir := filepath.Join(h.lab.Dir, h.Name)
	p := &Proxy{
		Host: h, Dir: dir,
		ConfigFile:   filepath.Join(dir, "haproxy.cfg"),
		AdminSocket:  filepath.Join(dir, "haproxy.sock"),
		MasterSocket: filepath.Join(dir, "master.sock"),
	}
	p.Daemon = newDaemon(p)
	return p, p.clean()
}

// clean empties the proxy's folder. Its processes must have ended.
func (p *Proxy) clean() error {
	p.set(nil, HAProxyOptions{})
	p.Daemon.clean()
	return errors.Join(os.RemoveAll(p.Dir), os.MkdirAll(p.Daemon.DataDir, 0o755))
}

// Start starts the HAProxy and returns when its admin socket answers, which is after it listens everywhere. A
// configuration that HAProxy refuses is an error with HAProxy's own words.
func (p *Proxy) Start(ctx context.Context, options HAProxyOptions) error {
	if p.Running() {
		return fmt.Errorf("start the HAProxy of %s: it runs already", p.Name)
	}
	p.set(nil, options)
	if err := p.write(options.Config); err != nil {
		return err
	}
	return p.launch(ctx)
}

// StartAgain starts an HAProxy that has ended, as it was started before, with the configuration file as it is now.
func (p *Proxy) StartAgain(ctx context.Context) error {
	_, options := p.get()
	options.Config = ""
	return p.Start(ctx, options)
}

// Restart ends the HAProxy (SIGTERM: its sessions die) and starts it again.
func (p *Proxy) Restart(ctx context.Context) error {
	if err := p.Stop(); err != nil {
		return err
	}
	return p.StartAgain(ctx)
}

// Reload replaces the HAProxy by a new process, which tells the old ones to finish (-sf; with MasterWorker SIGUSR2
// to the master), and returns when the new one answers on the admin socket. Text other than "" is written to the
// configuration file first. It may be called again at once; the old processes live until their sessions end.
func (p *Proxy) Reload(ctx context.Context, config string) error {
	if !p.Running() {
		return fmt.Errorf("reload the HAProxy of %s: %w", p.Name, ErrNotRunning)
	}
	if err := p.write(config); err != nil {
		return err
	}
	if _, options := p.get(); !options.MasterWorker {
		return p.launch(ctx)
	}
	before, err := p.Pid(ctx)
	if err != nil {
		return err
	}
	if err := p.Process().Signal(syscall.SIGUSR2); err != nil {
		return err
	}
	return p.waitPid(ctx, func(pid int) bool { return pid != before })
}

func (p *Proxy) write(config string) error {
	if config == "" {
		return nil
	}
	return os.WriteFile(p.ConfigFile, []byte(config), 0o644)
}

// launch starts a process over those that run already.
func (p *Proxy) launch(ctx context.Context) error {
	processes, options := p.get()
	args := []string{firstOf(options.Binary, p.lab.cfg.HAProxy), "-db"}
	if options.MasterWorker {
		args = []string{args[0], "-W", "-db", "-S", p.MasterSocket}
	}
	for _, file := range append(slices.Clip(options.MoreFiles), p.ConfigFile) {
		args = append(args, "-f", file)
	}
	args = append(args, "-L", firstOf(options.LocalPeer, p.Name))
	args = append(args, options.Args...)
	var old []*Process
	for _, proc := range processes {
		if proc.Running() {
			old = append(old, proc)
		}
	}
	if len(old) > 0 {
		args = append(args, "-sf")
		for _, proc := range old {
			args = append(args, strconv.Itoa(proc.Pid))
		}
	}
	proc, err := p.Host.Start(Spec{Name: "haproxy", Args: args, Credential: inGroup(haproxyGroup)})
	if err != nil {
		return err
	}
	p.set(append(slices.Clip(old), proc), options)
	before := make(map[int]bool)
	for _, o := range old {
		before[o.Pid] = true
	}
	err = p.waitPid(ctx, func(pid int) bool { return !before[pid] })
	if err != nil && !proc.Running() {
		p.set(old, options) // the new one refused its configuration, the old ones serve on
	}
	return err
}

// waitPid waits until the process that answers on the admin socket has a pid that is right.
func (p *Proxy) waitPid(ctx context.Context, right func(int) bool) error {
	ctx, cancel := context.WithTimeout(ctx, haproxyStartTimeout)
	defer cancel()
	proc := p.Process()
	_, options := p.get()
	return poll(ctx, "the HAProxy of "+p.Name, 2*time.Millisecond, func() (bool, string, error) {
		if !proc.Running() {
			return false, "", fmt.Errorf("it has ended: %s", proc.LogTail(2000))
		}
		pid, err := p.Pid(ctx)
		if err != nil {
			return false, err.Error(), nil
		}
		if !right(pid) || !options.MasterWorker {
			return right(pid), fmt.Sprintf("pid %d answers", pid), nil
		}
		// The worker answers some milliseconds before its master listens to signals: a SIGUSR2 in between is lost
		// without a word (seen in 6 of 6 tries on 2.6.12). The master's socket answers only after that.
		workers, err := p.Master(ctx, "show proc")
		return err == nil && strings.Contains(workers, fmt.Sprintf("\n%d ", pid)), "its master does not answer yet", nil
	})
}

// Process returns the newest HAProxy process (the master, with MasterWorker), nil before the first start.
func (p *Proxy) Process() *Process {
	processes, _ := p.get()
	if len(processes) == 0 {
		return nil
	}
	return processes[len(processes)-1]
}

func (p *Proxy) get() ([]*Process, HAProxyOptions) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.processes, p.options
}

func (p *Proxy) set(processes []*Process, options HAProxyOptions) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.processes, p.options = processes, options
}

// Running tells whether the newest HAProxy process lives.
func (p *Proxy) Running() bool { return p.Process().Running() }

// Kill9 ends all HAProxy processes of the proxy, old ones included, as a crash does.
func (p *Proxy) Kill9() {
	processes, _ := p.get()
	for _, proc := range processes {
		proc.Kill9()
	}
}

// Stop ends all HAProxy processes of the proxy with SIGTERM (a hard stop: sessions are cut), within 5 s.
func (p *Proxy) Stop() error {
	processes, _ := p.get()
	return each(processes, func(proc *Process) error { return proc.Stop(haproxyStopTimeout) })
}

// Pause stops the newest HAProxy process with SIGSTOP, Cont lets it go on.
func (p *Proxy) Pause() error { return p.Process().Pause() }

// Cont lets a paused HAProxy go on.
func (p *Proxy) Cont() error { return p.Process().Cont() }

// Pid asks the admin socket which process serves (`show info`): the worker, with MasterWorker.
func (p *Proxy) Pid(ctx context.Context) (int, error) {
	answer, err := p.Runtime(ctx, "show info")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(answer) {
		if value, ok := strings.CutPrefix(line, "Pid: "); ok {
			return strconv.Atoi(strings.TrimSpace(value))
		}
	}
	return 0, fmt.Errorf("no pid in the answer of %s to show info", p.AdminSocket)
}

// Runtime sends one line to the admin socket over a connection of its own and returns the raw answer, within 2 s.
func (p *Proxy) Runtime(ctx context.Context, command string) (string, error) {
	return exchange(ctx, p.AdminSocket, command)
}

// Master sends one line to the master socket, with MasterWorker.
func (p *Proxy) Master(ctx context.Context, command string) (string, error) {
	return exchange(ctx, p.MasterSocket, command)
}

func exchange(ctx context.Context, socket, command string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, runtimeTimeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline() // there is one: WithTimeout
	if err := conn.SetDeadline(deadline); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, command+"\n"); err != nil {
		return "", fmt.Errorf("%s: %w", command, err)
	}
	// The master's socket answers only when the writing side is shut.
	if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
		return "", fmt.Errorf("%s: %w", command, err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		return string(answer), fmt.Errorf("%s: %w", command, err)
	}
	return string(answer), nil
}
