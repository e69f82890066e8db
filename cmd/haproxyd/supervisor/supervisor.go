package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/serving"
)

// Config is what is run.
type Config struct {
	// Command makes the daemon's process, not yet started; it is called for every start.
	Command func() *exec.Cmd
	// Healthz is the daemon's own URL: anything but status 200 counts as no answer.
	Healthz string
	// Listen is the ADDR:PORT where GET /healthz answers for the supervisor.
	Listen string
	// Hangups are passed to the daemon as SIGHUP, once it is healthy: before that it reads everything anyway, and may not
	// know the signal yet. Nil for none.
	Hangups <-chan os.Signal
	// Refused is the exit status of a daemon that would not be safe as it is set up, and therefore does not start; 0
	// means that there is none. Such a daemon does not end the supervisor: see the package's comment.
	Refused int
	Log     *slog.Logger
	// Timing is DefaultTiming where it is zero.
	Timing Timing
}

// Timing is how patient a supervisor is.
type Timing struct {
	// Probe is how often the daemon is asked, Hang for how long it may owe an answer before it is killed.
	Probe, Hang time.Duration
	// FirstWait is the time until a restart; it doubles up to LastWait, and is the first again after a daemon that was
	// healthy for Settled.
	FirstWait, LastWait, Settled time.Duration
	// RefusedWait is the time until a refused daemon is started again: somebody has to change something first.
	RefusedWait time.Duration
}

// DefaultTiming kills what hangs as late as a liveness probe of 3 times 10 s does.
var DefaultTiming = Timing{
	Probe: time.Second, Hang: 30 * time.Second,
	FirstWait: 100 * time.Millisecond, LastWait: 5 * time.Second, Settled: 10 * time.Second,
	RefusedWait: 30 * time.Second,
}

type supervisor struct {
	Config
	client http.Client
	// established: the daemon has been healthy once.
	established bool

	mu     sync.Mutex // guards what follows
	turned time.Time  // the loop's last turn
	state  string     // for people
}

// Run starts the daemon and keeps it running until the context ends; then it is told to end (SIGTERM) and waited for,
// without limit. It returns the daemon's exit status, and an error when the daemon ended before it was ever healthy, unless
// it was refused, or cannot be started. The daemon does not outlive the calling process.
func Run(ctx context.Context, c Config) (int, error) {
	if c.Timing == (Timing{}) {
		c.Timing = DefaultTiming
	}
	// The kernel ends the child with the thread that made it (prctl(2), PR_SET_PDEATHSIG).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return 1, fmt.Errorf("supervise: %w", err)
	}
	s := &supervisor{Config: c, client: http.Client{Timeout: 2 * c.Timing.Probe}}
	s.turn("starting")
	server := serving.New(s.handler(), serving.Options{Conns: 64, Log: c.Log})
	go func() { _ = server.Serve(l) }() // ends with Close
	defer func() { _ = server.Close() }()
	return s.keep(ctx)
}

// keep starts the daemon again and again.
func (s *supervisor) keep(ctx context.Context) (int, error) {
	wait := s.Timing.FirstWait
	for {
		lived, end, err := s.once(ctx)
		told := ctx.Err() != nil
		switch {
		case err != nil && (told || !s.established):
			return 1, fmt.Errorf("supervise: %w", err)
		case told:
			return status(end), err
		case s.Refused != 0 && end.ExitCode() == s.Refused:
			s.Log.Error("the daemon refuses to start as it is set up; HAProxy goes on by itself, and it is tried again", "wait", s.Timing.RefusedWait)
			if !s.pause(ctx, s.Timing.RefusedWait, "the daemon refuses to start as it is set up: its log says why") {
				return 0, nil
			}
			continue
		case !s.established:
			return max(status(end), 1), fmt.Errorf("supervise: the daemon ended before it was healthy: %s", end)
		}
		if lived > s.Timing.Settled {
			wait = s.Timing.FirstWait
		}
		how := fmt.Sprint(err)
		if err == nil {
			how = end.String()
		}
		s.Log.Error("the daemon has ended; it is started again", "how", how, "lived", lived.Round(time.Millisecond), "wait", wait)
		if !s.pause(ctx, wait, "the daemon has ended ("+how+") and is started again") {
			return 0, nil
		}
		wait = min(2*wait, s.Timing.LastWait)
	}
}

// status is the exit status of a process, 1 of one that a signal ended.
func status(end *os.ProcessState) int {
	if code := end.ExitCode(); code >= 0 {
		return code
	}
	return 1
}

// once runs the daemon to its end and tells how long it was healthy.
func (s *supervisor) once(ctx context.Context) (time.Duration, *os.ProcessState, error) {
	cmd := s.Command()
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	if err := cmd.Start(); err != nil {
		return 0, nil, err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	tick := time.NewTicker(s.Timing.Probe)
	defer tick.Stop()
	answers := make(chan bool, 1) // of at most one question at a time
	asked, end := false, ctx.Done()
	var since time.Time // healthy
	heard := time.Now()
	hangup := false
	for {
		if hangup && !since.IsZero() {
			hangup = false
			_ = cmd.Process.Signal(syscall.SIGHUP) // an error is its end, which comes by itself
		}
		state := "has not answered yet"
		if !since.IsZero() {
			state = "is healthy"
			if owes := time.Since(heard); owes > 4*s.Timing.Probe {
				state = "has not answered for " + owes.Round(time.Second).String()
			}
		}
		s.turn(fmt.Sprintf("the daemon, process %d, %s", cmd.Process.Pid, state))
		select {
		case err := <-done:
			if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed {
				return 0, nil, err
			}
			if since.IsZero() {
				return 0, cmd.ProcessState, nil
			}
			return time.Since(since), cmd.ProcessState, nil
		case <-end:
			end = nil
			_ = cmd.Process.Signal(syscall.SIGTERM) // an error is its end, which comes by itself
		case <-s.Hangups:
			hangup = true
		case healthy := <-answers:
			asked = false
			if healthy {
				heard, s.established = time.Now(), true
				if since.IsZero() {
					since = heard
				}
			}
		case <-tick.C:
			if end != nil && time.Since(heard) > s.Timing.Hang {
				s.Log.Error("the daemon does not answer and is killed", "url", s.Healthz, "for", s.Timing.Hang)
				_ = cmd.Process.Kill()
			}
			if !asked {
				asked = true
				go func() { answers <- s.ask(ctx) }()
			}
		}
	}
}

func (s *supervisor) ask(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Healthz, nil)
	if err != nil {
		return false
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return false
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<10))
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// pause waits, turning, and tells whether the time was over before the context was.
func (s *supervisor) pause(ctx context.Context, d time.Duration, why string) bool {
	over := time.NewTimer(d)
	defer over.Stop()
	tick := time.NewTicker(s.Timing.Probe)
	defer tick.Stop()
	for {
		s.turn(why)
		select {
		case <-ctx.Done():
			return false
		case <-over.C:
			return true
		case <-tick.C:
		}
	}
}

func (s *supervisor) turn(state string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turned, s.state = time.Now(), state
}

// handler is the container's liveness: the supervisor's own loop. What it says of the daemon is for people; a daemon
// that hangs is the supervisor's business, and costs no container.
func (s *supervisor) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		turned, state := s.turned, s.state
		s.mu.Unlock()
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		if time.Since(turned) > 10*s.Timing.Probe {
			w.WriteHeader(http.StatusServiceUnavailable)
			state = "not turning"
		}
		_, _ = fmt.Fprintln(w, state)
	})
	return mux
}
