// Package safefile says whether a file that this program acts on can be written by somebody else, and keeps the daemon's
// own files in a folder that nobody else can write.
//
// Whoever writes the gossip's keys takes part in decisions, whoever writes the state file takes promises back, and whoever
// writes a password has the daemon log in elsewhere. So a file that its group or others may write is refused; one that
// others may read is worth a warning, and no more: it may be in use. What Kubernetes makes is neither: a volume's root of
// mode 0777, a Secret that fsGroup may read, and files that the kubelet opened to fsGroup (see Folder).
package safefile

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// UnsafeError names a file or folder that somebody else may write.
type UnsafeError struct {
	Path string
	// Text says who may, and what that would mean; Fix is the command that ends it.
	Text, Fix string
}

func (e *UnsafeError) Error() string { return fmt.Sprintf("%s: %s: %s", e.Path, e.Text, e.Fix) }

const (
	writable = 0o022 // the group, others
	readable = 0o004 // others
)

// judge says what is wrong with a file of this mode: a warning, or why it is refused.
func judge(path string, mode fs.FileMode) (warning string, err error) {
	octal := fmt.Sprintf("mode %04o", mode.Perm())
	switch {
	case mode.Perm()&0o002 != 0:
		return "", &UnsafeError{path, "everybody may write it (" + octal + "), so nothing in it can be believed", "chmod go-w " + path}
	case mode.Perm()&0o020 != 0:
		return "", &UnsafeError{path, "its group may write it (" + octal + "), so nothing in it can be believed", "chmod go-w " + path}
	case mode.Perm()&readable != 0:
		return fmt.Sprintf("%s: everybody on this machine may read it (%s): chmod o-r %s", path, octal, path), nil
	}
	return "", nil
}

// Check says whether path may be believed: a warning for people, "" for none, or an error, an *UnsafeError where somebody
// else may write it. A symbolic link is followed, because a Secret's files are links.
func Check(path string) (warning string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	return checkOpen(f)
}

func checkOpen(f *os.File) (warning string, err error) {
	st, err := f.Stat()
	if err != nil {
		return "", err
	}
	if warning, err = judge(f.Name(), st.Mode()); warning != "" || err != nil {
		return warning, err
	}
	// Not refused: a file system may show another owner than the one who wrote (an NFS server that squashes root), and an
	// administrator's own account may hold the file.
	if uid := owner(st); uid != 0 && uid != os.Geteuid() {
		warning = fmt.Sprintf("%s: it belongs to the user %d, who is neither root nor this process's, and may write it", f.Name(), uid)
	}
	return warning, nil
}

// maxFile bounds what Read reads: no key and no password has a megabyte.
const maxFile = 1 << 20

// Read reads a small file whose contents are acted on, and refuses one that somebody else may write with an *UnsafeError.
// What is judged is what is read, whatever is put in its place meanwhile. The warning is as Check's.
func Read(path string) (text []byte, warning string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = f.Close() }()
	if warning, err = checkOpen(f); err != nil {
		return nil, "", err
	}
	text, err = io.ReadAll(io.LimitReader(f, maxFile))
	return text, warning, err
}

// owner is the user that a file belongs to.
func owner(st fs.FileInfo) int { return int(st.Sys().(*syscall.Stat_t).Uid) }

// group is the group that a file belongs to.
func group(st fs.FileInfo) int { return int(st.Sys().(*syscall.Stat_t).Gid) }
