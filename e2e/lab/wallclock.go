package lab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ClockWatchdog is the environment variable that makes a test binary the watchdog
// of the machine's clock: its TestMain calls [WatchClock] where it is set.
const ClockWatchdog = "E2E_CLOCK_WATCHDOG"

// clockAwayFor is after how long the watchdog restores the clock whatever happens.
const clockAwayFor = 10 * time.Minute

// ErrClock says that this process may not set the machine's clock.
var ErrClock = errors.New("the machine's clock may not be set here")

// WallClock is the machine's clock, in this process's hands until Restore. It is
// restored from the monotonic clock by whoever is left: the test, a signal's
// handler, or a process of its own that notices the test's end.
type WallClock struct {
	anchor   anchor
	guard    *exec.Cmd
	lifespan io.Closer // the guard acts once this is closed, also by our death
	signals  chan os.Signal
	once     sync.Once
	err      error
}

// anchor is one moment by both clocks, in nanoseconds.
type anchor struct{ wall, mono int64 }

func readClock(id int32) (int64, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(id, &ts); err != nil {
		return 0, fmt.Errorf("read clock %d: %w", id, err)
	}
	return ts.Nano(), nil
}

// now is the present moment.
func now() (anchor, error) {
	wall, err := readClock(unix.CLOCK_REALTIME)
	if err != nil {
		return anchor{}, err
	}
	mono, err := readClock(unix.CLOCK_MONOTONIC)
	return anchor{wall, mono}, err
}

// wallAt is what the wall clock shows, had nobody set it, when the monotonic one
// shows mono.
func (a anchor) wallAt(mono int64) int64 { return a.wall + mono - a.mono }

// set sets the wall clock to what it would show, and ahead.
func (a anchor) set(ahead time.Duration) error {
	mono, err := readClock(unix.CLOCK_MONOTONIC)
	if err != nil {
		return err
	}
	ts := unix.NsecToTimespec(a.wallAt(mono) + ahead.Nanoseconds())
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &ts); err != nil {
		return fmt.Errorf("%w: %w", ErrClock, err)
	}
	return nil
}

// TakeClock takes the machine's clock. The error wraps ErrClock where it may not be
// set; it was not then. binary is a test binary whose TestMain knows ClockWatchdog.
func TakeClock(binary string) (*WallClock, error) {
	a, err := now()
	if err != nil {
		return nil, err
	}
	if err := a.set(0); err != nil {
		return nil, err
	}
	c := &WallClock{anchor: a, signals: make(chan os.Signal, 1)}
	c.guard = exec.Command(binary) //nolint:gosec,noctx // itself, and it must outlive every context
	c.guard.Env = append(os.Environ(), fmt.Sprintf("%s=%d,%d", ClockWatchdog, a.wall, a.mono))
	c.guard.Stderr = os.Stderr
	// Its own session: what ends the test from a terminal does not reach it.
	c.guard.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if c.lifespan, err = c.guard.StdinPipe(); err != nil {
		return nil, err
	}
	ready, err := c.guard.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.guard.Start(); err != nil {
		return nil, fmt.Errorf("start the clock's watchdog: %w", err)
	}
	if _, err := ready.Read(make([]byte, 1)); err != nil {
		_ = c.Restore()
		return nil, fmt.Errorf("the clock's watchdog does not stand: %w", err)
	}
	signal.Notify(c.signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		if s, ok := <-c.signals; ok {
			_ = c.Restore()
			fmt.Fprintln(os.Stderr, "the clock is restored:", s)
			os.Exit(1)
		}
	}()
	return c, nil
}

// Step sets the clock so that it is ahead of the true time by d.
func (c *WallClock) Step(d time.Duration) error { return c.anchor.set(d) }

// Restore gives the clock its true time back. A second time it does nothing.
func (c *WallClock) Restore() error {
	c.once.Do(func() {
		c.err = c.anchor.set(0)
		signal.Stop(c.signals)
		_ = c.lifespan.Close() // the guard restores it once more, and ends
		c.err = errors.Join(c.err, c.guard.Wait())
	})
	return c.err
}

// WatchClock is the watchdog's main: it waits until its standard input ends, which
// it does when the test closes it or dies, or until clockAwayFor has passed, and
// restores the clock. It returns the exit status.
func WatchClock() int {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	a, err := parseAnchor(os.Getenv(ClockWatchdog))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	_, _ = os.Stdout.WriteString("1") // it stands
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(clockAwayFor):
		fmt.Fprintln(os.Stderr, "the clock's watchdog: away for too long")
	}
	if err := a.set(0); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func parseAnchor(text string) (anchor, error) {
	var a anchor
	if _, err := fmt.Sscanf(text, "%d,%d", &a.wall, &a.mono); err != nil {
		return a, fmt.Errorf("%s=%s: give WALL,MONOTONIC in nanoseconds: %w", ClockWatchdog, strconv.Quote(text), err)
	}
	return a, nil
}
