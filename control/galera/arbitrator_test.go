package galera

import (
	"encoding/hex"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
)

// garbd is a port at which the recorded handshake of a group port is said, while it speaks.
type garbd struct {
	net.Listener
	mu     sync.Mutex
	silent bool
}

func (g *garbd) set(silent bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.silent = silent
}

func startGarbd(t *testing.T) *garbd {
	t.Helper()
	// Of Galera 26.4.23.
	hello, err := hex.DecodeString("240000022a7a9731000110002bfc01ddecea11f1b985e75f3bc6f0db3c6daaa9ecea11f1b16b56b136a4ea7f")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &garbd{Listener: l}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			g.mu.Lock()
			silent := g.silent
			g.mu.Unlock()
			all.Go(func() {
				if !silent {
					_, _ = c.Write(hello)
				}
				_, _ = c.Read(make([]byte, 1)) // until the other leaves
				_ = c.Close()
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	return g
}

// An arbitrator counts while it speaks, and during a suspicion only if it has spoken since that began.
func TestArbitrators(t *testing.T) {
	g := startGarbd(t)
	p, err := New(Config{Account: conn.Account{User: "probe"}, Arbitrators: []string{g.Addr().String(), "127.0.0.1:1"}, Deadline: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	ctx := t.Context()
	done.Go(func() { p.watchArbitrators(ctx) })
	t.Cleanup(done.Wait)
	hear := func(what string, want string) {
		t.Helper()
		for began := time.Now(); strings.Join(p.Arbitrators(), " ") != want; time.Sleep(time.Millisecond) {
			if time.Since(began) > 10*time.Second {
				t.Fatalf("%s: %q are heard", what, p.Arbitrators())
			}
		}
	}
	hear("at first", g.Addr().String())

	g.set(true)
	dead := &record{NodeStatus: NodeStatus{Node: "pxc-0"}}
	p.mu.Lock()
	p.records = []*record{dead}
	before := dead.Sight.Read("a", netip.MustParseAddrPort("10.0.0.1:3306"))
	dead.Sight = before.Lost()
	p.suspect(dead, before, time.Now())
	p.mu.Unlock()
	if all := p.Arbitrators(); len(all) != 0 {
		t.Errorf("what it said before the suspicion counts: %q", all)
	}
	g.set(false)
	hear("it speaks in the suspicion", g.Addr().String())
	g.set(true)
	hear("it hangs", "")
}
