package admin

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// adminListener is the admin API's socket. The lock beside it is held as long as
// this process lives, however it ends; the socket is taken away at a clean end only
// while it is still ours.
type adminListener struct {
	*net.UnixListener
	path string
	made os.FileInfo
	lock *os.File
	once sync.Once
}

// listenAdmin makes the admin API's socket, mode 0660, and holds a lock beside it
// (PATH.lock), so that of two daemons one has it and keeps it. What is there without
// a lock is a dead daemon's, or one's of 7535bfe, which holds none: only where nobody
// listens any more is it replaced. A queue that is full has a daemon behind it.
func listenAdmin(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("admin-socket: %w", err)
	}
	lock, err := lockSocket(path)
	if err != nil {
		return nil, err
	}
	l, err := replaceSocket(path)
	if err != nil {
		_ = lock.Close()
		return nil, err
	}
	l.lock = lock
	return l, nil
}

// lockSocket takes the lock. The file stays where it is when the lock is given back:
// to take it away would let two daemons hold one each.
func lockSocket(path string) (*os.File, error) {
	lock, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("admin-socket: %w", err)
	}
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return lock, nil
	}
	_ = lock.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("admin-socket %s: another daemon holds its lock %s.lock; stop it or give another path", path, path)
	}
	return nil, fmt.Errorf("admin-socket: lock %s.lock: %w", path, err)
}

func replaceSocket(path string) (*adminListener, error) {
	if st, err := os.Lstat(path); err == nil && st.Mode()&os.ModeSocket == 0 {
		return nil, fmt.Errorf("admin-socket %s: there is something that is no socket; give another path", path)
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		_ = c.Close()
		return nil, fmt.Errorf("admin-socket %s: another daemon answers there; stop it or give another path", path)
	case !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, fs.ErrNotExist):
		// EAGAIN is a full queue: its daemon hangs, or stood still for a while.
		return nil, fmt.Errorf("admin-socket %s: somebody listens there and cannot be reached now (%w); stop that daemon or give another path", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("admin-socket: %w", err)
	}
	u, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("admin-socket %s: %w", path, err)
	}
	u.SetUnlinkOnClose(false)
	l := &adminListener{UnixListener: u, path: path}
	err = os.Chmod(path, 0o660)
	if err == nil {
		l.made, err = os.Lstat(path)
	}
	if err != nil {
		_ = u.Close()
		return nil, fmt.Errorf("admin-socket: %w", err)
	}
	return l, nil
}

// Close ends it: first the path, so that whoever comes next finds none, then the
// lock. A second time it does nothing.
func (l *adminListener) Close() error {
	var err error
	l.once.Do(func() {
		if now, serr := os.Lstat(l.path); serr == nil && os.SameFile(now, l.made) {
			_ = os.Remove(l.path)
		}
		err = l.UnixListener.Close()
		_ = l.lock.Close()
	})
	return err
}

// Accept returns a connection whose remote address says who is there.
func (l *adminListener) Accept() (net.Conn, error) {
	c, err := l.AcceptUnix()
	if err != nil {
		return nil, err
	}
	return &adminConn{UnixConn: c, peer: peerOf(c)}, nil
}

// adminConn gives net/http what a unix socket has instead of a remote address: who
// opened the connection, as the kernel says it.
type adminConn struct {
	*net.UnixConn
	peer peer
}

// RemoteAddr is the peer.
func (c *adminConn) RemoteAddr() net.Addr { return c.peer }

// peer is the user of a process at the other end, "ana (uid 1000)", "" where the
// kernel does not say.
type peer string

// Network is that of the socket.
func (peer) Network() string { return "unix" }

func (p peer) String() string { return string(p) }

// peerOf asks the kernel for who opened the connection (SO_PEERCRED, unix(7)): the
// effective user at that moment, which nobody can claim to be. In another user
// namespace than ours it is the overflow user, "nobody".
func peerOf(c *net.UnixConn) peer {
	raw, err := c.SyscallConn()
	if err != nil {
		return ""
	}
	var cred *syscall.Ucred
	cerr := raw.Control(func(fd uintptr) {
		cred, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if cerr != nil || err != nil {
		return ""
	}
	uid := strconv.FormatUint(uint64(cred.Uid), 10)
	u, err := user.LookupId(uid)
	if err != nil {
		return peer("uid " + uid) // a user of another container, or none
	}
	return peer(u.Username + " (uid " + uid + ")")
}
