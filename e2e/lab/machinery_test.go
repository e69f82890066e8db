package lab_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

// relay is a configuration that takes connections on 3306 to a server. A second port for another.
func relay(p *lab.Proxy, servers ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "global\n\tstats socket %s mode 600 level admin\ndefaults\n\tmode tcp\n\ttimeout connect 5s\n"+
		"\ttimeout client 1m\n\ttimeout server 1m\n\tretries 0\n", p.AdminSocket)
	for i, server := range servers {
		fmt.Fprintf(&b, "listen l%d\n\tbind %s:%d\n\tserver s %s\n", i, p.IP, 4000+i, server)
	}
	return b.String()
}

// TestBreach compares connections that HAProxy makes with those that something in the daemon's place makes, from the
// same host to the same address, under each kind of breach.
func TestBreach(t *testing.T) {
	// A daemon in whose place a second HAProxy relays from port 5000: it has the daemon's group.
	daemon := filepath.Join(t.TempDir(), "haproxyd")
	must(t, os.WriteFile(daemon, []byte("#!/bin/sh\nexec haproxy -db -f \"$1\"\n"), 0o755))
	ctx, l := newLab(t, lab.Config{NetworkOnly: true, Nodes: 2, Proxies: 2, Haproxyd: daemon})
	p, db, other := l.PX[0], l.DB[0].Host, l.DB[1].Host
	target, bystander := listen(t, db, 3306), listen(t, other, 3306)
	must(t, p.Start(ctx, lab.HAProxyOptions{Config: relay(p, target, bystander)}))
	second := filepath.Join(p.Dir, "second.cfg")
	text := strings.NewReplacer(":400", ":500", p.AdminSocket, p.AdminSocket+"2").Replace(relay(p, target, bystander))
	must(t, os.WriteFile(second, []byte(text), 0o644))
	must(t, p.Daemon.Start(lab.DaemonOptions{Args: []string{second}}))
	through := func(port int) string { return fmt.Sprintf("%s:%d", p.IP, port) }
	for c, err := dial(ctx, l.Client, through(5000)); ; c, err = dial(ctx, l.Client, through(5000)) {
		if err == nil {
			_ = c.Close()
			break
		}
		if ctx.Err() != nil || !p.Daemon.Running() {
			t.Fatal(err, p.Daemon.Process().LogTail(1000))
		}
	}

	const well, hangs, ends = "well", "hangs", "ends"
	// use tells how it goes with a connection.
	use := func(conn net.Conn, err error) string {
		if err == nil {
			err = echo(conn)
		}
		var timed net.Error
		switch {
		case err == nil:
			return well
		case errors.As(err, &timed) && timed.Timeout():
			return hangs
		default:
			return ends
		}
	}
	for _, test := range []struct {
		name            string
		breach          lab.Breach
		haproxy, daemon string
	}{
		{"drop HAProxy's", lab.Breach{Of: lab.OfHAProxy}, hangs, well},
		{"drop the daemon's", lab.Breach{Of: lab.OfDaemon}, well, hangs},
		{"drop everybody's", lab.Breach{}, hangs, hangs},
		{"reject HAProxy's", lab.Breach{Of: lab.OfHAProxy, Reject: true}, ends, well},
		{"reject the daemon's", lab.Breach{Of: lab.OfDaemon, Reject: true, Port: 3306}, well, ends},
		{"reject everybody's", lab.Breach{Reject: true, Only: lab.There}, ends, ends},
		{"drop HAProxy's there", lab.Breach{Of: lab.OfHAProxy, Only: lab.There, Port: 3306}, hangs, well},
		{"drop HAProxy's back", lab.Breach{Of: lab.OfHAProxy, Only: lab.Back}, hangs, well},
		{"drop the daemon's back", lab.Breach{Of: lab.OfDaemon, Only: lab.Back, Port: 3306}, well, hangs},
		{"drop everybody's back", lab.Breach{Only: lab.Back}, hangs, hangs},
		{"another port", lab.Breach{Port: 3307}, well, well},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.breach.From, test.breach.To = p.Host, db
			type side struct {
				port int
				want string
				old  net.Conn
			}
			sides := []*side{{port: 4000, want: test.haproxy}, {port: 5000, want: test.daemon}}
			for _, s := range sides {
				var err error
				s.old, err = dial(ctx, l.Client, through(s.port))
				must(t, err)
				defer s.old.Close()
				must(t, echo(s.old))
			}
			fault, err := l.Breach(ctx, test.breach)
			must(t, err)
			for _, s := range sides {
				if got := use(s.old, nil); got != s.want {
					t.Errorf("port %d: a connection from before %s, want %s", s.port, got, s.want)
				}
				conn, err := dial(ctx, l.Client, through(s.port))
				if got := use(conn, err); got != s.want {
					t.Errorf("port %d: a new connection %s, want %s", s.port, got, s.want)
				}
				conn, err = dial(ctx, l.Client, through(s.port+1))
				if got := use(conn, err); got != well {
					t.Errorf("port %d: a connection to another host %s", s.port, got)
				}
			}
			must(t, fault.Undo(ctx))
			for _, s := range sides {
				conn, err := dial(ctx, l.Client, through(s.port))
				if got := use(conn, err); got != well {
					t.Errorf("port %d: after the breach %s", s.port, got)
				}
			}
		})
	}
	for _, wrong := range []lab.Breach{{}, {From: db, To: other, Of: lab.OfDaemon}, {From: p.Host, To: db, Of: 7},
		{From: p.Host, To: db, Reject: true, Only: lab.Back}, {From: p.Host, To: db, Port: -1}} {
		if _, err := l.Breach(ctx, wrong); err == nil {
			t.Errorf("accepted: %+v", wrong)
		}
	}
	_, err := l.Breach(ctx, lab.Breach{From: p.Host, To: db})
	must(t, err)
	must(t, l.Reset(ctx))
	if rules, err := p.Run(ctx, "iptables-save"); err != nil || strings.Contains(rules.Stdout, "-A ") {
		t.Errorf("rules after Reset: %v %s", err, rules.Stdout)
	}
}

// until waits for a condition.
func until(ctx context.Context, t *testing.T, what string, done func() bool) {
	t.Helper()
	for !done() {
		if ctx.Err() != nil {
			t.Fatalf("%s: %v", what, ctx.Err())
		}
		wait(t, time.Millisecond)
	}
}

// TestSteps stops programs with the step hook at their step, kills one there and lets the others go.
func TestSteps(t *testing.T) {
	ctx, l := newLab(t, lab.Config{NetworkOnly: true, Nodes: 1})
	caller := filepath.Join(t.TempDir(), "caller")
	_, err := output("go", "build", "-tags", lab.StepsTag, "-o", caller, "../../control/step/testdata/caller")
	must(t, err)
	start := func() {
		t.Helper()
		for _, p := range l.PX {
			must(t, p.Daemon.Start(lab.DaemonOptions{Binary: caller}))
		}
	}
	ended := func() (n int) {
		for _, p := range l.PX {
			if !p.Daemon.Running() {
				n++
			}
		}
		return n
	}
	must(t, l.StopAt("middle"))
	start()
	must(t, l.WaitReached(ctx, "middle"))
	must(t, l.WaitReached(ctx, "middle", "px0", "px1", "px2"))
	if n := ended(); n != 0 || l.Reached("middle", "ctl") || l.Reached("end", "px0") {
		t.Errorf("%d passed the step", n)
	}
	l.PX[1].Daemon.Kill9()
	must(t, l.LetGo("middle"))
	must(t, l.LetGo("middle")) // a second time does nothing
	until(ctx, t, "the end of all", func() bool { return ended() == 3 })
	if out := l.PX[0].Daemon.Process().LogTail(100) + l.PX[1].Daemon.Process().LogTail(100); out != "passed" {
		t.Errorf("output %q", out)
	}
	must(t, l.StopAt("middle"))
	if l.Reached("middle", "px0") {
		t.Error("a step reached before StopAt is remembered")
	}
	start()
	must(t, l.WaitReached(ctx, "middle", "px2"))
	must(t, l.Reset(ctx))
	start()
	until(ctx, t, "the end of all after Reset", func() bool { return ended() == 3 })
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if err := l.WaitReached(short, "never", "px0"); err == nil || !strings.Contains(err.Error(), "px0 has not come to it") {
		t.Errorf("a step that nobody reaches: %v", err)
	}
}

// TestSupervise kills daemons and HAProxies that are supervised.
func TestSupervise(t *testing.T) {
	const after = 200 * time.Millisecond
	daemon := filepath.Join(t.TempDir(), "haproxyd")
	must(t, os.WriteFile(daemon, []byte("#!/bin/sh\nexec sleep 1000\n"), 0o755))
	ctx, l := newLab(t, lab.Config{NetworkOnly: true, Haproxyd: daemon, Haproxyctl: daemon})
	p := l.PX[0]
	options := lab.HAProxyOptions{Config: l.StickyConfig(p, lab.Sticky{})}
	must(t, p.Start(ctx, options))
	must(t, p.Daemon.Start(lab.DaemonOptions{}))
	p.Supervise(after)
	end := p.Daemon.Supervise(after)
	for range 2 {
		begin := time.Now()
		pid := p.Daemon.Process().Pid
		p.Daemon.Kill9()
		until(ctx, t, "the daemon's return", func() bool { return p.Daemon.Process().Pid != pid })
		if took := time.Since(begin); took < after || took > after+time.Second {
			t.Errorf("the daemon was started again after %v", took)
		}
		begin = time.Now()
		p.Kill9()
		until(ctx, t, "the HAProxy's return", func() bool { _, err := p.Pid(ctx); return err == nil })
		if took := time.Since(begin); took < after || took > after+time.Second {
			t.Errorf("the HAProxy was started again after %v", took)
		}
		// A reload is no end: the newest process serves.
		must(t, p.Reload(ctx, ""))
	}
	end()
	p.Daemon.Kill9()
	wait(t, 2*after)
	if p.Daemon.Running() {
		t.Error("the daemon was started again after the end of the supervision")
	}
	ctl, err := p.Daemon.StartCtl("active", "set", "db1")
	must(t, err)
	if err := ctl.Signal(syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	if status, err := ctl.ExitStatus(ctx); err != nil || status != -1 {
		t.Errorf("exit %d %v", status, err)
	}
	must(t, l.Reset(ctx))
	wait(t, 2*after)
	if p.Running() {
		t.Error("the HAProxy was started again after Reset")
	}
}

func output(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return string(out), err
}

// TestBuildWith builds the daemon with the hook's tag.
func TestBuildWith(t *testing.T) {
	if testing.Short() {
		t.Skip("builds programs")
	}
	haproxyd, haproxyctl, err := lab.BuildWith(t.Context(), t.TempDir(), lab.StepsTag, "another")
	must(t, err)
	for _, path := range []string{haproxyd, haproxyctl} {
		out, err := output("go", "version", "-m", path)
		must(t, err)
		if !strings.Contains(out, "-tags=steps,another") {
			t.Errorf("%s: %s", path, out)
		}
	}
}
