package lab

import (
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// spawner starts all of a lab's processes from one operating system thread. The parent-death signal of a child fires
// when the *thread* that made it ends (prctl(2), PR_SET_PDEATHSIG), so that thread must live as long as the lab, and
// where the lab's process dies in whatever way, the children die with it.
type spawner struct {
	jobs chan func()
	home int
}

var errClosed = errors.New("the lab is closed")

func newSpawner(home int) *spawner {
	s := &spawner{jobs: make(chan func()), home: home}
	go func() {
		// Never unlocked: the thread ends with this goroutine, and with it whatever child is left.
		runtime.LockOSThread()
		for job := range s.jobs {
			job()
		}
	}()
	return s
}

// start starts cmd inside a host, in a process group of its own, as root or as another user. The user is changed here
// and not by the program: changing it clears the parent-death signal.
func (s *spawner) start(h *Host, cmd *exec.Cmd, user *syscall.Credential) (err error) {
	defer func() {
		if recover() != nil { // the channel is closed: the lab was closed meanwhile
			err = errClosed
		}
	}()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: user}
	done := make(chan error, 1)
	s.jobs <- func() {
		if err := unix.Setns(int(h.ns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("enter the namespace of %s: %w", h.Name, err)
			return
		}
		err := cmd.Start()
		done <- errors.Join(err, unix.Setns(s.home, unix.CLONE_NEWNET))
	}
	return <-done
}

func (s *spawner) close() { close(s.jobs) }
