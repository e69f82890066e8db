package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// FileName is the name of the state file in its directory.
	FileName = "register.state"
	// LostInfix follows it in the names of those that were given up.
	LostInfix = ".lost-"
	// keptLost is how many state files that were given up are kept for a look,
	// beside those that are never removed: see prune.
	keptLost = 3
)

// File is the state file in its directory.
type File struct {
	dir  string
	lock *os.File
}

// Open makes sure that dir can be used, and by this process alone.
func Open(dir string) (*File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "register.lock"), os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("data directory %s is used by another process: %w", dir, err)
	}
	return &File{dir: dir, lock: lock}, nil
}

// Close lets another process use the directory.
func (d *File) Close() error { return d.lock.Close() }

// Path is where the file is.
func (d *File) Path() string { return filepath.Join(d.dir, FileName) }

// Load reads the state file. Without one body is nil. lost says why a file that
// was there cannot be used; it was moved aside. The error means that it is not
// known what is on the disk, so nothing may be done.
func (d *File) Load(name string) (body []byte, lost string, err error) {
	d.removeTemporary()
	f, err := os.Open(d.Path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	id, err := identity(f)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", d.Path(), err)
	}
	data, err := os.ReadFile(d.Path())
	if err != nil {
		return nil, "", err
	}
	body, im, err := unsealImage(data, id)
	if err == nil && im.Name != name {
		err = fmt.Errorf("it belongs to %q, this member is %q", im.Name, name)
	}
	switch {
	case errors.Is(err, errNewerFile):
		return nil, "", fmt.Errorf("%s: %w", d.Path(), err)
	case err != nil:
		if aside := d.setAside(); aside != nil {
			return nil, "", aside
		}
		return nil, err.Error(), nil
	}
	return body, "", nil
}

// Write replaces the state file. When it returns without an error the new
// contents survive a power failure; after an error either may be there.
func (d *File) Write(body []byte, aside bool) (err error) {
	f, err := os.CreateTemp(d.dir, FileName+".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	id, err := identity(f)
	if err != nil {
		return err
	}
	if _, err = f.Write(Seal(body, id)); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if aside {
		if err = d.setAside(); err != nil {
			return err
		}
	}
	if err = os.Rename(f.Name(), d.Path()); err != nil {
		return err
	}
	return d.syncDir()
}

// Probe finds out whether writing works again after a failure, and loads the
// state file, which may be the one from before or after the write that failed.
// It is written once more: after a failure what is read may be in a cache alone.
func (d *File) Probe(name string) (body []byte, lost string, err error) {
	if body, lost, err = d.Load(name); err != nil {
		return nil, "", err
	}
	if body != nil {
		return body, lost, d.Write(body, false)
	}
	// The new, empty disk is written by the core.
	f, err := os.CreateTemp(d.dir, FileName+".new-*")
	if err != nil {
		return nil, "", err
	}
	_, err = f.Write(make([]byte, fileHeader))
	return nil, lost, errors.Join(err, f.Sync(), f.Close(), os.Remove(f.Name()))
}

func (d *File) syncDir() error {
	f, err := os.Open(d.dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// removeTemporary removes what a crash left behind.
func (d *File) removeTemporary() {
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), FileName+".new-") {
			os.Remove(filepath.Join(d.dir, e.Name()))
		}
	}
}
