package galera

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
	"github.com/haproxy-peers/haproxy-peers/e2e/dbtest"
)

// BenchmarkProbe is one probe of a real node on a connection that is there. Beside
// the time it reports the CPU time of this process and of the server, in µs.
func BenchmarkProbe(b *testing.B) {
	m := dbtest.StartMariaDB(b)
	s := openReader(b, m.Address)
	_, err := s.read()
	dbtest.Must(b, err)
	b.ReportAllocs()
	server, own := dbtest.ThreadTime(b, m.Cmd.Process.Pid), cpuTime()
	for b.Loop() {
		s.Begin(DefaultDeadline)
		r, err := s.read()
		dbtest.Must(b, err)
		if Judge(r, r.StateUUID).Kind != KindHealthy {
			b.Fatalf("%+v", r)
		}
	}
	n := float64(b.N) * 1e3
	b.ReportMetric(float64(cpuTime()-own)/n, "own-µs/op")
	b.ReportMetric(float64(dbtest.ThreadTime(b, m.Cmd.Process.Pid)-server)/n, "server-µs/op")
}

// openReader is a session of the probe's, until the test ends.
func openReader(tb testing.TB, address string) *reader {
	tb.Helper()
	d, err := conn.NewDialer(address, nil)
	dbtest.Must(tb, err)
	s, err := d.Open(context.Background(), conn.Opening{
		Account: conn.Account{User: dbtest.ProbeUser, PasswordFile: dbtest.PasswordFile(tb, dbtest.ProbePassword)},
		Life:    context.Background(), Budget: dbtest.Soon,
	})
	dbtest.Must(tb, err)
	tb.Cleanup(s.Close)
	return &reader{Session: s}
}

// BenchmarkAtRest is one interval of a prober of three nodes, all of them one
// server here: what a daemon costs that waits most of the time, where waking up
// costs more than the work. The target for a whole daemon is 2 % of a core.
func BenchmarkAtRest(b *testing.B) {
	m := dbtest.StartMariaDB(b)
	p, err := New(Config{
		Account: conn.Account{User: dbtest.ProbeUser, PasswordFile: dbtest.PasswordFile(b, dbtest.ProbePassword)},
		Nodes:   []Target{{"a", m.Address}, {"b", m.Address}, {"c", m.Address}}, Registerer: prometheus.NewRegistry(),
	})
	dbtest.Must(b, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	for i := range p.Status() {
		for p.Status()[i].Verdict != Healthy {
			time.Sleep(DefaultInterval)
		}
	}
	server, own, began := dbtest.ThreadTime(b, m.Cmd.Process.Pid), cpuTime(), time.Now()
	for b.Loop() {
		time.Sleep(DefaultInterval)
	}
	took := float64(time.Since(began))
	b.ReportMetric(float64(cpuTime()-own)/took*100, "own-%core")
	b.ReportMetric(float64(dbtest.ThreadTime(b, m.Cmd.Process.Pid)-server)/took*100, "server-%core")
	cancel()
	dbtest.Must(b, <-done)
}

// cpuTime is the CPU time that this process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
