package serving

import (
	"bytes"
	"container/list"
	"context"
	"errors"
	"net"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// lobby is a listener in which connections wait until the header of their request
// has come whole. One that waits there costs a file descriptor and some hundred
// bytes, and neither a goroutine nor a buffer: to let one in and put it out again
// takes a fifth of what it would take to serve it, and a flood of them is over
// before it is felt.
type lobby struct {
	net.Listener
	options *Options
	// The listener and the epoll instance of those that wait, for the runtime's poller.
	listener, epoll *os.File
	ready           chan net.Conn
	open            context.Context // until Close
	end             context.CancelFunc
	once            sync.Once
	wg              sync.WaitGroup

	mu      sync.Mutex   // guards what follows
	waiting [2]list.List // of *sitter, by class; who has waited longest is first
	sitters map[int]*sitter
	swept   bool // somebody is going to look for those whose time is over
	peek    []byte
}

// sitter is a connection that waits.
type sitter struct {
	fd    int
	class int
	place *list.Element
	since time.Time
}

// newLobby takes a listener over.
func newLobby(l net.Listener, o *Options) (*lobby, error) {
	var f interface{ File() (*os.File, error) }
	switch k := l.(type) { // not what embeds one and has an Accept of its own
	case *net.TCPListener:
		f = k
	case *net.UnixListener:
		f = k
	default:
		return nil, errors.New("not a listener of the kernel's")
	}
	listener, err := f.File() // another descriptor: the net package lends its own to nobody
	if err != nil {
		return nil, err
	}
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err == nil {
		err = unix.SetNonblock(fd, true) // which tells os.NewFile to use the poller
	}
	if err != nil {
		_ = listener.Close()
		return nil, err
	}
	b := &lobby{
		Listener: l, options: o,
		listener: listener, epoll: os.NewFile(uintptr(fd), "epoll"), //nolint:gosec // a descriptor is not negative
		ready: make(chan net.Conn), sitters: map[int]*sitter{}, peek: make([]byte, 2*maxHeader),
	}
	b.open, b.end = context.WithCancel(context.Background())
	b.wg.Go(b.admit)
	b.wg.Go(b.watch)
	return b, nil
}

// Accept returns the next connection whose request can be read.
func (b *lobby) Accept() (net.Conn, error) {
	select {
	case c := <-b.ready:
		return c, nil
	case <-b.open.Done():
		return nil, net.ErrClosed
	}
}

// Close ends those that wait, too.
func (b *lobby) Close() error {
	err := net.ErrClosed
	b.once.Do(func() {
		b.end()
		err = errors.Join(b.Listener.Close(), b.listener.Close(), b.epoll.Close())
		b.wg.Wait()
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, s := range b.sitters {
			b.leaveLocked(s)
		}
	})
	return err
}

// atOnce is how many connections are taken before others get the processor.
const atOnce = 16

// admit takes what the kernel has accepted.
func (b *lobby) admit() {
	raw, err := b.listener.SyscallConn()
	for err == nil && b.open.Err() == nil {
		var failed error
		var news [atOnce]sitter
		n := 0
		err = raw.Read(func(fd uintptr) bool {
			for n < atOnce {
				c, from, e := unix.Accept4(int(fd), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC) //nolint:gosec // a descriptor is small
				switch {
				case e == nil:
					news[n] = sitter{fd: c, class: classOfSockaddr(from)}
					n++
				case errors.Is(e, unix.EAGAIN):
					return n > 0
				case !errors.Is(e, unix.ECONNABORTED) && !errors.Is(e, unix.EINTR):
					failed = e
					return true
				}
			}
			return true
		})
		now := time.Now()
		for i := range n {
			b.seat(news[i], now)
		}
		runtime.Gosched()
		if failed != nil && b.open.Err() == nil {
			// No descriptors, or no memory: it passes, and must not take a whole processor.
			b.options.Log.Warn("a connection cannot be accepted", "at", b.Addr().String(), "error", failed)
			select {
			case <-b.open.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
}

// seat lets a connection wait, in the place of the one that has waited longest where
// there is none.
func (b *lobby) seat(s sitter, now time.Time) {
	b.mu.Lock()
	whole, over := b.lookLocked(s.fd)
	if whole || over {
		b.mu.Unlock()
		if over {
			_ = unix.Close(s.fd)
			return
		}
		b.promote(s.fd)
		return
	}
	defer b.mu.Unlock()
	l := &b.waiting[s.class]
	if l.Len() >= 2*b.options.Conns {
		first := l.Front().Value.(*sitter) //nolint:forcetypeassert // nothing else is in it
		// Without a word, so that the kernel keeps nothing of it either.
		_ = unix.SetsockoptLinger(first.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		b.leaveLocked(first)
	}
	s.since = now
	s.place = l.PushBack(&s)
	b.sitters[s.fd] = &s
	// Edge-triggered: what was looked at is not told of again. What has come meanwhile is.
	e := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(s.fd)} //nolint:gosec // a descriptor is small
	var err error
	if cerr := b.control(func(fd int) { err = unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, s.fd, &e) }); cerr != nil || err != nil {
		b.leaveLocked(&s)
		return
	}
	if !b.swept {
		b.swept = true
		time.AfterFunc(b.options.ReadWithin, b.sweep)
	}
}

// control calls f with the epoll instance's descriptor.
func (b *lobby) control(f func(fd int)) error {
	raw, err := b.epoll.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(func(fd uintptr) { f(int(fd)) }) //nolint:gosec // a descriptor is small
}

// leaveLocked ends a connection that waits. The mutex also keeps
// the descriptor from being another's while it is looked at.
func (b *lobby) leaveLocked(s *sitter) {
	b.takeLocked(s)
	_ = unix.Close(s.fd)
}

// takeLocked takes it out.
func (b *lobby) takeLocked(s *sitter) {
	b.waiting[s.class].Remove(s.place)
	delete(b.sitters, s.fd)
}

// lookLocked tells whether a header is there whole, or nothing can come of the connection
// any more.
func (b *lobby) lookLocked(fd int) (whole, over bool) {
	n, _, err := unix.Recvfrom(fd, b.peek, unix.MSG_PEEK|unix.MSG_DONTWAIT)
	switch {
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
		return false, false
	case err != nil || n == 0:
		return false, true
	case n == len(b.peek):
		return true, false // too large: net/http says so
	}
	head := b.peek[:n]
	return bytes.Contains(head, []byte("\r\n\r\n")) || bytes.Contains(head, []byte("\n\n")), false
}

// watch takes those out whose header has come.
func (b *lobby) watch() {
	raw, err := b.epoll.SyscallConn()
	var events [64]unix.EpollEvent
	for err == nil && b.open.Err() == nil {
		n := 0
		err = raw.Read(func(fd uintptr) bool {
			n, _ = unix.EpollWait(int(fd), events[:], 0) //nolint:gosec // a descriptor is small
			return n > 0
		})
		for _, e := range events[:max(n, 0)] {
			fd := int(e.Fd)
			b.mu.Lock()
			s, whole := b.sitters[fd], false
			if s != nil {
				var over bool
				if whole, over = b.lookLocked(fd); over {
					b.leaveLocked(s)
				} else if whole {
					b.takeLocked(s)
					// Of the epoll instance too: the descriptor is going to have a copy.
					_ = b.control(func(ep int) { _ = unix.EpollCtl(ep, unix.EPOLL_CTL_DEL, fd, nil) })
				}
			}
			b.mu.Unlock()
			if whole {
				b.promote(fd)
			}
		}
		runtime.Gosched()
	}
}

// promote hands a connection over to be served.
func (b *lobby) promote(fd int) {
	f := os.NewFile(uintptr(fd), "connection") //nolint:gosec // a descriptor is not negative
	c, err := net.FileConn(f)
	_ = f.Close() // the connection has a copy
	if err != nil {
		return // it has ended meanwhile
	}
	select {
	case b.ready <- c:
	case <-b.open.Done():
		_ = c.Close()
	}
}

// sweep ends those whose time is over.
func (b *lobby) sweep() {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for i := range b.waiting {
		for l := &b.waiting[i]; l.Len() > 0; {
			s := l.Front().Value.(*sitter) //nolint:forcetypeassert // nothing else is in it
			if now.Sub(s.since) < b.options.ReadWithin {
				break
			}
			b.leaveLocked(s)
		}
	}
	b.swept = len(b.sitters) > 0 && b.open.Err() == nil
	if b.swept {
		time.AfterFunc(max(b.options.ReadWithin/4, 10*time.Millisecond), b.sweep)
	}
}

func classOfSockaddr(a unix.Sockaddr) int {
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		return classOf(&net.TCPAddr{IP: a.Addr[:]})
	case *unix.SockaddrInet6:
		return classOf(&net.TCPAddr{IP: a.Addr[:]})
	}
	return here
}
