package main

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/haproxy-peers/haproxy-peers/configs"
)

// peerHost is a line of peer-list: a database pod of a StatefulSet.
type peerHost struct {
	node configs.RenderNode
	// bare tells that the line was a name without a domain.
	bare bool
}

// ordinalName is the name of a StatefulSet's pod.
var ordinalName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?-([0-9]+)$`)

// maxList bounds the list: a full one has a few hundred bytes.
const maxList = 1 << 20

// parsePeerList reads hosts, one on a line: POD-ORDINAL, with or without its domain.
// Blank lines, spaces around, CRLF and a line that stands twice are no harm.
// The ordinal plus one is the server's id, which must stay the same for ever.
func parsePeerList(r io.Reader, domain string) ([]peerHost, error) {
	var hosts []peerHost
	byID := map[int]string{}
	lines := bufio.NewScanner(io.LimitReader(r, maxList))
	for n := 1; lines.Scan(); n++ {
		host := strings.TrimSuffix(strings.ToLower(strings.TrimSpace(lines.Text())), ".")
		if host == "" {
			continue
		}
		name, _, dotted := strings.Cut(host, ".")
		if isAddress(name) {
			return nil, usagef("standard input, line %d: %q is a name made of an address: it has no ordinal and changes with each pod; list the service that is the StatefulSet's serviceName", n, host)
		}
		f := ordinalName.FindStringSubmatch(name)
		if f == nil {
			return nil, usagef("standard input, line %d: %q has no ordinal: a line is the host of a StatefulSet's pod, like db-pxc-0.db-pxc.ns.svc.cluster.local", n, host)
		}
		ordinal, err := strconv.Atoi(f[2])
		if err != nil || ordinal > maxOrdinal {
			return nil, usagef("standard input, line %d: the ordinal of %q is above %d", n, name, maxOrdinal)
		}
		p := peerHost{configs.RenderNode{Name: name, Host: host, ID: ordinal + 1}, !dotted}
		if p.bare && domain != "" {
			p.node.Host = name + "." + strings.Trim(domain, ".")
		}
		if other, twice := byID[p.node.ID]; twice && other != p.node.Host {
			return nil, usagef("standard input, line %d: %q and %q have the same ordinal; the ids of the servers would clash", n, other, p.node.Host)
		} else if twice {
			continue
		}
		byID[p.node.ID] = p.node.Host
		hosts = append(hosts, p)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("standard input: %w", err)
	}
	return hosts, nil
}

// isAddress tells whether a name is an address with dashes, as a headless service names the
// pods that are another service's (10-244-0-12).
func isAddress(name string) bool {
	for _, between := range []string{".", ":"} {
		if _, err := netip.ParseAddr(strings.ReplaceAll(name, "-", between)); err == nil {
			return true
		}
	}
	return false
}

// maxOrdinal keeps an id within what HAProxy takes, far beyond any Galera cluster.
const maxOrdinal = 9999

// knownNodes are the nodes of the file that is replaced, in its order. None where there
// is no file or it was not rendered.
func knownNodes(t *configs.Topology) (nodes []configs.RenderNode) {
	if !t.Ours || len(t.Sticky) == 0 {
		return nil
	}
	for _, s := range t.Sticky[0].Servers {
		nodes = append(nodes, configs.RenderNode{Name: s.Name, Host: s.Host, ID: s.ID})
	}
	return nodes
}

// merged is every node ever seen, in the order of the predecessor and of Percona's
// script: ordinal 0, then the others from the highest down, because a rolling update
// starts at the highest. changes says what is new; nothing is ever taken away.
func merged(known []configs.RenderNode, listed []peerHost) (nodes []configs.RenderNode, changes []string, err error) {
	nodes = slices.Clone(known)
	for _, l := range listed {
		i := slices.IndexFunc(nodes, func(n configs.RenderNode) bool { return n.ID == l.node.ID })
		switch {
		case i < 0:
			nodes = append(nodes, l.node)
			changes = append(changes, l.node.Name+" is new")
		case nodes[i].Name != l.node.Name:
			return nil, nil, fmt.Errorf("%s has the ordinal of %s, which is in the file: that is another cluster; remove the file to start anew", l.node.Name, nodes[i].Name)
		case nodes[i].Host != l.node.Host && !l.bare:
			changes = append(changes, fmt.Sprintf("%s is at %s now", l.node.Name, l.node.Host))
			nodes[i].Host = l.node.Host
		}
	}
	slices.SortFunc(nodes, func(a, b configs.RenderNode) int {
		switch {
		case a.ID == 1:
			return -1
		case b.ID == 1:
			return 1
		}
		return b.ID - a.ID
	})
	return nodes, changes, nil
}

// absent are the nodes that the list does not name; their checks tell that they are down.
func absent(nodes []configs.RenderNode, listed []peerHost) []string {
	var out []string
	for _, n := range nodes {
		if !slices.ContainsFunc(listed, func(p peerHost) bool { return p.node.ID == n.ID }) {
			out = append(out, n.Name)
		}
	}
	return out
}
