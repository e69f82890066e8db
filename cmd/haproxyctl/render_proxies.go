package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/haproxy-peers/haproxy-peers/configs"
)

// resolveAgain is the pause between two looks at a name's addresses.
const resolveAgain = 250 * time.Millisecond

// lookupHost is the resolver of --proxies dns:HOST; tests replace it.
var lookupHost = net.DefaultResolver.LookupNetIP

// renderProxies reads --proxies and --local: the HAProxies and the name of the
// local one.
func (o renderOptions) renderProxies(ctx context.Context) (proxies []configs.RenderProxy, local string, err error) {
	local = o.in.LocalProxy
	for _, s := range o.proxies {
		host, ok := strings.CutPrefix(s, "dns:")
		if !ok {
			name, host, port, err := parseNamed("--proxies", s)
			if err != nil {
				return nil, "", err
			}
			proxies = append(proxies, configs.RenderProxy{Name: name, Host: host, Port: port})
			continue
		}
		if len(o.proxies) > 1 {
			return nil, "", usagef("--proxies %q: dns:HOST names all HAProxies, so it stands alone", s)
		}
		_, host, port, err := parseNamed("--proxies", "dns="+host)
		if err != nil || host == "" {
			return nil, "", usagef("--proxies %q: it is dns:HOST or dns:HOST:PORT", s)
		}
		return o.resolvedProxies(ctx, host, port)
	}
	return proxies, local, nil
}

// resolvedProxies is one HAProxy for each address of host. It waits until there
// is one and, where the local HAProxy is known, until that one is among them:
// a pod's own address comes into a headless service's name after the pod has
// started.
func (o renderOptions) resolvedProxies(ctx context.Context, host string, port int) ([]configs.RenderProxy, string, error) {
	want, local := netip.Addr{}, o.in.LocalProxy
	if a, err := netip.ParseAddr(local); err == nil {
		want = a.Unmap().WithZone("")
		local = configs.AddressName(want)
	}
	ctx, cancel := context.WithTimeout(ctx, o.wait)
	defer cancel()
	for {
		proxies, names, err := addressesOf(ctx, host, port, want)
		if err == nil && (local == "" || slices.Contains(names, local)) {
			return proxies, local, nil
		}
		if !sleep(ctx, resolveAgain) {
			why := fmt.Sprintf("has %s, and the local HAProxy's (%s) is not among them: is it ready, or does the service publish addresses that are not?", strings.Join(names, ", "), local)
			if err != nil {
				why = "has no address: " + err.Error()
			}
			return nil, "", fmt.Errorf("--proxies dns:%s: waited for %s; the name %s", host, o.wait, why)
		}
	}
}

// addressesOf resolves host. Where the local address is known only addresses of its
// family count: in a network with both each HAProxy would be there twice.
func addressesOf(ctx context.Context, host string, port int, local netip.Addr) (proxies []configs.RenderProxy, names []string, err error) {
	// A question of its own time: an unanswered one must not use up the whole wait.
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	found, err := lookupHost(ctx, "ip", host)
	if err != nil {
		if dns, ok := errors.AsType[*net.DNSError](err); ok {
			err = errors.New(dns.Err)
		}
		return nil, nil, err
	}
	for i := range found {
		found[i] = found[i].Unmap().WithZone("")
	}
	if local.IsValid() {
		found = slices.DeleteFunc(found, func(a netip.Addr) bool { return a.Is4() != local.Is4() })
	}
	slices.SortFunc(found, netip.Addr.Compare)
	found = slices.Compact(found)
	if len(found) == 0 {
		return nil, nil, errors.New("none of the local HAProxy's family (" + strconv.Quote(local.String()) + ")")
	}
	for _, a := range found {
		names = append(names, configs.AddressName(a))
		proxies = append(proxies, configs.RenderProxy{Name: configs.AddressName(a), Host: a.String(), Port: port})
	}
	return proxies, names, nil
}
