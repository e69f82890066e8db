package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	// hostLink is this machine's own port in the switch: kubectl and the tests reach the cluster by it.
	hostLink     = "k8slab0"
	switchBridge = "switch"
	switchCgroup = cgroupPrefix + "switch"
)

// switchScript makes the switch in a network namespace of its own, which it holds: bridges of this machine, and what
// filters their traffic, play no part.
const switchScript = `set -e
ip link set lo up
ip link add ` + switchBridge + ` type bridge forward_delay 0
ip link set ` + switchBridge + ` up
touch "$1"
exec sleep infinity
`

// checkRoutes refuses a machine that uses the cluster's addresses.
func checkRoutes() error {
	out, err := exec.Command("ip", "-o", "route", "show", "root", "198.18.0.0/15").CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip route: %w: %s", err, out)
	}
	if route := strings.TrimSpace(string(out)); route != "" {
		return fmt.Errorf("this machine has a route into 198.18.0.0/15, which is the native cluster's: %s", route)
	}
	return nil
}

func (n *native) makeSwitch(ctx context.Context) error {
	if err := makeCgroup(switchCgroup); err != nil {
		return err
	}
	made := filepath.Join(n.dir, "switch-made")
	pid, err := n.spawn(switchCgroup, "switch.log", "unshare", "--net", "/bin/sh", "-c", switchScript, "switch", made)
	if err != nil {
		return err
	}
	n.state.Switch = pid
	if err := n.state.write(n.dir); err != nil {
		return err
	}
	if err := n.waitMade(ctx, pid, made, "switch.log"); err != nil {
		return err
	}
	commands := []string{
		fmt.Sprintf("link add %s type veth peer name host netns %d", hostLink, pid),
		fmt.Sprintf("addr add %s/%d dev %s", hostAddress, linkBits, hostLink),
		fmt.Sprintf("link set %s up", hostLink),
		// Services by the first node, whose kube-proxy translates them.
		fmt.Sprintf("route add %s via %s", serviceNetwork, n.plan[0].Address),
	}
	for _, node := range n.plan {
		commands = append(commands, fmt.Sprintf("route add %s via %s", node.Pods, node.Address))
	}
	if err := ip(ctx, commands...); err != nil {
		return err
	}
	return n.onSwitch(ctx, "link set host master "+switchBridge, "link set host up")
}

// plug links the node to the switch and gives it its address and its routes.
func (n *native) plug(ctx context.Context, node nodePlan) error {
	pid := n.state.Holders[node.Name]
	err := n.onSwitch(ctx, fmt.Sprintf("link add %s type veth peer name eth0 netns /proc/%d/ns/net", node.Port, pid),
		fmt.Sprintf("link set %s master %s", node.Port, switchBridge), fmt.Sprintf("link set %s up", node.Port))
	if err != nil {
		return err
	}
	commands := []string{
		fmt.Sprintf("addr add %s/%d dev eth0", node.Address, linkBits),
		"link set eth0 up",
		"route add default via " + hostAddress,
	}
	for _, other := range n.plan {
		if other.Name != node.Name {
			commands = append(commands, fmt.Sprintf("route add %s via %s", other.Pods, other.Address))
		}
	}
	for _, command := range commands {
		if _, err := n.onNode(ctx, node, append([]string{"ip"}, strings.Fields(command)...)...); err != nil {
			return err
		}
	}
	return nil
}

func ip(ctx context.Context, commands ...string) error {
	for _, command := range commands {
		if _, err := output(exec.CommandContext(ctx, "ip", strings.Fields(command)...)); err != nil {
			return err
		}
	}
	return nil
}

// onSwitch runs commands of ip in the switch. Only the network is the switch's: /proc stays, so that the namespace of
// a node can be named by its process.
func (n *native) onSwitch(ctx context.Context, commands ...string) error {
	for _, command := range commands {
		args := append([]string{"-t", strconv.Itoa(n.state.Switch), "--net", "--", "ip"}, strings.Fields(command)...)
		if _, err := output(exec.CommandContext(ctx, "nsenter", args...)); err != nil {
			return err
		}
	}
	return nil
}

// waitLinkGone removes this machine's port in the switch, unless the end of the switch has.
func waitLinkGone(ctx context.Context) error {
	for {
		if _, err := net.InterfaceByName(hostLink); err != nil {
			return nil
		}
		_ = exec.CommandContext(ctx, "ip", "link", "del", hostLink).Run()
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return errors.Join(fmt.Errorf("the link %s stays", hostLink), err)
		}
	}
}
