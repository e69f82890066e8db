package galera

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if probeAsChild() {
		return
	}
	goleak.VerifyTestMain(m)
}

// TestSetNodes needs no server: nodes that refuse are down.
func TestSetNodes(t *testing.T) {
	registry := prometheus.NewRegistry()
	p, err := New(Config{User: "u", Nodes: []Target{{"b", freeAddress(t)}, {"a", freeAddress(t)}}, Registerer: registry})
	must(t, err)
	if s := p.Status(); len(s) != 2 || s[0].Node != "b" || s[0].Verdict != Unknown || s[0].Reason == "" || !s[0].At.IsZero() {
		t.Fatalf("before Run: %+v", s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	allDown := func() []NodeStatus {
		t.Helper()
		give := time.After(soon)
		for {
			s := p.Status()
			down := 0
			for _, n := range s {
				if n.Verdict == Down {
					down++
				}
			}
			if down == len(s) {
				return s
			}
			select {
			case <-p.Changed():
			case <-give:
				t.Fatalf("not all down: %+v", s)
			}
		}
	}
	before := allDown()
	if err := p.Run(ctx); !errors.Is(err, ErrRunning) {
		t.Errorf("a second Run: %v", err)
	}
	b := p.order[slices.IndexFunc(p.order, func(t Target) bool { return t.Name == before[0].Node })]
	p.SetNodes([]Target{{"c", freeAddress(t)}, b, {"c", freeAddress(t)}, {"", "x:1"}})
	if s := p.Status(); len(s) != 2 || s[0].Node != "c" || s[0].Verdict != Unknown || s[1].Node != "b" || s[1].Verdict != Down {
		t.Errorf("after SetNodes: %+v", s)
	}
	allDown()
	cancel()
	must(t, <-done)
	if s := p.Status(); s[1].Verdict != Unknown {
		t.Errorf("after Run the verdict still is %v", s[1].Verdict)
	}
	if n := testutil.CollectAndCount(p.metrics.verdict); n != 6 {
		t.Errorf("%d series of verdicts for 2 nodes", n)
	}
}

func TestDuplicateRegistration(t *testing.T) {
	registry := prometheus.NewRegistry()
	_, err := New(Config{User: "u", Registerer: registry})
	must(t, err)
	if _, err := New(Config{User: "u", Registerer: registry}); err == nil {
		t.Error("the metrics are registered twice")
	}
}

// names is a name service that can be broken.
type names struct {
	addrs []netip.Addr
	err   error
}

func (n *names) lookup(context.Context, string) ([]netip.Addr, error) { return n.addrs, n.err }

func TestDialByName(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	gone := &net.DNSError{Err: "no such host", IsNotFound: true}
	dns := &names{err: gone}
	d, err := newDialer("pxc-0.pxc:"+port, dns.lookup)
	must(t, err)
	dial := func() (stale, err error) {
		conn, _, stale, err := d.dial(context.Background(), time.Second)
		if conn != nil {
			_ = conn.Close()
		}
		return stale, err
	}
	if _, err := dial(); JudgeError(err, Account{}).Class != ClassName {
		t.Errorf("a name that never resolved: %v", err)
	}
	// The first address refuses: the second is tried.
	dns.addrs, dns.err = []netip.Addr{netip.MustParseAddr("::1"), netip.MustParseAddr("127.0.0.1")}, nil
	if stale, err := dial(); err != nil || stale != nil {
		t.Errorf("a name that resolves: %v, %v", stale, err)
	}
	dns.addrs, dns.err = nil, gone
	stale, err := dial()
	if err != nil || JudgeError(stale, Account{}).Class != ClassName {
		t.Errorf("a name that is gone, of a server that is there: %v, %v", stale, err)
	}
	must(t, l.Close())
	if _, err := dial(); JudgeError(err, Account{}).Class != ClassRefused {
		t.Errorf("a name that is gone, of a server that is gone: %v", err)
	}
}

func TestAccountFile(t *testing.T) {
	for content, want := range map[string]string{"a\n": "a", "a\r\n": "a", " a ": " a ", "a\n\n": "a\n", "": ""} {
		file := passwordFile(t, "")
		must(t, writeFile(file, content))
		got, err := login{account: Account{PasswordFile: file}}.password()
		if err != nil || got != want {
			t.Errorf("%q is read as %q, %v", content, got, err)
		}
	}
}
