package web

import (
	"os"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
	"github.com/haproxy-peers/haproxy-peers/e2e/stack"
)

// scene is a stack, and a browser that looks at the page of px0.
type scene struct {
	*stack.Stack
	*browser
	base string
}

func (s *scene) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// newStack starts three databases, proxies and daemons.
func newStack(t *testing.T) *stack.Stack {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := lab.Requirements(lab.Config{}); err != nil {
		t.Skip(err)
	}
	haproxyd, haproxyctl, err := lab.Build(t.Context(), t.TempDir())
	must(err)
	l, err := lab.New(t.Context(), lab.Config{Haproxyd: haproxyd, Haproxyctl: haproxyctl})
	must(err)
	t.Cleanup(func() {
		if folder := os.Getenv("E2E_LOGS"); t.Failed() && folder != "" {
			_ = l.SaveLogs(folder)
		}
		_ = l.Close()
	})
	s, err := stack.Up(t.Context(), l, stack.Options{CheckInterval: time.Second, DaemonArgs: []string{"--max-auto-moves", "0", "--min-stay", "1s"}})
	must(err)
	return s
}

// active is who takes the writes, by what px0 says.
func (s *scene) active() *lab.Node {
	s.t.Helper()
	a, err := s.Active(s.ctx, s.PX[0])
	s.must(err)
	n := s.Node(a.Active)
	if n == nil {
		s.t.Fatalf("no active: %+v", a)
	}
	return n
}

// One page, loaded once, through a failover, a move with hold, a loss of the majority, and its own daemon's end: it
// says at each moment what is so, asks nobody else, and says so itself when it is not fresh.
func TestPage(t *testing.T) {
	s := &scene{Stack: newStack(t), base: "http://127.0.0.1:9105/"}
	s.browser = newBrowser(t, s.PX[0].Host)
	load, err := s.StartLoad(s.ctx, lab.LoadConfig{Clients: 2})
	s.must(err)
	first := s.active()
	s.shape(1200, 900, "light")
	run(s.browser, chromedp.Navigate(s.base))
	s.waits(10*time.Second, "header", "OK")
	s.waits(time.Second, ".taker", first.Name)
	s.fits()
	s.picture("well")

	first.Kill9()
	s.waits(15*time.Second, "header", "DEGRADED", first.Name)
	next := s.active()
	if next == first {
		t.Fatal("there was no failover")
	}
	s.waits(5*time.Second, ".taker", next.Name)
	s.waits(2*time.Second, "ol.entries", "failover: "+first.Name+" → "+next.Name)
	s.waits(2*time.Second, "section", "it is down", "not eligible", "no node commits for about")
	s.picture("failover")
	s.shape(1200, 900, "dark")
	s.picture("failover-dark")
	s.shape(390, 844, "light")
	s.fits()
	s.picture("failover-phone")
	s.shape(1200, 900, "light")
	s.must(first.Start(s.ctx))
	s.waits(20*time.Second, "header", "OK")

	// The HAProxies' own checks come up later than the vote does.
	for deadline := time.Now().Add(20 * time.Second); ; lab.Sleep(s.ctx, 200*time.Millisecond) {
		if _, err := s.Set(s.ctx, s.PX[0], first.Name, "--dry-run"); err == nil {
			break
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	busy, err := s.OpenSession(s.ctx, s.PX[1], lab.InTransaction)
	s.must(err)
	move, err := s.PX[0].Daemon.StartCtl("active", "set", first.Name, "--drain", "transactions", "--hold", "--max-hold", "5s", "--timeout", "30s")
	s.must(err)
	s.waits(5*time.Second, ".move", "under way", "in a transaction", "wait")
	s.waits(time.Second, "#h-move", "Move from "+next.Name+" to "+first.Name)
	s.picture("move")
	busy.Close()
	if status, err := move.ExitStatus(s.ctx); err != nil || status != 0 {
		t.Fatalf("the move: %d, %v: %s", status, err, move.LogTail(2000))
	}
	s.waits(5*time.Second, ".move", "done")
	s.waits(5*time.Second, ".taker", first.Name)

	for _, p := range s.PX[1:] {
		p.Daemon.Kill9()
	}
	s.waits(10*time.Second, "dl", "no: HAProxy works by itself")
	s.waits(time.Second, ".problems", "majority")
	s.picture("no-majority")
	for _, p := range s.PX[1:] {
		s.must(p.Daemon.StartAgain())
	}
	s.waits(20*time.Second, "header", "OK")

	s.PX[0].Daemon.Kill9()
	s.waits(8*time.Second, "#stale:not([hidden])", "not fresh")
	s.picture("stale")
	s.must(s.PX[0].Daemon.StartAgain())
	s.gone(20*time.Second, "#stale:not([hidden])") // what is stale still stands there until then
	s.waits(20*time.Second, "dl", "by a majority of the voters")
	load.Stop()
	s.asksNobodyElse(s.base)

	// Without its script it is whole.
	call(s.browser, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	run(s.browser, chromedp.Navigate(s.base))
	s.waits(time.Second, ".taker", first.Name)
	s.waits(time.Second, "ol.entries", "failover")
}
