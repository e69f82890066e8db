package register

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
	stateFile = "register.state"
	lostInfix = ".lost-"
	// keptLost is how many state files that were given up are kept for a look,
	// beside those that are never removed: see prune.
	keptLost = 3
)

// disk is the state file in its directory.
type disk struct {
	dir  string
	lock *os.File
}

// openDisk makes sure that dir can be used, and by this process alone.
func openDisk(dir string) (*disk, error) {
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
	return &disk{dir: dir, lock: lock}, nil
}

func (d *disk) close() error { return d.lock.Close() }

func (d *disk) path() string { return filepath.Join(d.dir, stateFile) }

// load reads the state file. Without one body is nil. lost says why a file that
// was there cannot be used; it was moved aside. The error means that it is not
// known what is on the disk, so nothing may be done.
func (d *disk) load(name string) (body []byte, lost string, err error) {
	d.removeTemporary()
	f, err := os.Open(d.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	id, err := identity(f)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", d.path(), err)
	}
	data, err := os.ReadFile(d.path())
	if err != nil {
		return nil, "", err
	}
	body, err = openFile(data, id)
	if err == nil {
		var im *image
		if im, err = decodeImage(body); err == nil && im.name != name {
			err = fmt.Errorf("it belongs to %q, this member is %q", im.name, name)
		}
	}
	switch {
	case errors.Is(err, errNewerFile):
		return nil, "", fmt.Errorf("%s: %w", d.path(), err)
	case err != nil:
		if aside := d.setAside(); aside != nil {
			return nil, "", aside
		}
		return nil, err.Error(), nil
	}
	return body, "", nil
}

// write replaces the state file. When it returns without an error the new
// contents survive a power failure; after an error either may be there.
func (d *disk) write(body []byte, aside bool) (err error) {
	f, err := os.CreateTemp(d.dir, stateFile+".new-*")
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
	if _, err = f.Write(sealFile(body, id)); err != nil {
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
	if err = os.Rename(f.Name(), d.path()); err != nil {
		return err
	}
	return d.syncDir()
}

// probe finds out whether writing works again after a failure, and loads the
// state file, which may be the one from before or after the write that failed.
// It is written once more: after a failure what is read may be in a cache alone.
func (d *disk) probe(name string) (body []byte, lost string, err error) {
	if body, lost, err = d.load(name); err != nil {
		return nil, "", err
	}
	if body != nil {
		return body, lost, d.write(body, false)
	}
	// The new, empty disk is written by the core.
	f, err := os.CreateTemp(d.dir, stateFile+".new-*")
	if err != nil {
		return nil, "", err
	}
	_, err = f.Write(make([]byte, fileHeader))
	return nil, lost, errors.Join(err, f.Sync(), f.Close(), os.Remove(f.Name()))
}

func (d *disk) syncDir() error {
	f, err := os.Open(d.dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// removeTemporary removes what a crash left behind.
func (d *disk) removeTemporary() {
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), stateFile+".new-") {
			os.Remove(filepath.Join(d.dir, e.Name()))
		}
	}
}
