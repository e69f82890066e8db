package gossip

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// zone is a Resolver that a test can change.
type zone struct {
	mu    sync.Mutex
	hosts map[string][]string
}

func (z *zone) set(host string, ips ...string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.hosts == nil {
		z.hosts = map[string][]string{}
	}
	z.hosts[host] = ips
}

func (z *zone) LookupHost(_ context.Context, host string) ([]string, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if ips := z.hosts[host]; len(ips) > 0 {
		return ips, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

// TestDNSIsFollowed: a name that leads nowhere at first, and later to another
// member, joins islands without a restart.
func TestDNSIsFollowed(t *testing.T) {
	w := newWorld(t)
	addrs := addresses(3)
	z := &zone{}
	with := func(c *Config) { c.Resolver, c.times.resolve = z, 100*time.Millisecond }
	ip := func(i int) string { host, _, _ := net.SplitHostPort(addrs[i]); return host }
	a := w.start("px0", addrs[0], with, "px1.example:17946")
	b := w.start("px1", addrs[1], with)
	w.eventually(3*time.Second, "two islands", func() bool { return a.live() == 1 && b.live() == 1 })
	if len(a.Members()) != 1 || len(b.Members()) != 1 {
		t.Fatal("they found each other without a name")
	}
	z.set("px1.example", ip(1))
	w.eventually(3*time.Second, "one island", func() bool { return a.live() == 2 && b.live() == 2 })
	b.stop()
	c := w.start("px1", addrs[2], with)
	z.set("px1.example", ip(2))
	w.eventually(5*time.Second, "the successor at its new address", func() bool { return a.live() == 2 && c.live() == 2 })
}

// TestOtherAddressesAreLeftAlone: an address of the configuration that is another one of a
// member, or of this one, is joined once for each change of the membership, not for ever.
func TestOtherAddressesAreLeftAlone(t *testing.T) {
	w := newWorld(t)
	var ports []string
	for _, a := range addresses(2) {
		_, port, _ := net.SplitHostPort(a)
		ports = append(ports, port)
	}
	if ports[0] == ports[1] {
		ports[1] = "17947"
	}
	var joins []string
	for _, port := range ports { // every address of 127/8 leads to who listens everywhere
		joins = append(joins, "127.0.0.1:"+port, "127.0.0.2:"+port)
	}
	var all []*member
	for i, port := range ports {
		all = append(all, w.start(fmt.Sprintf("px%d", i), "0.0.0.0:"+port, func(c *Config) {
			c.Advertise, c.Insecure, c.times.resolve = "127.0.0.1:"+port, true, 50*time.Millisecond
		}, joins...))
	}
	w.eventually(3*time.Second, "one island", func() bool { return all[0].live() == 2 && all[1].live() == 2 })
	time.Sleep(300 * time.Millisecond)
	count := func() (n float64) {
		for _, d := range all {
			n += testutil.ToFloat64(d.metrics.rejoins)
		}
		return n
	}
	before := count()
	time.Sleep(500 * time.Millisecond)
	if now := count(); now != before {
		t.Errorf("%.0f joins in 10 rounds that change nothing", now-before)
	}
}

func TestAddressesKeepsTheLastGoodOnes(t *testing.T) {
	z := &zone{}
	z.set("a", "192.0.2.2", "192.0.2.1")
	j := &joiner{hosts: []string{"a:1", "b:2", "192.0.2.1:1", "[2001:db8::1]:3"}, resolver: z, last: map[string][]string{}, failed: map[string]bool{}}
	want := []string{"192.0.2.1:1", "192.0.2.2:1", "[2001:db8::1]:3"}
	for round, errors := range []int{1, 1, 0} {
		got, errs := j.addresses(t.Context())
		if d := cmp.Diff(want, got); d != "" || len(errs) != errors {
			t.Errorf("round %d: %s, %v", round, d, errs)
		}
		z.set("a") // gone
	}
}

func TestAdvertise(t *testing.T) {
	z := &zone{}
	z.set("me.example", "192.0.2.7")
	for _, c := range []struct {
		name, bind, advertise string
		want                  string
		err                   string
	}{
		{"a bound address is the transport's business", "192.0.2.1:7946", "", "", ""},
		{"an address", "0.0.0.0:7946", "192.0.2.3:8000", "192.0.2.3", ""},
		{"a name", "0.0.0.0:7946", "me.example:8000", "192.0.2.7", ""},
		{"an unknown name", "0.0.0.0:7946", "you.example:8000", "", "you.example"},
	} {
		got, _, err := advertise(t.Context(), Config{Bind: c.bind, Advertise: c.advertise, Resolver: z})
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
	}
}

func TestFirstGlobal(t *testing.T) {
	for want, cidrs := range map[string][]string{
		"":             {"127.0.0.1/8", "::1/128", "fe80::1/64", "169.254.1.1/16"},
		"10.0.0.7":     {"127.0.0.1/8", "2001:db8::7/64", "10.0.0.7/24", "192.0.2.7/24"},
		"2001:db8::7":  {"::1/128", "fe80::1/64", "2001:db8::7/64", "2001:db8::8/64"},
		"198.51.100.1": {"198.51.100.1/32"},
	} {
		var addresses []net.Addr
		for _, c := range cidrs {
			ip, n, err := net.ParseCIDR(c)
			if err != nil {
				t.Fatal(err)
			}
			addresses = append(addresses, &net.IPNet{IP: ip, Mask: n.Mask})
		}
		if got := firstGlobal(addresses); got != want {
			t.Errorf("of %v: %q, want %q", cidrs, got, want)
		}
	}
}

func TestAdvertiseErrorSaysWhatToDo(t *testing.T) {
	s, err := listen("0.0.0.0", 0, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Shutdown()
	if _, _, err := s.FinalAdvertiseAddr("", 0); err == nil || !strings.Contains(err.Error(), "set the advertise address") {
		t.Error(err)
	}
}

func TestConfigValidateNamesEverything(t *testing.T) {
	err := Config{
		Bind: "localhost:1", Advertise: "0.0.0.0:1", Join: []string{"px0", "px1:0"},
	}.Validate()
	for _, want := range []string{"name is empty", "label is empty", "no receiver", "no source", "bind address", "advertise address", `"px0"`, `"px1:0"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no word of %q in %v", want, err)
		}
	}
	if _, err := New(Config{}); err == nil {
		t.Error("New takes an empty configuration")
	}
	good := Config{Meta: Meta{Name: "px0"}, Label: "x", Bind: "127.0.0.1:0", Deliver: func(Message) {}, Status: func() Status { return Status{} }}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	good.KeyFile = t.TempDir() + "/none"
	if _, err := New(good); err == nil || !strings.Contains(err.Error(), good.KeyFile) {
		t.Errorf("a missing key file: %v", err)
	}
}
