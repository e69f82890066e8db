// Command bench measures the numbers of the design on this machine: real
// HAProxy, real Galera, the daemons as they ship, in network namespaces. Every
// figure stands beside its target; where a machine's noise would lie it is a
// ratio. It ends with 0 whether targets are met or not: a benchmark reports.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
	"github.com/haproxy-peers/haproxy-peers/e2e/stack"
)

func main() { os.Exit(status()) }

func status() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	return 0
}

// bench holds what the measurements share.
type bench struct {
	cfg lab.Config
	lab *lab.Lab
	out []row
}

// row is one line of the report.
type row struct{ what, target, got, verdict string }

func run(ctx context.Context) (err error) {
	if err := lab.Requirements(lab.Config{}); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "haproxy-peers-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	haproxyd, haproxyctl, err := lab.Build(ctx, dir)
	if err != nil {
		return err
	}
	// BENCH_DIR names a folder on a disk whose fsync is to count; the lab's own
	// default is in memory.
	cfg := lab.Config{Haproxyd: haproxyd, Haproxyctl: haproxyctl, Parent: os.Getenv("BENCH_DIR")}
	l, err := lab.New(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	b := &bench{cfg: cfg, lab: l}
	fmt.Println(machine(ctx, l))
	for _, m := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"one Runtime API command", b.command},
		{"at rest", b.rest},
		{"active set", b.move},
		{"tables put right", b.poison},
		{"sessions closed by drains", b.closes},
		{"crash and hang of the active", b.failovers},
		{"stall after a database has ended", b.stalls},
	} {
		// BENCH_ONLY names what to measure, by a part of its name.
		if !strings.Contains(m.name, os.Getenv("BENCH_ONLY")) {
			continue
		}
		progress("measuring: %s", m.name)
		if err := m.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	b.print()
	return nil
}

// progress goes to stderr: the report alone is on stdout.
func progress(format string, args ...any) {
	_, _ = fmt.Fprintf(os.Stderr, format+"\n", args...)
}

func (b *bench) add(what, target, got string, met bool) {
	verdict := "met"
	if !met {
		verdict = "MISSED"
	}
	b.out = append(b.out, row{what, target, got, verdict})
	progress("  %s: %s (target %s): %s", what, got, target, verdict)
}

// note adds what has no target: what stands beside it is to be compared with it.
func (b *bench) note(what, got string) {
	b.out = append(b.out, row{what: what, got: got})
	progress("  %s: %s", what, got)
}

func (b *bench) print() {
	width := [3]int{}
	for _, r := range b.out {
		width[0], width[1], width[2] = max(width[0], len(r.what)), max(width[1], len(r.target)), max(width[2], len(r.got))
	}
	fmt.Printf("\n%-*s  %-*s  %-*s\n", width[0], "what", width[1], "target", width[2], "measured")
	for _, r := range b.out {
		fmt.Printf("%-*s  %-*s  %-*s  %s\n", width[0], r.what, width[1], r.target, width[2], r.got, r.verdict)
	}
}

// machine is what the numbers were taken on.
func machine(ctx context.Context, l *lab.Lab) string {
	cpu := "unknown processor"
	if f, err := os.Open("/proc/cpuinfo"); err == nil {
		for s := bufio.NewScanner(f); s.Scan(); {
			if name, value, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
				cpu = strings.TrimSpace(value)
				break
			}
		}
		_ = f.Close()
	}
	versions := []string{runtime.Version()}
	if r, err := l.Client.Run(ctx, "haproxy", "-v"); err == nil {
		versions = append(versions, strings.SplitN(r.Stdout, "\n", 2)[0])
	}
	if v, err := l.DB[0].Query(ctx, "SELECT VERSION()"); err == nil && len(v) == 1 {
		versions = append(versions, "MariaDB "+v[0][0])
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return fmt.Sprintf("machine: %s, %d cores, Linux %s; %s\neverything (databases, proxies, daemons, clients) shares it",
		cpu, runtime.NumCPU(), strings.TrimSpace(string(kernel)), strings.Join(versions, "; "))
}

// up gives a fresh stack on the shared lab.
func (b *bench) up(ctx context.Context, o stack.Options) (*stack.Stack, error) {
	if err := b.lab.Reset(ctx); err != nil {
		return nil, err
	}
	return stack.Up(ctx, b.lab, o)
}

// others are the nodes that are not the active, in order.
func others(s *stack.Stack, active string) []*lab.Node {
	var out []*lab.Node
	for _, n := range s.DB {
		if n.Name != active {
			out = append(out, n)
		}
	}
	return out
}

func percentile(samples []time.Duration, p float64) time.Duration {
	if len(samples) == 0 {
		return 0
	}
	s := slices.Clone(samples)
	slices.Sort(s)
	return s[min(len(s)-1, int(p*float64(len(s))))]
}

func ms(d time.Duration) string {
	return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 1, 64) + " ms"
}

// within bounds one wait.
func within(ctx context.Context, d time.Duration, f func(context.Context) error) error {
	wctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return f(wctx)
}

func client(p *lab.Proxy) *api.Client { return api.New(p.Daemon.AdminSocket) }
