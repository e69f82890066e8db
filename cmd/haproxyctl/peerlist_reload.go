package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/haproxy-peers/haproxy-peers/runtimeapi"
)

// reloadWithin bounds how long HAProxy may take to start its new process: it
// resolves names first, and tries for a while to bind.
const reloadWithin = 20 * time.Second

// reloadAgain is the pause between two looks at HAProxy, or at the lock.
const reloadAgain = 100 * time.Millisecond

// mayReload waits until a reload is allowed: HAProxy's process is as old as the
// window, so that its tables have reached it from the one before (HAPROXY.md 12), and
// no move is under way. A daemon that does not answer moves nothing. False where there
// is no HAProxy to reload.
func (r *peerListRun) mayReload(ctx context.Context) (running bool, err error) {
	o := r.o
	if o.masterSocket == "" {
		return false, nil
	}
	said := ""
	for {
		worker, err := o.master().Worker(ctx)
		if err != nil {
			return false, nil //nolint:nilerr // no HAProxy answers there: it reads the file when it starts
		}
		why := r.waitsFor(ctx, worker)
		if why == "" {
			return true, nil
		}
		if why != said {
			fmt.Fprintf(r.stderr, "haproxyctl: the change (%s) waits: %s\n", changesText(r.result.Changes), why)
			said = why
		}
		if !sleep(ctx, reloadAgain) {
			return false, fmt.Errorf("waited %s to reload HAProxy: %s; nothing was changed, run it again", o.reloadWait, said)
		}
	}
}

func (o renderOptions) master() runtimeapi.Master { return runtimeapi.Master{Socket: o.masterSocket} }

func changesText(changes []string) string {
	return cmp.Or(strings.Join(changes, ", "), "other settings")
}

// waitsFor says what forbids a reload now, "" for nothing.
func (r *peerListRun) waitsFor(ctx context.Context, worker runtimeapi.Worker) string {
	// Its uptime may be told a second too long.
	young := worker.Uptime-time.Second < r.o.reloadWindow
	if worker.Pid == 0 { // the last reload was refused
		// A time in a file is by a clock that may have been set since: a future one is
		// none, or this would wait for as long as the clock was set back.
		age := time.Since(r.lock.touched())
		young = age >= 0 && age < r.o.reloadWindow
	}
	if young {
		return fmt.Sprintf("HAProxy was started or reloaded less than %s ago", r.o.reloadWindow)
	}
	act, err := r.localActive(ctx, r.o)
	if err == nil && act.Move != nil && act.Move.Pending() {
		return fmt.Sprintf("the writer is being moved from %s to %s", act.Move.From, act.Move.To)
	}
	return ""
}

// reload makes HAProxy take the file that was just written.
func (o renderOptions) reload(ctx context.Context) (runtimeapi.Worker, error) {
	// A reload that has begun is waited for whatever became of our own time.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reloadWithin)
	defer cancel()
	return o.master().Reload(ctx)
}

// startedWith waits for a HAProxy that did not answer when the file was written, and
// tells whether it must be reloaded: it may have read the file of before while it was
// starting. None at all by the end of the wait reads the new one whenever it starts.
func startedWith(ctx context.Context, o renderOptions, written time.Time) (reload bool, pid int) {
	if o.masterSocket == "" {
		return false, 0
	}
	for {
		if worker, err := o.master().Worker(ctx); err == nil && worker.Pid != 0 {
			// Its process may be a second older than it tells.
			if worker.Uptime+time.Second < time.Since(written) {
				return false, worker.Pid
			}
			return true, worker.Pid
		}
		if !sleep(ctx, reloadAgain) {
			return false, 0
		}
	}
}

// reloadLock is FILE.lock: it keeps two runs from reloading HAProxy at once, and the
// second one sees what the first one wrote. While it has content a file was written
// that HAProxy has not been seen to take; a run that is killed leaves that to the next.
type reloadLock struct{ file *os.File }

func lockFile(ctx context.Context, path string) (*reloadLock, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, fmt.Errorf("cannot lock: %w", err)
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return &reloadLock{f}, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(fmt.Errorf("cannot lock %s: %w", path, err), f.Close())
		}
		if !sleep(ctx, reloadAgain) {
			return nil, errors.Join(fmt.Errorf("another run holds %s; nothing was changed, run it again", path), f.Close())
		}
	}
}

func (l *reloadLock) pending() bool {
	info, err := l.file.Stat()
	return err == nil && info.Size() > 0
}

// touched is when the last change was begun or ended, zero where that is not known.
func (l *reloadLock) touched() time.Time {
	info, err := l.file.Stat()
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

func (l *reloadLock) setPending(pending bool) error {
	if !pending {
		return l.file.Truncate(0)
	}
	_, err := l.file.WriteAt([]byte("a reload is due\n"), 0)
	return err
}

func (l *reloadLock) unlock() { _ = l.file.Close() } // the lock goes with it
