package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	cgroupRoot = "/sys/fs/cgroup"
	// cgroupPrefix starts the names of everything of the native cluster in the hierarchies, so that a cluster whose
	// maker died is found by them alone.
	cgroupPrefix = "k8slab-"
	// systemCgroup, below a node's root, has the node's own processes; its pods are beside it.
	systemCgroup = "system"
	frozen       = "FROZEN"
	thawed       = "THAWED"
)

// hierarchies are the mounted hierarchies of cgroup v1.
func hierarchies() ([]string, error) {
	found, err := filepath.Glob(cgroupRoot + "/*/tasks")
	if err != nil {
		return nil, err
	}
	var dirs []string
	seen := map[string]bool{}
	for _, path := range found {
		// "cpu" may be a link to "cpu,cpuacct".
		dir, err := filepath.EvalSymlinks(filepath.Dir(path))
		if err != nil {
			return nil, err
		}
		if !seen[dir] {
			seen[dir] = true
			dirs = append(dirs, dir)
		}
	}
	for _, needed := range []string{"pids", "freezer", "memory", "cpu", "cpuset", "devices"} {
		if _, err := os.Stat(filepath.Join(cgroupRoot, needed, "tasks")); err != nil {
			return nil, fmt.Errorf("no cgroup v1 hierarchy %q at %s: the native cluster needs cgroup v1; "+
				"use the kind \"kind\", or KUBECONFIG for a cluster of your own", needed, cgroupRoot)
		}
	}
	return dirs, nil
}

// makeCgroup makes root/system in every hierarchy.
func makeCgroup(root string) error {
	dirs, err := hierarchies()
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		parent := dir
		for _, name := range []string{root, systemCgroup} {
			child := filepath.Join(parent, name)
			if err := os.MkdirAll(child, 0o755); err != nil {
				return err
			}
			// A cpuset is born empty and takes no process then.
			for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
				value, err := os.ReadFile(filepath.Join(parent, file))
				if errors.Is(err, fs.ErrNotExist) {
					continue
				}
				if err != nil {
					return err
				}
				if err := os.WriteFile(filepath.Join(child, file), value, 0o644); err != nil {
					return err
				}
			}
			parent = child
		}
	}
	return nil
}

// enterCgroup is shell text that moves the shell to root/system in every hierarchy.
func enterCgroup(root string) string {
	return fmt.Sprintf(`for d in %s/*/%s/%s; do echo $$ >"$d/cgroup.procs"; done; `, cgroupRoot, root, systemCgroup)
}

// cgroupRoots are the native cluster's roots that exist, by name.
func cgroupRoots() ([]string, error) {
	found, err := filepath.Glob(cgroupRoot + "/*/" + cgroupPrefix + "*")
	if err != nil {
		return nil, err
	}
	var names []string
	seen := map[string]bool{}
	for _, path := range found {
		if name := filepath.Base(path); !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	return names, nil
}

// processes lists what is in a cgroup of the pids hierarchy and below it.
func processes(root string) ([]int, error) {
	var pids []int
	err := filepath.WalkDir(filepath.Join(cgroupRoot, "pids", root), func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || entry.Name() != "cgroup.procs" {
			return err
		}
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV) {
			return nil
		}
		for _, word := range strings.Fields(string(content)) {
			pid, convErr := strconv.Atoi(word)
			if convErr != nil {
				return convErr
			}
			pids = append(pids, pid)
		}
		return err
	})
	return pids, err
}

// killAll ends every process of a root but spare (0: none is spared) with SIGKILL and returns when none is left.
func killAll(ctx context.Context, root string, spare int) error {
	if err := setFreezer(ctx, root, thawed); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for {
		pids, err := processes(root)
		if err != nil {
			return err
		}
		left := 0
		for _, pid := range pids {
			if pid == spare {
				continue
			}
			left++
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("kill %d: %w", pid, err)
			}
		}
		if left == 0 {
			return nil
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("%d processes of %s do not end: %w", left, root, err)
		}
	}
}

// removeCgroup removes a root, from the leaves up, in every hierarchy. A cgroup stays busy for a moment after its last
// process has ended.
func removeCgroup(ctx context.Context, root string) error {
	for {
		var last error
		found, err := filepath.Glob(filepath.Join(cgroupRoot, "*", root))
		if err != nil {
			return err
		}
		for _, dir := range found {
			if err := removeTree(dir); err != nil {
				last = err
			}
		}
		if last == nil {
			return nil
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return errors.Join(last, err)
		}
	}
}

func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.IsDir() {
			if err := removeTree(filepath.Join(dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	if err := syscall.Rmdir(dir); err != nil && !errors.Is(err, syscall.ENOENT) {
		return fmt.Errorf("remove %s: %w", dir, err)
	}
	return nil
}

// setFreezer freezes or thaws a cgroup with all below it and returns when it is so.
func setFreezer(ctx context.Context, root, state string) error {
	path := filepath.Join(cgroupRoot, "freezer", root, "freezer.state")
	for {
		if err := os.WriteFile(path, []byte(state), 0o644); err != nil {
			return err
		}
		now, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if strings.TrimSpace(string(now)) == state {
			return nil
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return fmt.Errorf("%s is %s, not %s: %w", path, strings.TrimSpace(string(now)), state, err)
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
