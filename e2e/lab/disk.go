package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// SmallDisk gives a node that is down a disk of its own, of some MiB, with a copy of its data. Undo ends the node and
// takes the disk away: what the node had before is there again.
func (n *Node) SmallDisk(ctx context.Context, mib int) (*Fault, error) {
	if n.Running() {
		return nil, fmt.Errorf("a disk for %s: it runs", n.Name)
	}
	before := n.DataDir + ".before"
	err := os.Rename(n.DataDir, before)
	if err == nil {
		err = n.lab.ownFolder(n.DataDir)
	}
	if err == nil {
		err = unix.Mount("disk", n.DataDir, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=777", mib))
	}
	if err != nil {
		_ = os.Remove(n.DataDir)
		return nil, errors.Join(fmt.Errorf("a disk for %s: %w", n.Name, err), os.Rename(before, n.DataDir))
	}
	f := n.lab.remember(&Fault{what: "a small disk of " + n.Name, undo: func(context.Context) error {
		n.Kill9()
		return errors.Join(unix.Unmount(n.DataDir, unix.MNT_DETACH), os.Remove(n.DataDir), os.Rename(before, n.DataDir))
	}})
	if out, err := exec.CommandContext(ctx, "cp", "-a", "--sparse=always", before+"/.", n.DataDir).CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("copy the data of %s: %w: %s", n.Name, err, out), f.Undo(ctx))
	}
	return f, nil
}

// FillDisk takes whatever is left of a node's small disk. The file is not the node's, and goes with the disk.
func (n *Node) FillDisk() error {
	f, err := os.Create(filepath.Join(n.DataDir, "filler"))
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	block := make([]byte, 1<<20)
	for size := len(block); size >= 4096; {
		if _, err := f.Write(block[:size]); errors.Is(err, unix.ENOSPC) {
			size /= 2
		} else if err != nil {
			return err
		}
	}
	return nil
}

// unmountBelow takes away what is mounted in a folder's folders.
func unmountBelow(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	}
	var errs []error
	for _, e := range entries {
		// EINVAL: it is no mount.
		if err := unix.Unmount(filepath.Join(dir, e.Name()), unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOTDIR) {
			errs = append(errs, fmt.Errorf("unmount %s: %w", e.Name(), err))
		}
	}
	return errors.Join(errs...)
}
