package configs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/google/renameio/v2"
)

// Install replaces path with data: a temporary file in the same folder, fsync, check on the temporary file, rename,
// fsync of the folder. Whoever reads path sees the old text or the new one, whole. Mode and owner stay; a new file has
// mode 644. A symbolic link is followed, so that it stays one. check may be nil; its error stops everything, with path
// untouched. A file without the header of a rendered one is refused with ErrNotOurs, unless force is set.
func Install(ctx context.Context, path string, data []byte, check func(tmp string) error, force bool) (err error) {
	tmp, err := stage(path, data, force)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tmp.Cleanup()) }()
	if check != nil {
		if err := check(tmp.Name()); err != nil {
			return fmt.Errorf("install %s: the new text was refused, the file is as it was: %w", path, err)
		}
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("install %s: %w", path, err)
	}
	return tmp.replace()
}

// staged is a new text beside the file that it is to replace.
type staged struct {
	*renameio.PendingFile
	path, target string
}

// stage writes the new text, with the file's mode and owner.
func stage(path string, data []byte, force bool) (s *staged, err error) {
	target, info, err := installTarget(path, force)
	if err != nil {
		return nil, err
	}
	mode := fs.FileMode(0o644)
	if info != nil {
		mode = info.Mode().Perm()
	}
	tmp, err := renameio.NewPendingFile(target, renameio.WithTempDir(filepath.Dir(target)), renameio.WithStaticPermissions(mode))
	if err != nil {
		return nil, fmt.Errorf("install %s: cannot write into its folder: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, tmp.Cleanup())
		}
	}()
	if _, err := tmp.Write(data); err != nil {
		return nil, fmt.Errorf("install %s: %w", path, err)
	}
	if err := keepOwner(tmp.File, info); err != nil {
		return nil, fmt.Errorf("install %s: cannot keep the file's owner: %w", path, err)
	}
	if err := tmp.Sync(); err != nil {
		return nil, fmt.Errorf("install %s: %w", path, err)
	}
	return &staged{PendingFile: tmp, path: path, target: target}, nil
}

// replace puts the new text in place.
func (s *staged) replace() error {
	if err := s.CloseAtomicallyReplace(); err != nil {
		return fmt.Errorf("install %s: cannot be replaced (a single file that is mounted cannot; mount its folder): %w", s.path, err)
	}
	return syncFolder(filepath.Dir(s.target))
}

// installTarget resolves links and refuses to touch what is not ours. info is nil where there is no file yet.
func installTarget(path string, force bool) (target string, info fs.FileInfo, err error) {
	target, err = filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, lerr := os.Lstat(path); lerr == nil {
			return "", nil, fmt.Errorf("install %s: it is a link to nowhere; remove it or create its target", path)
		}
		return path, nil, nil
	}
	if err != nil {
		return "", nil, fmt.Errorf("install %s: %w", path, err)
	}
	info, err = os.Stat(target)
	if err != nil {
		return "", nil, fmt.Errorf("install %s: %w", path, err)
	}
	if !info.Mode().IsRegular() {
		return "", nil, fmt.Errorf("install %s: it is not a regular file", path)
	}
	if force {
		return target, info, nil
	}
	old, err := os.ReadFile(target)
	if err != nil {
		return "", nil, fmt.Errorf("install %s: %w", path, err)
	}
	if _, ours := readHeader(string(old)); !ours {
		return "", nil, &Error{Pos: Position{File: path, Line: 1}, Problem: "the file was not rendered by haproxyctl and is not replaced", Fix: "force it, or choose another path", Err: ErrNotOurs}
	}
	return target, info, nil
}

// keepOwner gives the new file the old one's owner; nothing is asked of the system where it already is.
func keepOwner(f *os.File, old fs.FileInfo) error {
	if old == nil {
		return nil
	}
	want, ok := old.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	now, err := f.Stat()
	if err != nil {
		return err
	}
	if have, ok := now.Sys().(*syscall.Stat_t); ok && have.Uid == want.Uid && have.Gid == want.Gid {
		return nil
	}
	return f.Chown(int(want.Uid), int(want.Gid))
}

// syncFolder makes the rename last over a crash of the machine.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("install: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}
