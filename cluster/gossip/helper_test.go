package gossip

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/haproxy-peers/haproxy-peers/cluster/nudge"
)

// TestMain looks for goroutines that are left. It looks longer than goleak does
// by itself: a probe of memberlist's that is in flight at Shutdown ends only with
// its interval, which it stretches up to eightfold on a slow machine.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		var err error
		for range 8 {
			if err = goleak.Find(); err == nil {
				break
			}
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

var lastNet atomic.Uint32

// addresses returns n ADDR:PORTs on the loopback that no other test here uses.
func addresses(n int) []string {
	net := lastNet.Add(1)
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("127.%d.%d.%d:17946", 64+os.Getpid()%128, net, i+1)
	}
	return out
}

// member is a running Gossip with what a test wants to see of it.
type member struct {
	*Gossip
	reg  *prometheus.Registry
	stop context.CancelFunc
	done chan error

	mu   sync.Mutex
	got  []Message
	stat Status
}

// world is the members of one test; any change in any of them wakes eventually.
type world struct {
	t    testing.TB
	wake chan struct{}
}

func newWorld(t testing.TB) *world { return &world{t: t, wake: make(chan struct{}, 1)} }

// start runs a member until the end of the test or stop.
func (w *world) start(name, bind string, change func(*Config), join ...string) *member {
	w.t.Helper()
	m := &member{reg: prometheus.NewRegistry(), done: make(chan error, 1)}
	cfg := Config{
		Meta: Meta{Name: name}, Label: "test", Bind: bind, Join: join, Registerer: m.reg,
		Deliver: func(msg Message) {
			m.mu.Lock()
			m.got = append(m.got, msg)
			m.mu.Unlock()
			nudge.Send(w.wake)
		},
		Changed: func() { nudge.Send(w.wake) },
		Offered: func(r Record) { m.PublishRecord(r) }, // this owner believes everything
		Status: func() Status {
			m.mu.Lock()
			defer m.mu.Unlock()
			return m.stat
		},
	}
	if change != nil {
		change(&cfg)
	}
	m.stat.Voter = cfg.Meta.Voter
	g, err := New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	m.Gossip = g
	ctx, stop := context.WithCancel(context.Background())
	m.stop = sync.OnceFunc(func() { stop(); <-m.Done() })
	go func() { m.done <- g.Run(ctx); close(m.done); nudge.Send(w.wake) }()
	w.t.Cleanup(m.stop)
	return m
}

// Done is closed once Run has returned.
func (m *member) Done() <-chan struct{} {
	c := make(chan struct{})
	go func() {
		for err := range m.done {
			m.mu.Lock()
			m.got = append(m.got, Message{From: "end", Data: fmt.Append(nil, err)})
			m.mu.Unlock()
		}
		close(c)
	}()
	return c
}

func (m *member) messages() []Message {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]Message(nil), m.got...)
}

func (m *member) isSettledNow() bool {
	select {
	case <-m.Settled():
		return true
	default:
		return false
	}
}

// live returns the number of live settled members that m sees.
func (m *member) live() int {
	n := 0
	for _, o := range m.Members() {
		if o.Live && o.Settled {
			n++
		}
	}
	return n
}

func (m *member) dropped(reason string) float64 {
	return testutil.ToFloat64(m.metrics.dropped.WithLabelValues(reason))
}

// viewOf returns the view of that name that was published last.
func (m *member) viewOf(name string) string {
	var newest View
	for _, v := range m.Views() {
		if v.Name == name && v.Published.After(newest.Published) {
			newest = v
		}
	}
	return string(newest.Data)
}

// eventually waits until ok holds; it looks after every change.
func (w *world) eventually(within time.Duration, what string, ok func() bool) time.Duration {
	w.t.Helper()
	start := time.Now()
	limit := time.NewTimer(within)
	defer limit.Stop()
	// Counters change without a callback.
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for !ok() {
		select {
		case <-w.wake:
		case <-poll.C:
		case <-limit.C:
			w.t.Fatalf("not within %s: %s", within, what)
		}
	}
	return time.Since(start)
}

// Process returns this process's unique name.
func (g *Gossip) Process() string { return g.process }

// waitReady returns once the sockets are open.
func (g *Gossip) waitReady() {
	for g.address() == "" {
		time.Sleep(time.Millisecond)
	}
}

// Send sends data to one process: as a packet if it fits, else as a stream.
func (g *Gossip) Send(process string, channel byte, data []byte) {
	g.sendTo(process, Message{From: g.process, Channel: channel, Data: data}.encode())
}
