package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

// result is what one attack did.
type result struct {
	name, sent    string
	rss           int64 // bytes, the most that was seen
	cpu           float64
	local, remote latencies
	leaders       int // changes seen by another member
	move          string
	lines         float64 // a second, on average
	most          int     // in any second
	broken        []string
}

// latencies are those of /beacon and /healthz, each by a connection of its own.
type latencies struct {
	Asked, Failed int
	Median, Max   time.Duration
	First         string // failure
}

// attack runs one attack for so long and watches what comes of it.
func (f *flood) attack(ctx context.Context, a *attack, long time.Duration) (r *result, err error) {
	target, other, err := f.roles(ctx)
	if err != nil {
		return nil, err
	}
	pid, log := target.Daemon.Process().Pid, target.Daemon.Process().Log
	before, err := lab.UsageOf(pid)
	if err != nil {
		return nil, err
	}
	r = &result{name: a.name, sent: "nothing"}
	if a.stub != nil {
		undo, err := a.stub(ctx, f, target)
		if err != nil {
			return nil, err
		}
		defer func() {
			var uerr error
			r.sent, uerr = undo()
			err = errors.Join(err, uerr)
		}()
	}
	wctx, stop := context.WithCancel(ctx)
	defer stop()
	var watchers, parts sync.WaitGroup
	var errs [3]error
	watchers.Go(func() { r.rss = watchRSS(wctx, pid) })
	watchers.Go(func() { r.lines, r.most = watchLog(wctx, log) })
	watchers.Go(func() { r.leaders = watchLeader(wctx, other, target.Name) })
	if a.role != "" {
		parts.Go(func() {
			var out string
			from, to := f.Client, target.IP
			if a.here {
				from, to = target.Host, "127.0.0.1"
			}
			out, errs[0] = f.play(ctx, from, a.role, to, long)
			r.sent = strings.TrimSpace(out)
		})
	}
	parts.Go(func() { errs[1] = f.ask(ctx, target.Host, "127.0.0.1", long, &r.local) })
	parts.Go(func() { errs[2] = f.ask(ctx, f.Client, target.IP, long, &r.remote) })
	parts.Go(func() {
		sleep(ctx, long/2)
		r.move = f.move(ctx, a, other)
	})
	parts.Wait()
	stop()
	watchers.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	if after, err := lab.UsageOf(pid); err == nil {
		r.cpu = 100 * float64(after.CPU-before.CPU) / float64(long)
	} else {
		r.broken = append(r.broken, "the daemon has ended")
	}
	r.judge()
	return r, nil
}

// judge holds the figures against the bounds.
func (r *result) judge() {
	check := func(broken bool, what string) {
		if broken {
			r.broken = append(r.broken, what)
		}
	}
	check(r.rss >= maxRSS, "memory")
	// HAProxy asks on the daemon's own host; from afar it is a kubelet, which waits a second.
	check(r.local.Failed > 0, "beacon: "+r.local.First)
	check(r.local.Max >= maxBeacon, "beacon late")
	check(r.remote.Failed > 0, "beacon from afar: "+r.remote.First)
	check(r.remote.Max >= maxAfar, "beacon from afar late")
	check(r.leaders > 0, "the leader changed")
	check(strings.HasPrefix(r.move, "FAILED"), "no move")
	check(r.most > maxLines, "log")
}

// roles returns the leader's proxy, which is attacked, and another one.
func (f *flood) roles(ctx context.Context) (target, other *lab.Proxy, err error) {
	reg, err := api.New(f.PX[0].Daemon.AdminSocket).Register(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range f.PX {
		if p.Name == reg.Leader {
			target = p
		} else {
			other = p
		}
	}
	if target == nil {
		return nil, nil, errors.New("there is no leader")
	}
	return target, other, nil
}

// move moves the active by another daemon than the attacked one, and says how long
// it took until every proxy that can had followed.
func (f *flood) move(ctx context.Context, a *attack, by *lab.Proxy) string {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	client := api.New(by.Daemon.AdminSocket)
	now, err := client.Active(ctx)
	if err != nil {
		return "FAILED: " + err.Error()
	}
	to, want := "", len(f.PX)
	for _, n := range f.DB {
		if n.Name != now.Active && n.Name != a.avoid {
			to = n.Name
		}
	}
	if a.blind {
		want--
	}
	began := time.Now()
	if _, err := client.Set(ctx, api.SetRequest{Node: to, Drain: "immediate", Force: a.blind}); err != nil {
		return "FAILED: " + err.Error()
	}
	for {
		now, err := client.Active(ctx)
		if err == nil && now.Active == to && now.Converged >= want {
			return time.Since(began).Round(time.Millisecond).String()
		}
		select {
		case <-ctx.Done():
			return fmt.Sprintf("FAILED: %d of %d converged on %s: %v", now.Converged, want, now.Active, now.NotConverged)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// play runs this program in a role inside a host, and returns what it printed.
func (f *flood) play(ctx context.Context, h *lab.Host, role, to string, long time.Duration) (string, error) {
	out, err := h.Run(ctx, f.self, "-role", role, "-to", to, "-for", long.String())
	return out.Stdout, err
}

func (f *flood) ask(ctx context.Context, h *lab.Host, to string, long time.Duration, into *latencies) error {
	out, err := f.play(ctx, h, "ask", to, long)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(out), into)
}

// watchRSS returns the most resident memory of a process until ctx is done, in bytes.
func watchRSS(ctx context.Context, pid int) (most int64) {
	for ctx.Err() == nil {
		most = max(most, rss(pid))
		sleep(ctx, 20*time.Millisecond)
	}
	return most
}

func rss(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmRSS:" {
			kb, _ := strconv.ParseInt(f[1], 10, 64) // the kernel's digits
			return kb << 10
		}
	}
	return 0
}

// watchLog counts the lines that a log grows by until ctx is done.
func watchLog(ctx context.Context, path string) (average float64, most int) {
	file, err := os.Open(path)
	if err != nil {
		return 0, 0
	}
	defer file.Close()
	_, _ = file.Seek(0, io.SeekEnd)
	const slot, second = 100 * time.Millisecond, 10
	var slots []int
	in := bufio.NewReader(file)
	began, all := time.Now(), 0
	for ctx.Err() == nil {
		sleep(ctx, slot)
		text, _ := io.ReadAll(in) // what there is
		slots = append(slots, bytes.Count(text, []byte("\n")))
		sum := 0
		for _, n := range slots[max(0, len(slots)-second):] {
			sum += n
		}
		all, most = all+slots[len(slots)-1], max(most, sum)
	}
	return float64(all) / time.Since(began).Seconds(), most
}

// watchLeader counts, at another member, the changes of the leader until ctx is done.
func watchLeader(ctx context.Context, at *lab.Proxy, leader string) (changes int) {
	client := api.New(at.Daemon.AdminSocket)
	for ctx.Err() == nil {
		if r, err := client.Register(ctx); err == nil && r.Leader != leader {
			leader = r.Leader
			changes++
		}
		sleep(ctx, 100*time.Millisecond)
	}
	return changes
}

// print writes the table.
func (f *flood) print(w io.Writer) {
	ms := func(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d)/float64(time.Millisecond)) }
	rows := [][]string{{"attack", "really sent", "RSS MiB", "CPU %", "beacon ms p50/max", "from afar", "leaders", "move", "lines/s (most)", ""}}
	for i := range f.out {
		r := &f.out[i]
		verdict := "held"
		if len(r.broken) > 0 {
			verdict = "BROKEN: " + strings.Join(r.broken, ", ")
		}
		rows = append(rows, []string{
			r.name, r.sent, fmt.Sprintf("%.1f", float64(r.rss)/(1<<20)), fmt.Sprintf("%.0f", r.cpu),
			ms(r.local.Median) + "/" + ms(r.local.Max), ms(r.remote.Median) + "/" + ms(r.remote.Max),
			strconv.Itoa(r.leaders), r.move, fmt.Sprintf("%.1f (%d)", r.lines, r.most), verdict,
		})
	}
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			_, _ = fmt.Fprintf(&line, "%-*s  ", widths[i], cell)
		}
		_, _ = fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
	_, _ = fmt.Fprintf(w, "bounds: below %d MiB, beacon within %v (%v from afar), no other leader, a move, at most %d lines a second\n",
		maxRSS>>20, maxBeacon, maxAfar, maxLines)
}
