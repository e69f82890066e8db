package safefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Names that a daemon has in its data directory.
const (
	stateFile   = "register.state"
	lockFile    = "register.lock"
	changesFile = "haproxy-changes.json"
	seenFile    = "haproxy-seen.json"
)

// linked are the files that an older version must find where it left them.
var linked = []string{lockFile, stateFile, changesFile, seenFile}

// adopt moves the files of an older version, which keeps them in dataDir itself, into the folder, once. A link is left in
// the place of each, so that going back to the older version loses nothing: it reads through the link (the file is the
// same one, with its time of birth, so it is no copy), and replaces the link by a file when it writes. So a file in dataDir
// is always newer than the one in the folder: only an older version puts one there. It takes that one's place.
//
// At every moment both versions find the newest file: it gets its second name before the link takes the first one's place.
// A crash between leaves two names of one file, and the next start goes on.
func adopt(dataDir, folder string, kubelet bool) error {
	entries, err := os.ReadDir(dataDir)
	if err != nil {
		return err
	}
	older := false // an older version was here
	for _, e := range entries {
		name := e.Name()
		switch {
		case strings.HasPrefix(name, stateFile+".new-"): // what a crash left behind, of either version
			err = os.Remove(filepath.Join(dataDir, name))
		case lost(name) && e.Type() == fs.ModeSymlink:
			// An older version gave up, through the link, the disk that is in the folder.
			err = errors.Join(ignoreMissing(os.Rename(filepath.Join(folder, stateFile), filepath.Join(folder, name))), syncDir(folder))
			err = errors.Join(err, os.Remove(filepath.Join(dataDir, name)))
		case (lost(name) || name == changesFile+".bad") && e.Type().IsRegular():
			if ours(filepath.Join(dataDir, name), folder, kubelet) == nil { // for people; nothing depends on it
				err = os.Rename(filepath.Join(dataDir, name), filepath.Join(folder, name))
			}
		}
		if err != nil {
			return err
		}
	}
	for _, name := range linked {
		st, err := os.Lstat(filepath.Join(dataDir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		older = true
		if !st.Mode().IsRegular() {
			continue // the link that is left here
		}
		if err := ours(filepath.Join(dataDir, name), folder, kubelet); err != nil {
			return err
		}
		if err := move(dataDir, folder, name); err != nil {
			return err
		}
	}
	if !older {
		return nil
	}
	for _, name := range linked {
		if err := leaveLink(dataDir, name); err != nil {
			return err
		}
	}
	return errors.Join(syncDir(folder), syncDir(dataDir))
}

// ours refuses a file of the data directory that somebody else may have written, or put there: everybody may where the
// directory's mode is 0777.
func ours(path, folder string, kubelet bool) error {
	st, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if taken(st, kubelet) {
		return nil
	}
	if _, err := judge(path, st.Mode()); err != nil {
		return err
	}
	own, err := os.Lstat(folder)
	if err != nil {
		return err
	}
	if uid := owner(st); uid != 0 && uid != owner(own) {
		return &UnsafeError{path, fmt.Sprintf("it belongs to the user %d and not to this daemon's, %d, so nothing in it can be believed", uid, owner(own)), fmt.Sprintf("chown %d %s, or move it away", owner(own), path)}
	}
	return nil
}

// move gives a file of the data directory its name in the folder, in place of what has that name. Where the file system
// knows no second names it is renamed at once.
func move(dataDir, folder, name string) error {
	from, to := filepath.Join(dataDir, name), filepath.Join(folder, name)
	second := to + ".moving"
	if err := ignoreMissing(os.Remove(second)); err != nil {
		return err
	}
	if same(from, to) {
		return nil // a crash ended this between the names and the link
	}
	if err := os.Link(from, second); err != nil {
		if err := os.Rename(from, to); err != nil {
			return err
		}
		return errors.Join(syncDir(folder), syncDir(dataDir))
	}
	if err := os.Rename(second, to); err != nil {
		return err
	}
	return syncDir(folder)
}

// leaveLink puts the link for an older version in the place of a file that has its name in the folder, or of none.
func leaveLink(dataDir, name string) error {
	path := filepath.Join(dataDir, name)
	if _, err := os.Readlink(path); err == nil {
		return nil
	}
	second := path + ".link"
	if err := ignoreMissing(os.Remove(second)); err != nil {
		return err
	}
	if err := os.Symlink(filepath.Join(folderName, name), second); err != nil {
		return err
	}
	return os.Rename(second, path)
}

func same(a, b string) bool {
	x, err := os.Lstat(a)
	if err != nil {
		return false
	}
	y, err := os.Lstat(b)
	return err == nil && os.SameFile(x, y)
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
