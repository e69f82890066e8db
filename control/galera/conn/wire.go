package conn

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// slice is the longest single wait for the node. Between slices the wire checks
	// that this process was running.
	slice = 200 * time.Millisecond
	// lateness is by how much a wait may overrun before it counts as a pause of this
	// process and not as the node's silence. A loaded machine is late by tens of
	// milliseconds.
	lateness = 100 * time.Millisecond
	// grace is the extra wait after such a pause: what the node sent meanwhile lies in
	// the socket and is read at once.
	grace = 20 * time.Millisecond
	// answerRoom is how many bytes of an exchange are read, TLS's own among them. A login
	// has less than 10 KiB, with a long chain of certificates; a probe's answer 1 KiB.
	answerRoom = 128 << 10
)

// Exchange is a question and its answer on a connection.
type Exchange struct {
	// Left is what is left of the budget, in time during which this process was running.
	Left time.Duration
	// Room is how many bytes the node may still say.
	Room int
	// Silent, if set, is called after each slice (0.2 s) without an answer, in later exchanges
	// too, and Answered once, with the first bytes of an answer.
	Silent, Answered func()
}

// wire is the connection to a node, under the driver.
//
// Its deadline is a budget for a whole exchange, not for one packet, and only
// time in which this process was running is taken off it. A plain deadline would
// call a node hung whenever the daemon was stopped (SIGSTOP, a paused
// container, a starved CPU) past it: on waking both the timer and the answer are
// there, and Go's net package gives the timer precedence.
//
// It also keeps the cause of a failure, which the driver replaces with
// mysql.ErrInvalidConn.
type wire struct {
	net.Conn
	Exchange
	raw     syscall.RawConn
	now     func() time.Time
	err     error // the last failure
	peeked  [1]byte
	look    func(fd uintptr) bool // peek, bound once
	stopped atomic.Bool
}

func newWire(conn *net.TCPConn) (*wire, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	w := &wire{Conn: conn, raw: raw, now: time.Now}
	w.look = w.peek
	return w, nil
}

// begin starts an exchange that may take budget, with an answer of answerRoom bytes.
func (w *wire) begin(budget time.Duration) {
	w.Left, w.Room, w.err = budget, answerRoom, nil
}

// Read is net.Conn's, within the budget and the room. Its error is
// os.ErrDeadlineExceeded when the node was silent for the budget, ErrOwnPause when that
// cannot be told, and wraps ErrProtocol when the node says more than it may.
func (w *wire) Read(b []byte) (int, error) {
	if w.Room <= 0 {
		return 0, fmt.Errorf("%w: the answer has no end", ErrProtocol)
	}
	n, err := w.read(b[:min(len(b), w.Room)])
	w.Room -= n
	if n > 0 && w.Answered != nil {
		w.Answered()
		w.Answered = nil
	}
	return n, err
}

func (w *wire) read(b []byte) (int, error) {
	if w.Left <= 0 {
		return 0, w.failed(os.ErrDeadlineExceeded)
	}
	for last := false; ; {
		wait := min(w.Left, slice)
		if last {
			wait = grace
		}
		began := w.now()
		if err := w.SetReadDeadline(began.Add(wait)); err != nil {
			return 0, w.failed(err)
		}
		if w.stopped.Load() {
			return 0, w.failed(net.ErrClosed)
		}
		n, err := w.Conn.Read(b)
		took := w.now().Sub(began)
		paused := took > wait+lateness
		if paused {
			took = wait
		}
		w.Left -= took
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, w.failed(err)
		}
		switch {
		case w.Left > 0:
			if w.Silent != nil && !paused {
				w.Silent()
			}
		case !paused:
			return 0, w.failed(os.ErrDeadlineExceeded)
		case last:
			return 0, w.failed(ErrOwnPause)
		default:
			last = true
		}
	}
}

// Write is net.Conn's, within the budget. The probe's requests fit into the
// socket's buffer, so a write that blocks is a broken connection.
func (w *wire) Write(b []byte) (int, error) {
	if err := w.SetWriteDeadline(w.now().Add(max(w.Left, grace))); err != nil {
		return 0, w.failed(err)
	}
	began := w.now()
	n, err := w.Conn.Write(b)
	if took := w.now().Sub(began); took < w.Left+lateness {
		w.Left -= took
	}
	return n, w.failed(err)
}

func (w *wire) failed(err error) error {
	if err != nil {
		w.err = err
	}
	return err
}

// rest waits for d, and less if the node closes the connection or sends
// something unasked (which servers do before they close). This is how the crash
// of a process is seen when the kernel closes its connections, and not at the
// next probe. What happened is found by that probe.
func (w *wire) rest(d time.Duration) {
	if w.SetReadDeadline(w.now().Add(d)) == nil && !w.stopped.Load() {
		_ = w.raw.Read(w.look)
	}
}

// stop makes a Read or rest that waits, and every later one, return at once. It may
// be called from any goroutine: they set their deadline before they look at
// stopped, so one of the two is noticed.
func (w *wire) stop() {
	w.stopped.Store(true)
	_ = w.SetReadDeadline(time.Unix(1, 0))
}

// peek looks whether there is something to read without taking it.
func (w *wire) peek(fd uintptr) (done bool) {
	_, _, err := unix.Recvfrom(int(fd), w.peeked[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	return !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR)
}
