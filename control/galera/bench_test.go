package galera

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// BenchmarkProbe is one probe of a real node on a connection that is there. Beside
// the time it reports the CPU time of this process and of the server, in µs.
func BenchmarkProbe(b *testing.B) {
	m := startMariaDB(b)
	target := Target{"n", m.address}
	d, err := newDialer(m.address, lookupIP)
	must(b, err)
	conn, _, _, err := d.dial(context.Background(), time.Second)
	must(b, err)
	w, err := newWire(conn)
	must(b, err)
	w.begin(soon)
	s, err := openSession(context.Background(), w, target.Address, login{account: Account{User: probeUser, PasswordFile: passwordFile(b, probePassword)}})
	must(b, err)
	defer s.close()
	_, err = s.read()
	must(b, err)
	b.ReportAllocs()
	server, own := threadTime(b, m.cmd.Process.Pid), cpuTime()
	for b.Loop() {
		w.begin(DefaultDeadline)
		r, err := s.read()
		must(b, err)
		if Judge(r, r.StateUUID).Kind != KindHealthy {
			b.Fatalf("%+v", r)
		}
	}
	n := float64(b.N) * 1e3
	b.ReportMetric(float64(cpuTime()-own)/n, "own-µs/op")
	b.ReportMetric(float64(threadTime(b, m.cmd.Process.Pid)-server)/n, "server-µs/op")
}

// BenchmarkAtRest is one interval of a prober of three nodes, all of them one
// server here: what a daemon costs that waits most of the time, where waking up
// costs more than the work. The target for a whole daemon is 2 % of a core.
func BenchmarkAtRest(b *testing.B) {
	m := startMariaDB(b)
	p, err := New(Config{
		User: probeUser, PasswordFile: passwordFile(b, probePassword),
		Nodes: []Target{{"a", m.address}, {"b", m.address}, {"c", m.address}}, Registerer: prometheus.NewRegistry(),
	})
	must(b, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	for i := range p.Status() {
		for p.Status()[i].Verdict != Healthy {
			time.Sleep(DefaultInterval)
		}
	}
	server, own, began := threadTime(b, m.cmd.Process.Pid), cpuTime(), time.Now()
	for b.Loop() {
		time.Sleep(DefaultInterval)
	}
	took := float64(time.Since(began))
	b.ReportMetric(float64(cpuTime()-own)/took*100, "own-%core")
	b.ReportMetric(float64(threadTime(b, m.cmd.Process.Pid)-server)/took*100, "server-%core")
	cancel()
	must(b, <-done)
}

// cpuTime is the CPU time that this process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// threadTime is the CPU time that the threads of a process have used: the first
// field of schedstat, in nanoseconds (Linux, sched-stats.rst).
func threadTime(tb testing.TB, pid int) (sum time.Duration) {
	tb.Helper()
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	must(tb, err)
	for _, thread := range threads {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/schedstat", pid, thread.Name()))
		must(tb, err)
		ns, err := strconv.ParseInt(strings.Fields(string(stat))[0], 10, 64)
		must(tb, err)
		sum += time.Duration(ns)
	}
	return sum
}
