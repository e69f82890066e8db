// Command demo brings up a real three-node Galera cluster, three HAProxies and
// three daemons in network namespaces of this machine, puts clients on them,
// and shows what happens in a move, a crash, restarts and poisoned tables, with
// the figures that the clients saw.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
	"github.com/haproxy-peers/haproxy-peers/e2e/stack"
)

func main() { os.Exit(status()) }

func status() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "demo:", err)
		return 1
	}
	return 0
}

// demo is the stage.
type demo struct {
	*stack.Stack
	load   *lab.Load
	colour bool
	begun  time.Time
}

func run(ctx context.Context) (err error) {
	keep := os.Getenv("KEEP") != ""
	if err := lab.Requirements(lab.Config{}); err != nil {
		return fmt.Errorf("%w; e2e/install-deps.sh installs them", err)
	}
	d := &demo{colour: term.IsTerminal(int(os.Stdout.Fd())) && os.Getenv("NO_COLOR") == "", begun: time.Now()}
	bin, err := os.MkdirTemp("", "haproxy-peers-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(bin)) }()

	d.title("Three Galera nodes, three HAProxies, three daemons")
	haproxyd, haproxyctl, err := lab.Build(ctx, bin)
	if err != nil {
		return err
	}
	l, err := lab.New(ctx, lab.Config{Haproxyd: haproxyd, Haproxyctl: haproxyctl, GaleraDefaults: true})
	if err != nil {
		return err
	}
	defer func() {
		d.title("Taking everything down")
		err = errors.Join(err, l.Close())
	}()
	d.say("Galera is up, with its default settings: db0, db1, db2 are synced.")
	if d.Stack, err = stack.Up(ctx, l, stack.Options{CheckInterval: 10 * time.Second}); err != nil {
		return err
	}
	d.say("HAProxies and daemons are up. HAProxy's own health checks come only every 10 s here;")
	d.say("the daemons probe every 0.1 s and do not wait for them.")
	if err := d.GrantEviction(ctx); err != nil {
		return err
	}
	d.say("The daemons' account has been given the rights that haproxyctl galera grants prints.")
	if err := d.within(ctx, d.WaitEvictable); err != nil {
		return err
	}
	if err := d.show(ctx, "status"); err != nil {
		return err
	}
	if d.load, err = l.StartLoad(ctx, lab.LoadConfig{ReconnectEvery: 10, Direct: []*lab.Node{l.DB[0], l.DB[2]}}); err != nil {
		return err
	}
	for _, act := range []func(context.Context) error{d.steady, d.move, d.crash, d.returns, d.hold, d.oneRestart, d.allRestart, d.poison} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	if err := d.judge(ctx); err != nil {
		return err
	}
	if keep {
		return d.keep(ctx)
	}
	return nil
}

func (d *demo) title(s string) {
	if d.colour {
		fmt.Printf("\n\x1b[1m%s\x1b[0m\n", s)
		return
	}
	fmt.Printf("\n%s\n%s\n", s, strings.Repeat("-", len(s)))
}

func (d *demo) say(format string, args ...any) {
	fmt.Printf("  %6.1fs  %s\n", time.Since(d.begun).Seconds(), fmt.Sprintf(format, args...))
}

// show prints what haproxyctl says on px0.
func (d *demo) show(ctx context.Context, args ...string) error {
	r, err := d.PX[0].Daemon.Ctl(ctx, args...)
	if err != nil {
		return err
	}
	fmt.Printf("\n  $ haproxyctl %s\n", strings.Join(args, " "))
	for _, line := range strings.Split(strings.TrimRight(r.Stdout+r.Stderr, "\n"), "\n") {
		fmt.Println("    " + line)
	}
	fmt.Println()
	return nil
}

// pause lets the clients work, so that there is something to see.
func (d *demo) pause(ctx context.Context, t time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(t):
		return nil
	}
}

func (d *demo) within(ctx context.Context, wait func(context.Context) error) error {
	wctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return wait(wctx)
}

func ms(t time.Duration) string { return fmt.Sprintf("%.0f ms", float64(t)/float64(time.Millisecond)) }

func (d *demo) steady(ctx context.Context) error {
	d.title("Steady state")
	if err := d.within(ctx, func(ctx context.Context) error { return d.load.WaitFlowing(ctx) }); err != nil {
		return err
	}
	if err := d.pause(ctx, 3*time.Second); err != nil {
		return err
	}
	log := d.load.Snapshot()
	total := 0
	for _, p := range d.PX {
		total += log.Acked(p.Name)
	}
	d.say("%d commits through three proxies, all on %s.", total, strings.Join(log.SettledPath(""), " and "))
	return nil
}

func (d *demo) move(ctx context.Context) error {
	d.title("A planned move: haproxyctl active set db1")
	d.load.Mark("move")
	start := time.Now()
	r, err := d.Set(ctx, d.PX[0], "db1")
	if err != nil {
		return err
	}
	took := time.Since(start)
	if r.Move == nil {
		return errors.New("haproxyctl gave no report of the move")
	}
	if err := d.within(ctx, func(ctx context.Context) error { return d.load.WaitNode(ctx, "db1") }); err != nil {
		return err
	}
	if err := d.pause(ctx, time.Second); err != nil {
		return err
	}
	log := d.load.Snapshot()
	via, worst := log.Worst("move")
	m := r.Move
	d.say("Over on all three proxies after %s (epoch %d). The daemon took --drain %s: %s.", ms(took), r.Epoch, r.Drain, r.DrainWhy)
	d.say("%d sessions: %d closed between two transactions, %d ended by themselves, %d cut.", m.Moved, m.Drained, m.Finished, m.Killed)
	d.say("Both nodes could be written to for at most %d ms.", m.BothMS)
	d.say("Longest time without a commit: %s (%s).", ms(worst), via)
	return d.show(ctx, "active")
}

func (d *demo) oneRestart(ctx context.Context) error {
	d.title("One HAProxy restarts")
	d.load.Mark("one")
	if err := d.PX[1].Restart(ctx); err != nil {
		return err
	}
	return d.afterRestart(ctx, "one", "It")
}

func (d *demo) allRestart(ctx context.Context) error {
	d.title("All HAProxies restart at once: their tables are empty")
	d.load.Mark("all")
	for _, p := range d.PX {
		p.Kill9()
	}
	for _, p := range d.PX {
		if err := p.StartAgain(ctx); err != nil {
			return err
		}
	}
	return d.afterRestart(ctx, "all", "They")
}

func (d *demo) afterRestart(ctx context.Context, mark, who string) error {
	if err := d.within(ctx, d.load.WaitFlowing); err != nil {
		return err
	}
	// The restarted HAProxy asks the beacon anew, and its peers settle.
	if err := d.pause(ctx, 3*time.Second); err != nil {
		return err
	}
	err := d.within(ctx, func(ctx context.Context) error { return d.WaitSteering(ctx, len(d.PX)) })
	if err != nil {
		return err
	}
	a, err := d.Active(ctx, d.PX[0])
	if err != nil {
		return err
	}
	log := d.load.Snapshot()
	at, _ := log.At(mark)
	connections := 0
	for _, c := range log.Connections {
		if !c.Direct() && c.Start >= at {
			connections++
		}
	}
	d.say("%s came back on %s: of %d connections since then %d went elsewhere.", who, a.Active, connections, len(log.Wrong(at, a.Active)))
	return nil
}

func (d *demo) poison(ctx context.Context) error {
	d.title("Poisoned tables: somebody writes another server into them")
	a, err := d.Active(ctx, d.PX[0])
	if err != nil {
		return err
	}
	const other = 1 // db0's id
	if a.Active == "db0" {
		return errors.New("the active is db0: poisoning its tables with db0 would show nothing")
	}
	d.load.Mark("poison")
	for _, command := range []string{
		fmt.Sprintf("set table haproxyd-steer key 1 data.server_id %d", other),
		fmt.Sprintf("clear table galera-nodes key 1;set table galera-nodes key 1 data.server_id %d", other),
	} {
		for _, p := range d.PX {
			if _, err := p.Runtime(ctx, command); err != nil {
				return err
			}
		}
	}
	start := time.Now()
	err = d.within(ctx, func(ctx context.Context) error {
		for {
			right := 0
			for _, p := range d.PX {
				out, err := p.Runtime(ctx, "show table haproxyd-steer key 1")
				if err != nil {
					return err
				}
				if !strings.Contains(out, fmt.Sprintf("server_id=%d ", other)) {
					right++
				}
			}
			if right == len(d.PX) {
				return nil
			}
			if err := d.pause(ctx, 2*time.Millisecond); err != nil {
				return err
			}
		}
	})
	if err != nil {
		return err
	}
	d.say("The private tables were right again after %s.", ms(time.Since(start)))
	if err := d.pause(ctx, 2*time.Second); err != nil {
		return err
	}
	log := d.load.Snapshot()
	at, _ := log.At("poison")
	d.say("Connections that went elsewhere meanwhile: %d.", len(log.Wrong(at, a.Active)))
	return nil
}

func (d *demo) judge(ctx context.Context) error {
	d.title("What the clients saw")
	log := d.load.Stop()
	fmt.Println(indent(log.String()))
	lost, err := d.Lost(ctx, log)
	if err != nil {
		return err
	}
	missing := 0
	for _, commits := range lost {
		missing += len(commits)
	}
	d.say("Acknowledged commits that are missing on a node: %d.", missing)
	if missing > 0 {
		return errors.New("acknowledged commits were lost")
	}
	return nil
}

// keep leaves everything up until the user ends it.
func (d *demo) keep(ctx context.Context) error {
	d.title("Everything is up until you press Ctrl-C. Talk to it from another terminal:")
	p := d.PX[0]
	fmt.Printf("  haproxyctl --admin-socket %s status --watch      (the binary: make build, bin/haproxyctl)\n", p.Daemon.AdminSocket)
	fmt.Printf("  echo 'show table galera-nodes' | socat stdio %s\n", p.AdminSocket)
	fmt.Printf("  nsenter --net=/run/netns/%s curl -s http://127.0.0.1:9102/metrics\n", p.Namespace())
	fmt.Printf("  socat TCP-LISTEN:9105,bind=127.0.0.1,reuseaddr,fork EXEC:'nsenter --net=/run/netns/%s socat - TCP\\:127.0.0.1\\:9105'   and the page is at http://127.0.0.1:9105/\n", p.Namespace())
	fmt.Printf("  nsenter --net=/run/netns/%s mariadb -h %s -P 3306 -u %s -p%s\n", d.Client.Namespace(), p.IP, lab.AppUser, lab.Password)
	fmt.Printf("  logs: %s/log\n", d.Dir)
	<-ctx.Done()
	return nil
}

func indent(s string) string {
	return "  " + strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n  ")
}
