package cluster

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// childEnv makes the test binary run one daemon on real sockets: name, bind
// address, data directory, members to join, initial voters.
const childEnv = "CLUSTER_TEST_CHILD"

// child prints a line every 100 ms: time since the last line, fresh or stale, and
// the value of the record.
func child() int {
	args := strings.Split(os.Getenv(childEnv), "|")
	c, err := New(Config{
		Name: args[0], GossipBind: args[1], DataDir: args[2], Join: strings.Split(args[3], ","),
		InitialVoters: strings.Split(args[4], ","), KeyFile: args[5],
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		// The parent's end of the pipe closes when the test is over.
		_, _ = bufio.NewReader(os.Stdin).ReadByte()
		cancel()
	}()
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	last := time.Now()
	for {
		time.Sleep(100 * time.Millisecond)
		a := c.Agreement()
		now := time.Now()
		fmt.Printf("gap=%d fresh=%v age=%d value=%s\n", now.Sub(last).Milliseconds(), a.Fresh, a.FreshAge.Milliseconds(), a.Record.Value)
		last = now
		select {
		case err := <-done:
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
			return 0
		default:
		}
	}
}

// process is a child with the lines that it prints.
type process struct {
	cmd   *exec.Cmd
	lines chan string
}

func startProcess(t *testing.T, args ...string) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+strings.Join(args, "|"))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: cmd, lines: make(chan string, 10_000)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.lines <- s.Text()
		}
		close(p.lines)
	}()
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Process.Signal(syscall.SIGCONT)
		kill := time.AfterFunc(5*time.Second, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		for range p.lines { // so that the reader never blocks
		}
		<-read
		if err := cmd.Wait(); err != nil {
			t.Errorf("the daemon ended with %v", err)
		}
	})
	return p
}

// until returns the first line with the text.
func (p *process) until(t *testing.T, text string) string {
	t.Helper()
	limit := time.After(20 * time.Second)
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				t.Fatal("the daemon has ended")
			}
			if strings.Contains(line, text) {
				return line
			}
		case <-limit:
			t.Fatalf("no %q", text)
		}
	}
}

func startProcesses(t *testing.T) []*process {
	t.Helper()
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	if err := os.WriteFile(key, []byte(strings.Repeat("ab", 32)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var addresses []string
	for i := range 3 {
		addresses = append(addresses, fmt.Sprintf("127.%d.254.%d:17946", 64+os.Getpid()%128, i+1))
	}
	var all []*process
	for i, address := range addresses {
		name := fmt.Sprintf("px%d", i)
		all = append(all, startProcess(t, name, address, filepath.Join(dir, name), strings.Join(addresses, ","), "px0,px1,px2", key))
	}
	for _, p := range all {
		p.until(t, "fresh=true")
	}
	return all
}

// TestStoppedProcessSeesItselfStaleAtOnce: after SIGSTOP, several seconds and
// SIGCONT the very first look must say stale, and the next ones, although the socket's
// buffer is full of the others' messages. These are stopped meanwhile, so that nobody can
// have answered: by its age alone an answer cannot be told from what
// lay in the buffer, because it counts from when the leader had heard the majority.
func TestStoppedProcessSeesItselfStaleAtOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	all := startProcesses(t)
	all[1].signal(t, syscall.SIGSTOP)
	// What is measured is a process that is stopped for longer than FreshFor.
	time.Sleep(3 * time.Second)
	for len(all[1].lines) > 0 {
		<-all[1].lines
	}
	all[0].signal(t, syscall.SIGSTOP)
	all[2].signal(t, syscall.SIGSTOP)
	all[1].signal(t, syscall.SIGCONT)
	for i := range 6 { // the buffer is read by then
		line := <-all[1].lines
		var gap, age int64
		var fresh bool
		if _, err := fmt.Sscanf(line, "gap=%d fresh=%t age=%d", &gap, &fresh, &age); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if i == 0 && gap < 2500 || fresh {
			t.Errorf("look %d after the stop says %q", i+1, line)
		}
	}
	start := time.Now()
	all[0].signal(t, syscall.SIGCONT)
	all[2].signal(t, syscall.SIGCONT)
	all[1].until(t, "fresh=true")
	t.Logf("fresh again %s after the others were continued", time.Since(start))
}

// signal stops or continues the process, and returns when it is so.
func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
	stat := fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid)
	for limit := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		text, err := os.ReadFile(stat)
		if err != nil {
			t.Fatal(err)
		}
		_, state, _ := strings.Cut(string(text), ") ")
		if strings.HasPrefix(state, "T") == (s == syscall.SIGSTOP) {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("the process is in state %.1s after %v", state, s)
		}
	}
}

// TestAtRest measures what three encrypted daemons cost that have nothing to do
// but look at the agreement ten times a second. It prints; it fails only at many
// times the target, since machines differ.
func TestAtRest(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	all := startProcesses(t)
	cpu := func() (sum time.Duration) {
		for _, p := range all {
			sum += cpuOf(t, p.cmd.Process.Pid)
		}
		return sum
	}
	time.Sleep(2 * time.Second) // what is measured begins after the start
	before, start := cpu(), time.Now()
	time.Sleep(5 * time.Second)
	share := (cpu() - before).Seconds() / time.Since(start).Seconds() / float64(len(all)) * 100
	t.Logf("%.2f %% of a core per daemon", share)
	if share > 10 {
		t.Errorf("%.2f %% of a core at rest", share)
	}
}

// cpuOf returns the user and system time that a process has used.
func cpuOf(t *testing.T, pid int) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest)
	var user, system int64
	if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); err != nil {
		t.Fatal(err)
	}
	return time.Duration(user+system) * time.Second / 100 // USER_HZ is 100 on Linux
}
