package safefile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func put(t *testing.T, path, text string, mode fs.FileMode) {
	t.Helper()
	if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chmod(path, mode)); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, parts ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(parts...))
	if errors.Is(err, fs.ErrNotExist) {
		return "none"
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// names are what is in a folder, links with what they lead to.
func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		name := e.Name()
		if to, err := os.Readlink(filepath.Join(dir, name)); err == nil {
			name += ">" + to
		}
		out = append(out, name)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func mustFolder(t *testing.T, dir string) []string {
	t.Helper()
	folder, warnings, err := Folder(dir)
	if err != nil || folder != filepath.Join(dir, "haproxyd") {
		t.Fatalf("%s, %v", folder, err)
	}
	st, err := os.Lstat(folder)
	if err != nil || st.Mode().Perm() != 0o700 || !st.IsDir() {
		t.Fatalf("the folder is %v, %v", st, err)
	}
	return warnings
}

const links = "haproxy-changes.json>haproxyd/haproxy-changes.json haproxy-seen.json>haproxyd/haproxy-seen.json haproxyd register.lock>haproxyd/register.lock register.state>haproxyd/register.state"

// A first start makes the folder and nothing beside it, whatever the mode of the volume's root is.
func TestFirstStart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	if w := mustFolder(t, dir); len(w) > 0 || names(t, dir) != "haproxyd" {
		t.Errorf("%v, %s", w, names(t, dir))
	}
	for _, mode := range []fs.FileMode{0o777, 0o755, 0o777 | fs.ModeSticky, 0o700} {
		root := t.TempDir()
		if err := os.Chmod(root, mode); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if w := mustFolder(t, root); len(w) > 0 {
				t.Errorf("%v: %v", mode, w)
			}
		}
	}
}

// An older version's files are moved in once; both versions then find the newest, however often they take turns.
func TestTurns(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "register.lock"), "", 0o600)
	put(t, filepath.Join(dir, "register.state"), "1", 0o600)
	put(t, filepath.Join(dir, "register.state.lost-20260101T000000.000000000"), "lost", 0o600)
	put(t, filepath.Join(dir, "register.state.new-123"), "half", 0o600)
	put(t, filepath.Join(dir, "haproxy-changes.json"), "c1", 0o600)
	put(t, filepath.Join(dir, "haproxy-changes.json.bad"), "bad", 0o600)
	put(t, filepath.Join(dir, "somebody-elses"), "x", 0o666)
	before, err := os.Stat(filepath.Join(dir, "register.state"))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		mustFolder(t, dir)
		if got := names(t, dir); got != links+" somebody-elses" {
			t.Fatalf("in the data directory: %s", got)
		}
		if got := names(t, filepath.Join(dir, "haproxyd")); got != "haproxy-changes.json haproxy-changes.json.bad register.lock register.state register.state.lost-20260101T000000.000000000" {
			t.Fatalf("in the folder: %s", got)
		}
	}
	// No copy: a copy has another time of birth, and would be a disk that has forgotten.
	after, err := os.Lstat(filepath.Join(dir, "haproxyd", "register.state"))
	if err != nil || !os.SameFile(before, after) {
		t.Fatalf("the state file is another one, %v", err)
	}
	// The new version writes: the older one reads it through the link.
	replaceFile(t, filepath.Join(dir, "haproxyd", "register.state"), "2")
	if got := read(t, dir, "register.state"); got != "2" {
		t.Fatalf("an older version reads %s", got)
	}
	// The older one writes: the newer one takes it, and nothing of before.
	replaceFile(t, filepath.Join(dir, "register.state"), "3")
	mustFolder(t, dir)
	if got := read(t, dir, "haproxyd", "register.state") + read(t, dir, "register.state") + read(t, dir, "haproxyd", "haproxy-changes.json"); got != "33c1" {
		t.Fatalf("got %s", got)
	}
	// The older one gives its disk up: through the link, and then it dies, or begins a new one.
	for _, next := range []string{"none", "4"} {
		if err := os.Rename(filepath.Join(dir, "register.state"), filepath.Join(dir, "register.state.lost-2")); err != nil {
			t.Fatal(err)
		}
		if next != "none" {
			put(t, filepath.Join(dir, "register.state"), next, 0o600)
		}
		mustFolder(t, dir)
		if got := read(t, dir, "haproxyd", "register.state"); got != next {
			t.Fatalf("the disk that was given up is back: %s", got)
		}
		if got := read(t, dir, "haproxyd", "register.state.lost-2"); got != "3" || names(t, dir) != links+" somebody-elses" {
			t.Fatalf("what was given up is not kept: %s; %s", got, names(t, dir))
		}
		replaceFile(t, filepath.Join(dir, "haproxyd", "register.state"), "3")
	}
}

// replaceFile writes as both versions do.
func replaceFile(t *testing.T, path, text string) {
	t.Helper()
	put(t, path+".new-1", text, 0o600)
	if err := os.Rename(path+".new-1", path); err != nil {
		t.Fatal(err)
	}
}

// A crash at any moment of the move: an older version finds the newest file, and the next start goes on.
func TestCrashWhileMoving(t *testing.T) {
	in := func(dir string, name ...string) string {
		return filepath.Join(append([]string{dir, "haproxyd"}, name...)...)
	}
	for what, crash := range map[string]func(dir string) error{
		"before the second name": func(dir string) error { return os.Mkdir(in(dir), 0o700) },
		"the second name is on its way": func(dir string) error {
			return errors.Join(os.Mkdir(in(dir), 0o700), os.Link(filepath.Join(dir, "register.state"), in(dir, "register.state.moving")))
		},
		"two names": func(dir string) error {
			return errors.Join(os.Mkdir(in(dir), 0o700), os.Link(filepath.Join(dir, "register.state"), in(dir, "register.state")))
		},
		"two names, the link is on its way": func(dir string) error {
			return errors.Join(os.Mkdir(in(dir), 0o700), os.Link(filepath.Join(dir, "register.state"), in(dir, "register.state")),
				os.Symlink("haproxyd/register.state", filepath.Join(dir, "register.state.link")))
		},
		"renamed, where there are no second names": func(dir string) error {
			return errors.Join(os.Mkdir(in(dir), 0o700), os.Rename(filepath.Join(dir, "register.state"), in(dir, "register.state")))
		},
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			put(t, filepath.Join(dir, "register.lock"), "", 0o600)
			put(t, filepath.Join(dir, "register.state"), "newest", 0o600)
			if err := crash(dir); err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(what, "renamed") && read(t, dir, "register.state") != "newest" {
				t.Error("an older version does not find it")
			}
			mustFolder(t, dir)
			if read(t, dir, "register.state") != "newest" || read(t, dir, "haproxyd", "register.state") != "newest" || names(t, dir) != links {
				t.Errorf("%s; %s", names(t, dir), names(t, in(dir)))
			}
			if got := names(t, in(dir)); got != "register.lock register.state" {
				t.Errorf("in the folder: %s", got)
			}
		})
	}
}

// A daemon that runs keeps the other version off, whichever began.
func TestLocked(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "register.state"), "1", 0o600)
	held := func(path string) *os.File {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		return f
	}
	refused := func() {
		t.Helper()
		if _, _, err := Folder(dir); err == nil || !strings.Contains(err.Error(), "used by another process") {
			t.Fatal(err)
		}
	}
	older := held(filepath.Join(dir, "register.lock"))
	refused()
	if names(t, filepath.Join(dir, "haproxyd")) != "" {
		t.Error("files were moved from under a daemon that runs")
	}
	_ = older.Close()
	mustFolder(t, dir)
	newer := held(filepath.Join(dir, "haproxyd", "register.lock"))
	refused()
	f, err := os.OpenFile(filepath.Join(dir, "register.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil || unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
		t.Errorf("an older version starts beside this one: %v", err)
	}
	_, _ = f.Close(), newer.Close()
	mustFolder(t, dir) // both locks are gone with their files
}

// Whoever else may write the folder or a file in it may put a vote there that nobody gave.
func TestUnsafeFolder(t *testing.T) {
	state := func(dir string) string { return filepath.Join(dir, "haproxyd", "register.state") }
	for what, change := range map[string]func(dir string) error{
		"the group may write the folder": func(dir string) error { return os.Chmod(filepath.Join(dir, "haproxyd"), 0o770) },
		"all may write the folder":       func(dir string) error { return os.Chmod(filepath.Join(dir, "haproxyd"), 0o702) },
		"the group may write the state":  func(dir string) error { return os.Chmod(state(dir), 0o660) },
		"all may write the state":        func(dir string) error { return os.Chmod(state(dir), 0o602) },
		"no folder": func(dir string) error {
			return errors.Join(os.RemoveAll(filepath.Join(dir, "haproxyd")), os.WriteFile(filepath.Join(dir, "haproxyd"), nil, 0o600))
		},
		"a link to somewhere": func(dir string) error {
			return errors.Join(os.Rename(filepath.Join(dir, "haproxyd"), filepath.Join(dir, "x")), os.Symlink("x", filepath.Join(dir, "haproxyd")))
		},
		"an older version's file that the group may write": func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, "register.state")), os.WriteFile(filepath.Join(dir, "register.state"), nil, 0o600), os.Chmod(filepath.Join(dir, "register.state"), 0o620))
		},
		"a folder of somebody else": func(dir string) error { return os.Chown(filepath.Join(dir, "haproxyd"), 4711, -1) },
		"a state file that somebody else put into a root that all may write": func(dir string) error {
			return errors.Join(os.Chmod(dir, 0o777), os.Remove(filepath.Join(dir, "register.state")), os.WriteFile(filepath.Join(dir, "register.state"), []byte("forged"), 0o600),
				os.Chown(filepath.Join(dir, "register.state"), 4711, -1))
		},
	} {
		t.Run(what, func(t *testing.T) {
			if os.Geteuid() != 0 && strings.Contains(what, "somebody else") {
				t.Skip("only root gives files away")
			}
			dir := t.TempDir()
			put(t, filepath.Join(dir, "register.state"), "1", 0o600)
			mustFolder(t, dir)
			if err := change(dir); err != nil {
				t.Fatal(err)
			}
			_, _, err := Folder(dir)
			var unsafe *UnsafeError
			if !errors.As(err, &unsafe) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v", err)
			}
			if got, err := os.ReadFile(state(dir)); err == nil && string(got) == "forged" {
				t.Error("it was taken")
			}
		})
	}
}

// What others may only read is a warning.
func TestReadableFolder(t *testing.T) {
	dir := t.TempDir()
	mustFolder(t, dir)
	put(t, filepath.Join(dir, "haproxyd", "register.state"), "1", 0o644)
	if err := os.Chmod(filepath.Join(dir, "haproxyd"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, warnings, err := Folder(dir)
	if err != nil || len(warnings) != 2 || !strings.Contains(strings.Join(warnings, " "), "may look into it") {
		t.Errorf("%q, %v", warnings, err)
	}
}

// The kubelet gives a volume to fsGroup each time it mounts it, files of both versions alike: taken back, not refused.
func TestFSGroup(t *testing.T) {
	for _, where := range []string{"", "haproxyd"} {
		dir := t.TempDir()
		mustFolder(t, dir)
		for _, name := range []string{"register.state", "register.lock"} {
			put(t, filepath.Join(dir, where, name), "1", 0o660)
		}
		if err := errors.Join(os.Chmod(dir, 0o775|fs.ModeSetgid), os.Chmod(filepath.Join(dir, "haproxyd"), 0o770|fs.ModeSetgid)); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{dir, filepath.Join(dir, "haproxyd")} {
			if st, err := os.Stat(name); err != nil || st.Mode()&fs.ModeSetgid == 0 {
				t.Skipf("this file system has no setgid: %v", err)
			}
		}
		if w := mustFolder(t, dir); len(w) > 0 {
			t.Errorf("%v", w)
		}
		for _, name := range []string{"register.state", "register.lock"} {
			st, err := os.Stat(filepath.Join(dir, "haproxyd", name))
			if err != nil || st.Mode().Perm() != 0o600 {
				t.Errorf("%s is %v, %v", name, st.Mode(), err)
			}
		}
		// Beyond the group it is nobody's right to give.
		put(t, filepath.Join(dir, "haproxyd", "register.state"), "1", 0o662)
		if _, _, err := Folder(dir); err == nil {
			t.Error("a file that all may write passes for the kubelet's")
		}
	}
}
