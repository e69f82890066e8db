package runtimeapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Master speaks to the master CLI of a HAProxy that runs with -W -S SOCKET (2.0 and later).
type Master struct {
	// Socket is the path of its unix socket.
	Socket string
}

// Worker is the process that takes new connections, as `show proc` shows it.
type Worker struct {
	Pid int
	// Uptime is the difference of two clocks of whole seconds: up to one second more or less than the truth.
	Uptime time.Duration
	// Failed counts the reloads that failed since the last good one; always 0 before HAProxy 2.5, which does not tell.
	Failed int
}

// ErrReloadRefused tells that HAProxy kept its old process.
var ErrReloadRefused = errors.New("HAProxy did not take the new configuration, its old process goes on")

var failedWord = regexp.MustCompile(`\[failed: (\d+)\]`)

// Worker asks for the current worker. Its Pid is 0 where the master has none, as after a reload that failed: the old
// one then stands under the old workers.
func (m Master) Worker(ctx context.Context) (Worker, error) {
	text, err := m.ask(ctx, "show proc")
	if err != nil {
		return Worker{}, err
	}
	return parseProc(text)
}

func parseProc(text string) (Worker, error) {
	var w Worker
	section, master := "", false
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
		case strings.HasPrefix(line, "# "):
			section = strings.TrimSpace(line[2:])
		case len(words) > 1 && words[1] == "master":
			master = true
			if f := failedWord.FindStringSubmatch(line); f != nil {
				w.Failed, _ = strconv.Atoi(f[1]) // digits
			}
		case section == "workers" && len(words) > 1 && words[1] == "worker":
			pid, err := strconv.Atoi(words[0])
			if err != nil {
				return Worker{}, fmt.Errorf("show proc: %q is not a worker's line", strings.TrimSpace(line))
			}
			w.Pid = pid
			for _, word := range words[2:] {
				if d, ok := parseAge(word); ok { // 0d00h00m07s
					w.Uptime = d
				}
			}
		}
	}
	if !master {
		return Worker{}, errors.New("show proc: the answer names no master: is this the socket of haproxy -S?")
	}
	return w, nil
}

// Reload makes HAProxy read its files again and waits until ctx is done for a worker other than the one before, which
// it returns. ErrReloadRefused where HAProxy goes on with the old process. Before 2.7 the master's socket is silent
// while it starts again, and does not say how it went: only the processes do.
func (m Master) Reload(ctx context.Context) (Worker, error) {
	before, err := m.Worker(ctx)
	if err != nil {
		return Worker{}, err
	}
	answer, err := m.ask(ctx, "reload")
	if err == nil && strings.HasPrefix(answer, "Success=0") {
		return before, fmt.Errorf("%w: %s", ErrReloadRefused, firstAlert(answer))
	}
	var last error
	for {
		now, err := m.Worker(ctx)
		switch {
		case err != nil:
			last = err
		case now.Failed > before.Failed:
			return now, ErrReloadRefused
		case now.Pid != 0 && now.Pid != before.Pid:
			return now, nil
		default:
			last = nil
		}
		select {
		case <-ctx.Done():
			if last != nil {
				return before, fmt.Errorf("%w: the master does not answer: %w", ErrReloadRefused, last)
			}
			return before, fmt.Errorf("%w: process %d is still the worker", ErrReloadRefused, before.Pid)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// firstAlert is the reason in what 2.7 and later answer to a reload.
func firstAlert(answer string) string {
	for line := range strings.Lines(answer) {
		if strings.HasPrefix(line, "[ALERT]") {
			return strings.TrimSpace(line)
		}
	}
	return strings.Join(strings.Fields(answer), " ")
}

func (m Master) ask(ctx context.Context, command string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", m.Socket)
	if err != nil {
		return "", fmt.Errorf("master socket %s: %w", m.Socket, err)
	}
	defer func() { _ = conn.Close() }() // the answer is read or lost
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := io.WriteString(conn, command+"\n"); err != nil {
		return "", fmt.Errorf("master socket %s: %w", m.Socket, err)
	}
	// The master closes only once nothing more can come (HAPROXY.md 20).
	if c, ok := conn.(*net.UnixConn); ok {
		if err := c.CloseWrite(); err != nil {
			return "", fmt.Errorf("master socket %s: %w", m.Socket, err)
		}
	}
	data, err := io.ReadAll(io.LimitReader(conn, 1<<20))
	if err != nil {
		return "", fmt.Errorf("master socket %s: %s: %w", m.Socket, command, err)
	}
	return string(data), nil
}
