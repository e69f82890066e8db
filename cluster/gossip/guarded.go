package gossip

import (
	"net"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// guarded is the transport that memberlist gets: its streams have been read and
// checked. Datagrams are, by the same guard, where they are received.
type guarded struct {
	memberlist.NodeAwareTransport
	streams *streamGuard
	out     chan net.Conn
	closed  chan struct{}
	once    sync.Once
	wg      sync.WaitGroup
}

// guardStreams puts g over a transport. timeout bounds the reading of a stream.
func guardStreams(over memberlist.NodeAwareTransport, g *guard, timeout time.Duration) *guarded {
	t := &guarded{
		NodeAwareTransport: over, streams: newStreamGuard(g, timeout),
		out: make(chan net.Conn), closed: make(chan struct{}),
	}
	t.wg.Go(t.accept)
	return t
}

func (t *guarded) accept() {
	for {
		select {
		case <-t.closed:
			return
		case conn := <-t.NodeAwareTransport.StreamCh():
			if v := t.streams.admit(conn); v != nil {
				t.wg.Go(func() { t.streams.accepted(v, t.out, t.closed) })
			}
		}
	}
}

// StreamCh returns the streams whose message has come.
func (t *guarded) StreamCh() <-chan net.Conn { return t.out }

// DialAddressTimeout opens a stream.
func (t *guarded) DialAddressTimeout(to memberlist.Address, timeout time.Duration) (net.Conn, error) {
	conn, err := t.NodeAwareTransport.DialAddressTimeout(to, timeout)
	if err != nil {
		return nil, err
	}
	return t.streams.dial(conn, timeout)
}

// DialTimeout opens a stream.
func (t *guarded) DialTimeout(address string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: address}, timeout)
}

// Shutdown ends what is being read and closes the sockets.
func (t *guarded) Shutdown() (err error) {
	t.once.Do(func() {
		close(t.closed)
		t.streams.close()
		err = t.NodeAwareTransport.Shutdown()
		t.wg.Wait()
	})
	return err
}
