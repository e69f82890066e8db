package serving

import (
	"net"
	"time"
)

// handshakes is how often somebody may begin one: each takes a millisecond of the processor.
var handshakes = Rate{All: 100, Each: 40}

// Pace is a listener that takes connections at that rate, and ends those beyond it without a word. One address that
// comes too often takes nothing from the others where All is more than Each.
func Pace(l net.Listener, r Rate) net.Listener {
	return &paced{Listener: l, gate: newGate(r)}
}

type paced struct {
	net.Listener
	gate gate
}

// Accept returns the next connection that is not too many.
func (p *paced) Accept() (net.Conn, error) {
	for {
		c, err := p.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if p.gate.pass(Host(c.RemoteAddr().String()), time.Now()) {
			return c, nil
		}
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = c.Close()
	}
}

// Bound is a listener of which at most so many connections of this host, and as many of others, are open at a time: one
// more takes the place of the one that has been open longest.
func Bound(l net.Listener, conns int) net.Listener {
	return &door{Listener: l, crowd: &crowd{max: conns}}
}
