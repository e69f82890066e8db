package cluster

import (
	"context"
	"fmt"
	"path/filepath"

	"golang.org/x/sync/errgroup"
)

func (n *native) supports(fault Fault) bool {
	switch fault {
	case Cut, Freeze, Kill, Crash:
		return true
	default:
		return false
	}
}

func (n *native) find(name string) (nodePlan, error) {
	for _, node := range n.plan {
		if node.Name == name {
			return node, nil
		}
	}
	return nodePlan{}, fmt.Errorf("no node is named %q", name)
}

// load imports on all nodes at once.
func (n *native) load(ctx context.Context, archive string) error {
	// The nodes share the machine's files.
	path, err := filepath.Abs(archive)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, node := range n.plan {
		group.Go(func() error { return n.importImage(ctx, node, path) })
	}
	return group.Wait()
}

func (n *native) cut(ctx context.Context, name string, down bool) error {
	node, err := n.find(name)
	if err != nil {
		return err
	}
	state := "up"
	if down {
		state = "down"
	}
	return n.onSwitch(ctx, fmt.Sprintf("link set %s %s", node.Port, state))
}

func (n *native) freeze(ctx context.Context, name string, on bool) error {
	node, err := n.find(name)
	if err != nil {
		return err
	}
	state := thawed
	if on {
		state = frozen
	}
	return setFreezer(ctx, node.Cgroup, state)
}

// crash spares only the process that holds the namespaces: the node's link and folders stay.
func (n *native) crash(ctx context.Context, name string) error {
	node, err := n.find(name)
	if err != nil {
		return err
	}
	return killAll(ctx, node.Cgroup, n.state.Holders[name])
}

func (n *native) restart(ctx context.Context, name string) error {
	node, err := n.find(name)
	if err != nil {
		return err
	}
	return n.startRuntime(ctx, node, nil)
}

func (n *native) volumeRoot() string { return volumesPath }

func (n *native) volume(ctx context.Context, name, path string) error {
	node, err := n.find(name)
	if err != nil {
		return err
	}
	_, err = n.onNode(ctx, node, "/bin/sh", "-ec", volumeScript, "volume", path)
	return err
}
