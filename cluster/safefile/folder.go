package safefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// folderName is the daemon's own folder in its data directory. The directory is often a volume's root, which Kubernetes
// makes with mode 0777 or gives to fsGroup: files in it may be replaced by anybody, whatever their own mode is.
const folderName = "haproxyd"

// Folder makes sure that the folder of the daemon's own files is in dataDir, with mode 0700, and gives its path. Files
// that an older version keeps in dataDir itself are moved in (adopt). The warnings are for people.
//
// Errors: an *UnsafeError where somebody else may write the folder or a file in it; another process that uses dataDir;
// what the system says. After any of them nothing is lost, and the next call goes on where this one ended.
//
// fsGroup: unless a volume says otherwise, the kubelet gives every file on it to that group and adds the group's right to
// write whenever it mounts the volume (pkg/volume/volume_linux.go, SetVolumeOwnership: mode |= 0660, for folders 0770 and
// setgid). That happens before any container of the pod runs, and the group's members are its containers. So where a
// folder is setgid for one of this process's groups, what that group may write is taken back (chmod) instead of refused.
func Folder(dataDir string) (folder string, warnings []string, err error) {
	folder = filepath.Join(dataDir, folderName)
	root, own, err := makeFolder(dataDir, folder)
	if err != nil {
		return "", nil, fmt.Errorf("data directory: %w", err)
	}
	kubelet := opened(root) || opened(own)
	if err := judgeFolder(folder, own, kubelet); err != nil {
		return "", nil, err
	}
	unlock, err := lock(dataDir, folder)
	if err != nil {
		return "", nil, err
	}
	defer unlock()
	if err := adopt(dataDir, folder, kubelet); err != nil {
		return "", nil, fmt.Errorf("data directory %s: %w", dataDir, err)
	}
	warnings, err = tidy(folder, own, kubelet)
	return folder, warnings, err
}

// makeFolder makes the data directory and the folder in it where they are not there yet, and tells what is there now.
func makeFolder(dataDir, folder string) (root, own fs.FileInfo, err error) {
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return nil, nil, err
	}
	err = os.Mkdir(folder, 0o700)
	if err == nil {
		err = syncDir(dataDir)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, nil, err
	}
	if root, err = os.Stat(dataDir); err != nil {
		return nil, nil, err
	}
	own, err = os.Lstat(folder)
	return root, own, err
}

// opened tells whether a folder looks as the kubelet leaves it for fsGroup, and that group is one of ours.
func opened(st fs.FileInfo) bool { return st.Mode()&fs.ModeSetgid != 0 && ofOurGroups(st) }

// taken tells whether the right to write a file is the one that the kubelet gives, to be taken back.
func taken(st fs.FileInfo, kubelet bool) bool {
	return kubelet && st.Mode().Perm()&0o002 == 0 && ofOurGroups(st)
}

// ofOurGroups tells whether a file belongs to one of this process's groups.
func ofOurGroups(st fs.FileInfo) bool {
	groups, err := os.Getgroups()
	return err == nil && slices.Contains(append(groups, os.Getegid()), group(st))
}

// judgeFolder refuses a folder that is none, that somebody else may write, or that somebody else has put there.
func judgeFolder(folder string, st fs.FileInfo, kubelet bool) error {
	switch {
	case !st.IsDir():
		return &UnsafeError{folder, "it is no folder, and this daemon's own is to be there", "move it away"}
	case taken(st, kubelet):
		return nil
	case st.Mode().Perm()&writable != 0:
		return &UnsafeError{folder, fmt.Sprintf("others than this daemon's user may write it (mode %04o), so nothing in it can be believed", st.Mode().Perm()), "chmod 700 " + folder}
	}
	// Whoever a new file belongs to here is this process, also where the file system shows another number.
	f, err := os.CreateTemp(folder, "owner-*")
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	now, err := f.Stat()
	if err = errors.Join(err, f.Close(), os.Remove(f.Name())); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	if uid := owner(st); uid != 0 && uid != owner(now) {
		return &UnsafeError{folder, fmt.Sprintf("it belongs to the user %d and not to this daemon's, %d, so nothing in it can be believed", uid, owner(now)), fmt.Sprintf("chown -R %d %s, or move it away", owner(now), folder)}
	}
	return nil
}

// lock keeps every other daemon off, an older version too, until the returned function is called.
func lock(dataDir, folder string) (unlock func(), err error) {
	// An older version's lock is in dataDir, where a link stands afterwards: both lock the same file.
	path := filepath.Join(dataDir, lockFile)
	if _, err := os.Lstat(path); err != nil {
		path = filepath.Join(folder, lockFile)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("data directory %s is used by another process: %w", dataDir, err), f.Close())
	}
	return func() { _ = f.Close() }, nil
}

// tidy judges the files in the folder, takes back what the kubelet gave, and leaves the folder to its owner alone.
func tidy(folder string, own fs.FileInfo, kubelet bool) (warnings []string, err error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(folder, e.Name())
		st, err := os.Stat(path)
		if err != nil || !st.Mode().IsRegular() {
			continue // a link to nowhere, a socket: nobody reads them from here
		}
		if st.Mode().Perm()&writable != 0 && taken(st, kubelet) {
			warnings = append(warnings, closed(path, st, 0o600)...)
			continue
		}
		warning, err := judge(path, st.Mode())
		if err != nil {
			return nil, err
		}
		if warning != "" {
			warnings = append(warnings, warning)
		}
	}
	switch {
	case own.Mode().Perm()&writable != 0: // the kubelet's, or it was refused before
		warnings = append(warnings, closed(folder, own, 0o700)...)
	case own.Mode().Perm()&0o055 != 0:
		warnings = append(warnings, fmt.Sprintf("%s: others than this daemon's user may look into it (mode %04o): chmod 700 %s", folder, own.Mode().Perm(), folder))
	}
	return warnings, nil
}

// closed takes the group's right back. Where that cannot be, because the file is another user's, it stays as Kubernetes
// has it.
func closed(path string, st fs.FileInfo, mode fs.FileMode) []string {
	if err := os.Chmod(path, mode); err != nil {
		return []string{fmt.Sprintf("%s: the group %d, which is fsGroup, may write it, and this process cannot take that back: %v", path, group(st), err)}
	}
	return nil
}

// syncDir makes what happened in a folder outlive a power failure.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// lost tells whether a name is that of a state file that was set aside.
func lost(name string) bool { return strings.HasPrefix(name, stateFile+".lost-") }
