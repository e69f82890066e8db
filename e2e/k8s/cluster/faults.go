package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// CutNode takes the node off the network, for everything on it; nothing on it ends. HealNode plugs it in again.
func (c *Cluster) CutNode(ctx context.Context, node string) error { return c.cut(ctx, node, true) }

// HealNode ends CutNode.
func (c *Cluster) HealNode(ctx context.Context, node string) error { return c.cut(ctx, node, false) }

func (c *Cluster) cut(ctx context.Context, node string, down bool) error {
	if err := c.check(Cut, node); err != nil {
		return err
	}
	return c.backend.cut(ctx, node, down)
}

// FreezeNode stops every process of the node in place, its pods' and its own, as a machine whose hypervisor stops it;
// the kernel still answers on the network. It returns when all have stopped. ThawNode lets them go on.
func (c *Cluster) FreezeNode(ctx context.Context, node string) error {
	return c.freeze(ctx, node, true)
}

// ThawNode ends FreezeNode.
func (c *Cluster) ThawNode(ctx context.Context, node string) error { return c.freeze(ctx, node, false) }

func (c *Cluster) freeze(ctx context.Context, node string, frozen bool) error {
	if err := c.check(Freeze, node); err != nil {
		return err
	}
	return c.backend.freeze(ctx, node, frozen)
}

// CrashNode ends every process of the node at once with SIGKILL, as a loss of power does, but for the disk's cache.
// The node stays down until RestartNode.
func (c *Cluster) CrashNode(ctx context.Context, node string) error {
	if err := c.check(Crash, node); err != nil {
		return err
	}
	return c.backend.crash(ctx, node)
}

// RestartNode starts a crashed node.
func (c *Cluster) RestartNode(ctx context.Context, node string) error {
	if err := c.check(Crash, node); err != nil {
		return err
	}
	return c.backend.restart(ctx, node)
}

func (c *Cluster) check(fault Fault, node string) error {
	if !c.Supports(fault) {
		return fmt.Errorf("%s node %s: %w (%s)", fault, node, ErrUnsupported, c.kind)
	}
	if !slices.Contains(c.nodes, node) {
		return fmt.Errorf("%s: no node is named %q: want one of %s", fault, node, strings.Join(c.nodes, ", "))
	}
	return nil
}

// Process is one of a container, as this machine sees it.
type Process struct {
	PID, Parent int
	// Name is the program's, as in /proc/PID/comm: at most 15 bytes.
	Name string
	Args []string
}

// Processes lists a container's processes, ordered by their number on this machine.
func (c *Cluster) Processes(ctx context.Context, namespace, pod, container string) ([]Process, error) {
	if !c.Supports(Kill) {
		return nil, fmt.Errorf("processes of %s: %w (%s)", pod, ErrUnsupported, c.kind)
	}
	id, err := c.containerID(ctx, namespace, pod, container)
	if err != nil {
		return nil, err
	}
	root, err := findContainer(id)
	if err != nil {
		return nil, fmt.Errorf("%s/%s container %s: %w", namespace, pod, container, err)
	}
	pids, err := processes(root)
	if err != nil {
		return nil, err
	}
	slices.Sort(pids)
	var found []Process
	for _, pid := range pids {
		process, err := readProcess(pid)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue
		}
		if err != nil {
			return nil, err
		}
		found = append(found, process)
	}
	return found, nil
}

// Kill9 ends, from outside, every process of the container that runs the named program, with SIGKILL. It is an error
// if there is none.
func (c *Cluster) Kill9(ctx context.Context, namespace, pod, container, process string) error {
	found, err := c.Processes(ctx, namespace, pod, container)
	if err != nil {
		return err
	}
	var names []string
	killed := 0
	for _, p := range found {
		names = append(names, p.Name)
		if p.Name != process {
			continue
		}
		if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("kill %d (%s): %w", p.PID, p.Name, err)
		}
		killed++
	}
	if killed == 0 {
		return fmt.Errorf("no process %q in %s/%s container %s, which has %v", process, namespace, pod, container, names)
	}
	return nil
}

func (c *Cluster) containerID(ctx context.Context, namespace, pod, container string) (string, error) {
	out, err := c.Kubectl(ctx, "-n", namespace, "get", "pod", pod, "-o", "json")
	if err != nil {
		return "", err
	}
	type status struct{ Name, ContainerID string }
	var object struct {
		Status struct{ ContainerStatuses, InitContainerStatuses []status }
	}
	if err := json.Unmarshal(out, &object); err != nil {
		return "", err
	}
	for _, s := range append(object.Status.ContainerStatuses, object.Status.InitContainerStatuses...) {
		if s.Name != container {
			continue
		}
		// "containerd://ID", and empty before the container has started.
		if _, id, ok := strings.Cut(s.ContainerID, "://"); ok && id != "" {
			return id, nil
		}
		return "", fmt.Errorf("%s/%s: container %s does not run", namespace, pod, container)
	}
	return "", fmt.Errorf("%s/%s has no container %q", namespace, pod, container)
}

// findContainer finds the cgroup of a container below the root of the hierarchies; its name has the container's ID.
func findContainer(id string) (string, error) {
	base := filepath.Join(cgroupRoot, "pids")
	found := ""
	err := filepath.WalkDir(base, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if entry.IsDir() && strings.Contains(entry.Name(), id) {
			found = strings.TrimPrefix(path, base+"/")
			return fs.SkipAll
		}
		return nil
	})
	if err == nil && found == "" {
		err = fmt.Errorf("no cgroup of %s: it has ended", id)
	}
	return found, err
}

func readProcess(pid int) (Process, error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return Process{}, err
	}
	line, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	if err != nil {
		return Process{}, err
	}
	p := Process{PID: pid, Args: strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")}
	for _, field := range strings.Split(string(status), "\n") {
		name, value, _ := strings.Cut(field, ":")
		switch name {
		case "Name":
			p.Name = strings.TrimSpace(value)
		case "PPid":
			if p.Parent, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
				return Process{}, err
			}
		}
	}
	return p, nil
}
