package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ErrNotRunning is returned for an operation on a process that has ended or was never started.
var ErrNotRunning = errors.New("not running")

// Process is one process of the lab, the leader of its own process group.
type Process struct {
	// Name is what the lab calls the process ("px0/haproxy").
	Name string
	// Pid is the process id, and the id of the group that signals go to.
	Pid int
	// Log is the file with the process's standard output and error.
	Log string

	done chan struct{}
	exit int
	err  error
}

// Spec says which process to start.
type Spec struct {
	// Name names the process in logs and errors, and its log file.
	Name string
	// Args is the command and its arguments.
	Args []string
	// Env is added to the lab's own environment ("KEY=value").
	Env []string
	// Credential is the user to run as. Default: root, the lab's own.
	Credential *syscall.Credential
}

// Start starts a process inside the host and does not wait for anything. The lab ends it in Close at the latest.
func (h *Host) Start(spec Spec) (*Process, error) {
	l := h.lab
	l.mu.Lock()
	l.started++
	log := filepath.Join(l.Dir, "log", fmt.Sprintf("%03d-%s-%s.log", l.started, h.Name, spec.Name))
	l.mu.Unlock()
	file, err := os.Create(log)
	if err != nil {
		return nil, fmt.Errorf("start %s on %s: %w", spec.Name, h.Name, err)
	}
	defer file.Close()
	cmd := exec.Command(spec.Args[0], spec.Args[1:]...)
	cmd.Env = append(os.Environ(), spec.Env...)
	cmd.Dir = l.Dir
	cmd.Stdout, cmd.Stderr = file, file
	if err := l.spawner.start(h, cmd, spec.Credential); err != nil {
		return nil, fmt.Errorf("start %s on %s: %w", spec.Name, h.Name, err)
	}
	p := &Process{Name: h.Name + "/" + spec.Name, Pid: cmd.Process.Pid, Log: log, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		p.exit = cmd.ProcessState.ExitCode()
		close(p.done)
	}()
	l.mu.Lock()
	l.processes = append(l.processes, p)
	l.mu.Unlock()
	l.log.Debug("process started", "process", p.Name, "pid", p.Pid)
	return p, nil
}

// Running tells whether the process has not ended yet. A nil process is not running.
func (p *Process) Running() bool {
	if p == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// ExitStatus waits for the end of the process and returns its exit status, -1 if a signal ended it.
func (p *Process) ExitStatus(ctx context.Context) (int, error) {
	select {
	case <-p.done:
		return p.exit, nil
	case <-ctx.Done():
		return -1, fmt.Errorf("wait for the end of %s: %w", p.Name, ctx.Err())
	}
}

// Signal sends a signal to the process alone.
func (p *Process) Signal(sig syscall.Signal) error { return p.signal(sig, false) }

// SignalGroup sends a signal to the process and all that it has started, unless they made groups of their own.
func (p *Process) SignalGroup(sig syscall.Signal) error { return p.signal(sig, true) }

func (p *Process) signal(sig syscall.Signal, group bool) error {
	if !p.Running() {
		return fmt.Errorf("signal %v: %w", sig, ErrNotRunning)
	}
	pid := p.Pid
	if group {
		pid = -pid
	}
	if err := syscall.Kill(pid, sig); err != nil {
		return fmt.Errorf("signal %v to %s: %w", sig, p.Name, err)
	}
	return nil
}

// Kill9 ends the process group with SIGKILL and waits until the process is gone. It is no error if it was before.
func (p *Process) Kill9() {
	if p == nil {
		return
	}
	if p.Running() {
		// ESRCH is a process that ended in between.
		_ = p.SignalGroup(syscall.SIGKILL)
	}
	<-p.done
}

// Stop sends SIGTERM and waits for the end; a process still there after the timeout is killed, which is an error.
func (p *Process) Stop(timeout time.Duration) error {
	if !p.Running() {
		return nil
	}
	if err := p.Signal(syscall.SIGTERM); err != nil && p.Running() {
		return err
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
		p.Kill9()
		return fmt.Errorf("%s did not end within %v of SIGTERM and was killed", p.Name, timeout)
	}
}

// Pause stops the process group with SIGSTOP: connections stay open, the kernel still accepts new ones, nothing answers.
func (p *Process) Pause() error { return p.SignalGroup(syscall.SIGSTOP) }

// Cont lets a paused process group go on.
func (p *Process) Cont() error { return p.SignalGroup(syscall.SIGCONT) }

// Usage is what a process has used: CPU time of all its threads (user and system) and resident memory in bytes.
type Usage struct {
	CPU time.Duration
	RSS int64
}

// clockTick is the unit of the times in /proc/PID/stat: USER_HZ is 100 on every Linux that Go runs on.
const clockTick = 10 * time.Millisecond

// UsageOf reads the usage of a process by its pid, for instance an HAProxy worker's from `show info`.
func UsageOf(pid int) (Usage, error) {
	fields, err := procStat(pid)
	if err != nil {
		return Usage{}, err
	}
	number := func(i int) int64 {
		n, convErr := strconv.ParseInt(fields[i-3], 10, 64) // fields are numbered from 1 in proc(5), ours from 3
		err = errors.Join(err, convErr)
		return n
	}
	u := Usage{
		CPU: time.Duration(number(14)+number(15)) * clockTick,
		RSS: number(24) * int64(os.Getpagesize()),
	}
	return u, err
}

// procStat returns the fields of /proc/PID/stat from the third on: the second, the command, may contain anything.
func procStat(pid int) ([]string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, fmt.Errorf("read the state of process %d: %w", pid, err)
	}
	end := bytes.LastIndexByte(text, ')')
	fields := strings.Fields(string(text[end+1:]))
	if end < 0 || len(fields) < 22 {
		return nil, fmt.Errorf("read the state of process %d: unexpected text", pid)
	}
	return fields, nil
}

// LogTail returns up to n bytes of the end of the process's log, for error messages.
func (p *Process) LogTail(n int64) string {
	if p == nil {
		return ""
	}
	file, err := os.Open(p.Log)
	if err != nil {
		return err.Error()
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.Size() > n {
		_, _ = file.Seek(-n, 2)
	}
	var text bytes.Buffer
	_, _ = text.ReadFrom(file)
	return strings.TrimSpace(text.String())
}

// each runs fn for every item at the same time and joins the errors.
func each[T any](items []T, fn func(T) error) error {
	errs := make([]error, len(items))
	var wg sync.WaitGroup
	for i, item := range items {
		wg.Go(func() { errs[i] = fn(item) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// poll calls fn every interval until it returns true, an error, or the context ends; then the error says what was
// waited for and why it was not there yet.
func poll(ctx context.Context, what string, interval time.Duration, fn func() (bool, string, error)) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		ok, why, err := fn()
		if err != nil {
			return fmt.Errorf("wait for %s: %w", what, err)
		}
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w (%s)", what, ctx.Err(), why)
		case <-ticker.C:
		}
	}
}
