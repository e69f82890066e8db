package safefile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A file of each mode: refused where the group or others may write it, a warning where others may read it.
func TestModes(t *testing.T) {
	for mode, want := range map[os.FileMode]string{
		0o600: "", 0o400: "", 0o640: "", 0o440: "", // a Secret that fsGroup may read is 0440 or 0640
		0o644: "everybody on this machine may read it", 0o444: "everybody on this machine may read it", 0o604: "everybody on this machine may read it",
		0o660: "refused: its group may write it", 0o620: "refused: its group may write it", 0o664: "refused: its group may write it",
		0o602: "refused: everybody may write it", 0o606: "refused: everybody may write it", 0o666: "refused: everybody may write it", 0o777: "refused: everybody may write it",
	} {
		path := filepath.Join(t.TempDir(), "key")
		if err := errors.Join(os.WriteFile(path, []byte("secret"), 0o600), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		warning, err := Check(path)
		text, _, readErr := Read(path)
		var unsafe *UnsafeError
		want, refused := strings.CutPrefix(want, "refused: ")
		switch {
		case refused:
			if !errors.As(err, &unsafe) || !errors.As(readErr, &unsafe) || len(text) > 0 || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "chmod go-w "+path) {
				t.Errorf("%04o: %v, %v, read %q", mode, err, readErr, text)
			}
		case err != nil || readErr != nil || string(text) != "secret":
			t.Errorf("%04o: %v, %v, %q", mode, err, readErr, text)
		case (warning == "") != (want == "") || !strings.Contains(warning, want):
			t.Errorf("%04o: warning %q", mode, warning)
		}
		if err != nil && strings.Contains(err.Error(), "\n") || strings.Contains(warning, "\n") {
			t.Errorf("%04o: more than a line", mode)
		}
	}
}

// A Secret's files are links into a folder of any mode.
func TestThroughLinks(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "..2026")
	if err := errors.Join(os.Chmod(dir, 0o777), os.Mkdir(data, 0o755), os.WriteFile(filepath.Join(data, "keys"), []byte("k"), 0o440),
		os.Symlink("..2026", filepath.Join(dir, "..data")), os.Symlink("..data/keys", filepath.Join(dir, "keys"))); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "keys")
	if warning, err := Check(path); warning != "" || err != nil {
		t.Errorf("%q, %v", warning, err)
	}
	if err := os.Chmod(filepath.Join(data, "keys"), 0o460); err != nil {
		t.Fatal(err)
	}
	if _, err := Check(path); err == nil {
		t.Error("the link's own mode counted")
	}
}

// An owner who is neither root nor this user may write: a warning, because some file systems show other owners.
func TestForeignOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, 4711, -1); err != nil {
		t.Skip("only root gives files away")
	}
	if warning, err := Check(path); err != nil || !strings.Contains(warning, "the user 4711") {
		t.Errorf("%q, %v", warning, err)
	}
}
