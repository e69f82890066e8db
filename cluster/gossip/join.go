package gossip

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Resolver resolves host names; *net.Resolver is one.
type Resolver interface {
	LookupHost(ctx context.Context, host string) (addresses []string, err error)
}

const (
	// resolveTimeout bounds the resolution of one host name.
	resolveTimeout = 3 * time.Second
	// joinSoon and joinAlone are the times between two rounds while this member
	// is alone, in its first half minute and after that.
	joinSoon, joinAlone = 500 * time.Millisecond, 5 * time.Second
	// joinFirst bounds how long the first round may keep a member from settling:
	// some of the hosts may be down and swallow connections.
	joinFirst = 1500 * time.Millisecond
)

// joiner keeps this member together with the members that the configuration names.
type joiner struct {
	hosts    []string // HOST:PORT
	resolver Resolver
	last     map[string][]string // host -> its addresses at the last good resolution
	failed   map[string]bool     // hosts whose last resolution failed, to log transitions only
	// others are addresses that led to nobody new, each with the members of then: other
	// addresses of one of these, or of this member, as names with A and AAAA records have.
	others map[string]string
}

func newJoiner(c Config) *joiner {
	return &joiner{hosts: c.Join, resolver: c.Resolver, last: map[string][]string{}, failed: map[string]bool{}, others: map[string]string{}}
}

// addresses resolves all hosts, at once. A host that cannot be resolved now
// keeps its last addresses; errs says which and why, for those that resolved before.
func (j *joiner) addresses(ctx context.Context) (all []string, errs []error) {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	type result struct {
		addresses []string
		err       error
	}
	results := make([]result, len(j.hosts))
	var wg sync.WaitGroup
	for i, hostPort := range j.hosts {
		wg.Go(func() {
			results[i].addresses, results[i].err = resolve(ctx, j.resolver, hostPort)
		})
	}
	wg.Wait()
	for i, hostPort := range j.hosts {
		if err := results[i].err; err == nil {
			j.last[hostPort] = results[i].addresses
			delete(j.failed, hostPort)
		} else if !j.failed[hostPort] {
			j.failed[hostPort] = true
			errs = append(errs, err)
		}
		all = append(all, j.last[hostPort]...)
	}
	slices.Sort(all)
	return slices.Compact(all), errs
}

// resolve returns the ADDR:PORTs of a HOST:PORT.
func resolve(ctx context.Context, r Resolver, hostPort string) ([]string, error) {
	host, port, err := splitHostPort(hostPort)
	if err != nil {
		return nil, err
	}
	ips := []string{host}
	if net.ParseIP(host) == nil {
		if ips, err = r.LookupHost(ctx, host); err != nil {
			return nil, fmt.Errorf("resolve %s: %w", host, err)
		}
	}
	out := make([]string, 0, len(ips))
	for _, ip := range ips {
		if net.ParseIP(ip) != nil { // a zoned address cannot be advertised either
			out = append(out, net.JoinHostPort(ip, strconv.Itoa(port)))
		}
	}
	return out, nil
}

// run resolves and joins until ctx is done. attempted is closed once the first
// round has either reached a member or tried them all.
func (g *Gossip) runJoiner(ctx context.Context, attempted chan<- struct{}) {
	j := newJoiner(g.cfg)
	once := sync.OnceFunc(func() { close(attempted) })
	defer once()
	defer time.AfterFunc(joinFirst, once).Stop()
	start := time.Now()
	for {
		g.joinRound(ctx, j, once)
		once()
		pause := g.cfg.times.resolve
		if !g.hasOthers() {
			pause = min(pause, joinAlone)
			if time.Since(start) < 30*time.Second {
				pause = min(pause, joinSoon)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// joinRound joins every address of the configuration that is not a member's, at
// once: one that swallows connections must not hold up the others.
func (g *Gossip) joinRound(ctx context.Context, j *joiner, joined func()) {
	addresses, errs := j.addresses(ctx)
	for _, err := range errs {
		if ctx.Err() == nil {
			g.log.Warn("cannot resolve a member to join", "error", err)
		}
	}
	g.sources.expect(addresses)
	known := g.liveNames()
	before := whoIsThere(known)
	var wg sync.WaitGroup
	var mu sync.Mutex // guards reached
	var reached []string
	for _, address := range addresses {
		if known[address] != "" || j.others[address] == before || ctx.Err() != nil {
			continue
		}
		wg.Go(func() {
			if _, err := g.ml.Join([]string{address}); err != nil {
				g.log.Debug("cannot join", "address", address, "error", err)
				return
			}
			joined()
			mu.Lock()
			defer mu.Unlock()
			reached = append(reached, address)
		})
	}
	wg.Wait()
	after := whoIsThere(g.liveNames())
	for _, address := range reached {
		if after == before {
			j.others[address] = before
			g.log.Debug("an address is another one of a member that is known", "address", address)
			continue
		}
		g.metrics.rejoins.Inc()
		g.log.Info("joined", "address", address)
	}
}

// whoIsThere tells the same members from others.
func whoIsThere(members map[string]string) string {
	return strings.Join(slices.Sorted(maps.Keys(members)), " ")
}

// advertise returns the address and the port that others are told, "" and 0 for
// the bound ones.
func advertise(ctx context.Context, cfg Config) (string, int, error) {
	if cfg.Advertise != "" {
		addresses, err := resolve(ctx, cfg.Resolver, cfg.Advertise)
		if err != nil {
			return "", 0, fmt.Errorf("gossip advertise address: %w", err)
		}
		if len(addresses) == 0 {
			return "", 0, fmt.Errorf("gossip advertise address %s: no usable address", cfg.Advertise)
		}
		return splitHostPort(addresses[0])
	}
	host, port, err := splitHostPort(cfg.Bind)
	if err != nil || !net.ParseIP(host).IsUnspecified() || port == 0 {
		return "", 0, err
	}
	// memberlist would take any private address of this machine, which with
	// several interfaces may be one that the others do not reach.
	addresses, _ := newJoiner(cfg).addresses(ctx)
	for _, address := range addresses {
		// Connecting a UDP socket sends nothing; the kernel only picks a route.
		conn, err := (&net.Dialer{}).DialContext(ctx, "udp", address)
		if err != nil {
			continue
		}
		local := conn.LocalAddr().(*net.UDPAddr).IP
		_ = conn.Close()
		if !local.IsLoopback() {
			return local.String(), port, nil
		}
	}
	// No name resolves yet, or everything is on this machine.
	own, err := net.InterfaceAddrs()
	if err != nil {
		return "", 0, fmt.Errorf("gossip advertise address: %w", err)
	}
	return firstGlobal(own), port, nil
}

// firstGlobal returns the first IPv4 address that is neither loopback nor
// link-local, else such an IPv6 address, else "".
func firstGlobal(addresses []net.Addr) string {
	v6 := ""
	for _, a := range addresses {
		n, ok := a.(*net.IPNet)
		if !ok || !n.IP.IsGlobalUnicast() {
			continue
		}
		if n.IP.To4() != nil {
			return n.IP.String()
		}
		if v6 == "" {
			v6 = n.IP.String()
		}
	}
	return v6
}
