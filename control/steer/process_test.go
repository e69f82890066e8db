package steer

import (
	"bufio"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/haproxy-peers/haproxy-peers/control/haproxycfg"
	"github.com/haproxy-peers/haproxy-peers/control/journal"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/published"
	"github.com/haproxy-peers/haproxy-peers/control/walltest"
	"github.com/haproxy-peers/haproxy-peers/runtimeapi"
)

// info is what a HAProxy answers, with its own start or, "", without.
func info(t *testing.T, pid int, uptime time.Duration, start string) runtimeapi.Info {
	t.Helper()
	path := filepath.Join(t.TempDir(), "haproxy.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		_, _ = bufio.NewReader(c).ReadString('\n')
		_, _ = fmt.Fprintf(c, "Name: HAProxy\nVersion: 2.6.12\nPid: %d\nUptime_sec: %d\n", pid, int(uptime.Seconds()))
		if start != "" {
			_, _ = fmt.Fprintf(c, "Start_time_sec: %s\n", start)
		}
		_, _ = fmt.Fprint(c, "\n")
	}()
	c, err := runtimeapi.New(runtimeapi.Config{Socket: path, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	snap, err := c.Snapshot(t.Context(), runtimeapi.SnapshotQuery{Info: true})
	if err != nil {
		t.Fatal(err)
	}
	return snap.Info
}

// A step of the clock is no restart of HAProxy: it drops no hold, and the failed
// checks that HAProxy counted before are not new. A restart is one all the same.
func TestStepsOfTheClockRestartNothing(t *testing.T) {
	for _, start := range []string{"", "1795378508"} {
		for _, step := range []time.Duration{4 * time.Second, time.Hour, -time.Hour} {
			t.Run(fmt.Sprintf("start %q, step %v", start, step), func(t *testing.T) {
				clock := walltest.New()
				dir := t.TempDir()
				log := slog.New(slog.DiscardHandler)
				near, far := net.Pipe()
				defer func() { _ = far.Close() }()
				events, restarts := journal.New(10), prometheus.NewCounter(prometheus.CounterOpts{Name: "a"})
				p := New(Config{DataDir: dir, Now: clock.Now, Log: log, Events: events, Files: &haproxycfg.Files{Log: log}, Metrics: Metrics{Restarts: restarts}})
				nodes := map[string]published.Node{"pxc-0": {State: model.ServerUp, Downs: 3}}
				look := func(pid int, uptime time.Duration, start string) {
					p.sameProcess(clock.Now(), info(t, pid, uptime, start))
					p.memory.note(p.proc, nodes)
				}
				look(7, time.Hour, start)
				p.memory.steered(clock.Now())
				p.memory.save()
				p.hold.conns = map[string]net.Conn{"galera-nodes": near}
				clock.Set(step)
				clock.Pass(10 * time.Second)
				look(7, time.Hour+10*time.Second, start)
				if len(p.hold.conns) == 0 || testutil.ToFloat64(restarts) != 0 || len(events.NewestFirst()) != 0 {
					t.Errorf("a step is a restart: %v", events.NewestFirst())
				}
				if down := wentDown(p.memory); len(down) != 0 {
					t.Errorf("%v went down by the clock", down)
				}
				p.memory = newMemory(filepath.Join(dir, "haproxy-seen.json"), log) // the daemon starts again meanwhile
				p.proc, p.began = process{}, time.Time{}
				look(7, time.Hour+10*time.Second, start)
				if down := wentDown(p.memory); len(down) != 0 {
					t.Errorf("%v went down by the clock, after a start of the daemon", down)
				}
				p.hold.conns = map[string]net.Conn{"galera-nodes": near}
				again := ""
				if start != "" {
					again = "1795378999"
				}
				look(7, time.Second, again) // a container's HAProxy, with the same pid
				if len(p.hold.conns) != 0 || testutil.ToFloat64(restarts) != 1 {
					t.Error("a restart was not noticed")
				}
				look(8, time.Second, again)
				if testutil.ToFloat64(restarts) != 2 {
					t.Error("another pid was not noticed")
				}
			})
		}
	}
}
