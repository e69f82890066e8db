package gossip

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
)

func TestRecordedPacketsAreNothingToAnybody(t *testing.T) {
	virtually(t, func(n *sealNet) {
		a, b, c := n.start(hostA, true, key(1)), n.start(hostB, true, key(1)), n.start(hostC, true, key(1))
		for i := range 5 {
			a.send(b, fmt.Sprint("b", i))
			a.send(c, fmt.Sprint("c", i))
			settle()
		}
		attacker, err := n.network.Listen(stranger)
		if err != nil {
			t.Fatal(err)
		}
		replay := func(packets []taken) {
			for _, host := range []string{hostA, hostB, hostC} {
				for _, p := range packets {
					_, _ = attacker.WriteTo(p.b, host)
				}
			}
			settle()
		}
		packets, _ := a.recorded()
		replay(packets)
		_ = a.seal.Shutdown() // a sender that is dead
		replay(packets)
		_ = b.seal.Shutdown() // a receiver that starts again
		again := n.start(hostB, true, key(1))
		replay(packets)
		time.Sleep(time.Minute)
		replay(packets)
		for i := range 5 {
			if x, y := b.count(fmt.Sprint("b", i)), c.count(fmt.Sprint("c", i)); x != 1 || y != 1 {
				t.Errorf("message %d came %d and %d times", i, x, y)
			}
		}
		if len(a.got)+len(again.got) > 0 || len(b.got)+len(c.got) != 10 {
			t.Errorf("the sender got %q, the restarted receiver %q, the others %q and %q", a.got, again.got, b.got, c.got)
		}
	})
}

// A question for one address that is brought to another: were it answered, what
// is meant for the one could be brought to the other.
func TestAQuestionIsAnsweredByWhomItIsFor(t *testing.T) {
	virtually(t, func(n *sealNet) {
		a, b, c := n.start(hostA, true, key(1)), n.start(hostB, true, key(1)), n.start(hostC, true, key(1))
		b.lose = func([]byte, string) bool { return true } // its answer is late
		attacker, err := n.network.Listen(stranger)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			a.send(b, "for b only")
			settle()
			packets, _ := a.recorded()
			for _, p := range packets {
				_, _ = attacker.WriteTo(p.b, hostC)
				_, _ = attacker.WriteTo(p.b, hostA)
			}
			settle()
		}
		if len(c.got)+len(a.got) > 0 {
			t.Errorf("c got %q, a %q", c.got, a.got)
		}
		if p := a.seal.peers[hostB]; p.token != 0 {
			t.Error("another process's answer was taken")
		}
	})
}

// A stream to one member that is brought to another is nothing there. Only who
// joins does not know whom it will meet.
func TestAStreamIsAcceptedByWhomItIsFor(t *testing.T) {
	virtually(t, func(n *sealNet) {
		a, c := n.start(hostA, true, key(1)), n.start(hostC, true, key(1))
		a.detour = hostC
		for name, taken := range map[string]bool{"px1-01234567": false, "": true} {
			read := make(chan string, 1)
			go func() {
				conn := <-c.seal.StreamCh()
				_ = conn.SetDeadline(time.Now().Add(time.Second))
				b := make([]byte, 100)
				n, _ := conn.Read(b)
				_ = conn.Close()
				read <- string(b[:n])
			}()
			conn, err := a.seal.DialAddressTimeout(memberlist.Address{Addr: hostB, Name: name}, time.Second)
			if err == nil {
				_, _ = conn.Write([]byte("xyz")) // no label: it passes as it is
				_ = conn.Close()
			}
			if got := <-read; (got != "") != taken || (err == nil) != taken {
				t.Errorf("named %q: the other read %q; %v", name, got, err)
			}
		}
	})
}

// A packet that never arrived is no use later either.
func TestAPacketHeldBackIsNothingLater(t *testing.T) {
	virtually(t, func(n *sealNet) {
		a, b := n.start(hostA, true, key(1)), n.start(hostB, true, key(1))
		a.send(b, "first")
		settle()
		before, _ := a.recorded()
		a.lose = func([]byte, string) bool { return true }
		a.send(b, "held back")
		a.lose = nil
		packets, _ := a.recorded()
		time.Sleep(2 * tokenFor)
		attacker, err := n.network.Listen(stranger)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range packets[len(before):] {
			_, _ = attacker.WriteTo(p.b, hostB)
		}
		settle()
		if b.count("first") != 1 || b.count("held back") != 0 {
			t.Errorf("got %q", b.got)
		}
	})
}

// Nothing is lost between two that live, however long they live; after a restart
// of either at most what was on its way.
func TestTokensChangeWithoutALoss(t *testing.T) {
	virtually(t, func(n *sealNet) {
		a, b := n.start(hostA, true, key(1)), n.start(hostB, true, key(1))
		sent := 0
		for i := range 1200 { // two minutes, and now and then silence
			a.send(b, "m")
			sent++
			time.Sleep(100 * time.Millisecond)
			if i%200 == 199 {
				time.Sleep(time.Duration(i) * 100 * time.Millisecond)
			}
		}
		a.send(b, "m") // and so it has a token that is new
		sent++
		settle()
		if got := b.count("m"); got != sent {
			t.Errorf("%d of %d came", got, sent)
		}
		time.Sleep(askInterval)
		_ = b.seal.Shutdown()
		b = n.start(hostB, true, key(1))
		for range 10 {
			a.send(b, "again")
			time.Sleep(20 * time.Millisecond)
		}
		settle()
		if got := b.count("again"); got < 8 {
			t.Errorf("%d of 10 came after a restart", got)
		}
	})
}

// A receiver that cannot reach the sender's source address (one behind a relay)
// still learns and teaches tokens: by the addresses that are told to others.
func TestTokensAreLearntBehindARelay(t *testing.T) {
	virtually(t, func(n *sealNet) {
		a, b := n.start(hostA, true, key(1)), n.start(hostB, true, key(1))
		relay, err := n.network.Listen("10.0.0.7:1")
		if err != nil {
			t.Fatal(err)
		}
		// What a sends to b comes from the relay.
		a.lose = func(p []byte, _ string) bool { _, _ = relay.WriteTo(p, hostB); return true }
		for range 600 {
			a.send(b, "m")
			time.Sleep(100 * time.Millisecond)
		}
		settle()
		if got := b.count("m"); got != 600 {
			t.Errorf("%d of 600 came", got)
		}
		// The receiver's next life asks, and so tells of itself.
		_ = b.seal.Shutdown()
		b = n.start(hostB, true, key(1))
		b.send(a, "hello")
		settle()
		a.send(b, "again")
		settle()
		if b.count("again") != 1 || a.count("hello") != 1 {
			t.Errorf("got %q and %q", b.got, a.got)
		}
	})
}

func TestWhatWaitsForATokenIsBounded(t *testing.T) {
	virtually(t, func(n *sealNet) {
		a := n.start(hostA, true, key(1))
		for i := range 3 * maxPeers {
			_, _ = a.seal.WriteToAddress(make([]byte, 1000), memberlist.Address{Addr: fmt.Sprintf("10.1.%d.%d:1", i/250, i%250)})
		}
		if len(a.seal.peers) > maxPeers || len(a.seal.asking) > maxPeers || a.seal.waiting > maxWaiting {
			t.Errorf("%d peers, %d questions, %d packets", len(a.seal.peers), len(a.seal.asking), a.seal.waiting)
		}
		// And those that wait in vain do not keep the others from waiting.
		a = n.start(hostC, true, key(1))
		for i := range maxWaiting + 1 {
			_, _ = a.seal.WriteToAddress(make([]byte, 1000), memberlist.Address{Addr: fmt.Sprintf("10.1.%d.%d:1", i/250, i%250)})
		}
		time.Sleep(2 * waitingFor)
		b := n.start(hostB, true, key(1))
		a.send(b, "now")
		settle()
		if b.count("now") != 1 {
			t.Error("it was not sent")
		}
	})
}

func TestUnsealedIsRefusedOnceAllSeal(t *testing.T) {
	virtually(t, func(n *sealNet) {
		b := n.start(hostB, false, key(1))
		old, err := n.network.Listen(stranger)
		if err != nil {
			t.Fatal(err)
		}
		packet := append([]byte("\xf4\x04test"), 1)
		_, _ = old.WriteTo(packet, hostB)
		settle()
		if b.count(string(packet)) != 1 {
			t.Errorf("got %q", b.got)
		}
		b.seal.strict.Store(true)
		_, _ = old.WriteTo(packet, hostB)
		conn, err := old.DialTimeout(hostB, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = conn.Write(packet) }()
		accepted := <-b.seal.StreamCh()
		if _, err := accepted.Read(make([]byte, 10)); err == nil {
			t.Error("a stream without a seal is taken")
		}
		_ = conn.Close()
		settle()
		if b.count(string(packet)) != 1 {
			t.Errorf("got %q", b.got)
		}
		// Who is a step behind on the way to a key sends without a seal.
		b.seal.mode = EncryptSend
		if b.seal.refusesOld() {
			t.Error("a member that takes plain packets refuses those without a seal")
		}
	})
}

// members of real sockets, each with a tap on it.
func tapped(t *testing.T, file string, taps map[string]*tap) func(*Config) {
	return func(c *Config) {
		host, port, err := splitHostPort(c.Bind)
		if err != nil {
			t.Fatal(err)
		}
		s, err := listen(host, port, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		s.serve(nil)
		p := &tap{NodeAwareTransport: s}
		taps[c.Meta.Name], c.Transport, c.KeyFile = p, p, file
	}
}

// What three daemons have ever said to each other, packets and streams, is
// nothing to any of them when it is said again, nor to their next lives. They
// have not even been told to refuse what is not sealed.
func TestWhatWasEverSaidIsNothingLater(t *testing.T) {
	w := newWorld(t)
	file := filepath.Join(t.TempDir(), "keys")
	writeKeys(t, file, key(1))
	taps := map[string]*tap{}
	all, addrs := trio(w, tapped(t, file, taps))
	large := bytes.Repeat([]byte("large "), 1000)
	for _, from := range all {
		for _, to := range all {
			if from != to {
				from.Send(to.Process(), 1, []byte("small"))
				from.Send(to.Process(), 1, large)
				frame := len(Message{From: from.Process(), Data: make([]byte, 1000)}.encode()) - 1000
				from.Send(to.Process(), 1, make([]byte, from.packetLimit()-frame)) // the largest packet
			}
		}
	}
	w.eventually(5*time.Second, "every message once", func() bool {
		for _, m := range all {
			if len(m.messages()) != 6 {
				return false
			}
		}
		return true
	})
	gone := all[0].Process()
	all[0].stop()
	w.eventually(10*time.Second, "its end to be seen", func() bool { return all[1].live() == 2 && all[2].live() == 2 })
	var packets, streams []taken
	for _, p := range taps {
		ps, ss := p.recorded()
		packets, streams = append(packets, ps...), append(streams, ss...)
	}
	for _, p := range slices.Concat(packets, streams) {
		if len(p.b) > 0 && p.b[0] != sealMagic {
			t.Errorf("something was sent to %s without a seal: % x...", p.to, p.b[:min(len(p.b), 16)])
		}
	}
	largest := 0
	for _, p := range packets {
		largest = max(largest, len(p.b))
	}
	if largest > packetSize || largest < packetSize-packetOverhead {
		t.Errorf("the largest packet has %d bytes, want at most %d and not far from it", largest, packetSize)
	}
	// A receiver that starts again, too.
	all[2].stop()
	restarted := w.start("px2", addrs[2], func(c *Config) { c.KeyFile = file; voter(c) }, addrs...)
	dead := []string{gone, all[2].Process()}
	ghosts := func(m *member) (out []string) {
		for _, o := range m.Members() {
			if o.Live && slices.Contains(dead, o.Process) {
				out = append(out, o.Process)
			}
		}
		return out
	}
	w.eventually(10*time.Second, "two that know each other, and nobody else", func() bool {
		return restarted.live() == 2 && all[1].live() == 2 && ghosts(all[1]) == nil && ghosts(restarted) == nil
	})
	playAgain(t, addrs[1:], packets, streams)
	w.eventually(5*time.Second, "the old streams to be counted", func() bool {
		return all[1].dropped(ReasonReplayed) > 0 && restarted.dropped(ReasonReplayed) > 0
	})
	if n, m := len(all[1].messages()), len(restarted.messages()); n != 6 || m != 0 {
		t.Errorf("px1 has %d messages, want 6; the restarted px2 %d, want none", n, m)
	}
	for _, m := range []*member{all[1], restarted} {
		if g := ghosts(m); g != nil {
			t.Errorf("%q are members again", g)
		}
	}
}

// playAgain sends recorded packets and streams to each of the addresses.
func playAgain(t *testing.T, addresses []string, packets, streams []taken) {
	t.Helper()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	for _, address := range addresses {
		to, err := net.ResolveUDPAddr("udp", address)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range packets {
			_, _ = udp.WriteTo(p.b, to)
			if len(p.b)%8 == 0 {
				time.Sleep(time.Millisecond) // the socket's buffer
			}
		}
		for _, s := range streams {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = conn.Write(s.b)
			_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
			_, _ = bytes.NewBuffer(nil).ReadFrom(conn) // until it is refused
			_ = conn.Close()
		}
	}
}
