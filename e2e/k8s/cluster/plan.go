package cluster

import (
	"fmt"
	"net/netip"
)

// The native cluster's networks lie in 198.18.0.0/15, which RFC 2544 keeps for tests of networks: no machine of a
// site has an address there.
const (
	podNetwork     = "198.18.0.0/20"
	serviceNetwork = "198.19.0.0/20"
	hostAddress    = "198.18.255.254"
	linkBits       = 24
	apiPort        = 6443
	// maxNodes is how many networks of pods fit into podNetwork, one /24 each.
	maxNodes = 16
)

// nodePlan is what is decided about a node before it is made.
type nodePlan struct {
	Name string // n1, n2, ...
	// Address is the node's, at the switch.
	Address netip.Addr
	// Pods is the network of the node's pods.
	Pods netip.Prefix
	// Port is the name of its port in the switch.
	Port string
	// Cgroup is the node's root in every hierarchy.
	Cgroup string
}

// plan lays out n nodes.
func plan(n int) ([]nodePlan, error) {
	if n < 1 || n > maxNodes {
		return nil, fmt.Errorf("%d nodes: want 1 to %d", n, maxNodes)
	}
	var nodes []nodePlan
	for i := range n {
		name := fmt.Sprintf("n%d", i+1)
		nodes = append(nodes, nodePlan{
			Name:    name,
			Address: netip.AddrFrom4([4]byte{198, 18, 255, byte(i + 1)}),
			Pods:    netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, byte(i), 0}), linkBits),
			Port:    "port-" + name,
			Cgroup:  cgroupPrefix + name,
		})
	}
	return nodes, nil
}
