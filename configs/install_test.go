package configs

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func rendered(t *testing.T, active string) []byte {
	t.Helper()
	in := exampleInput()
	in.Active = active
	data, err := Render(in)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// only checks that nothing but these files is left in the folder.
func only(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if diff := cmp.Diff(names, got); diff != "" {
		t.Errorf("left in the folder:\n%s", diff)
	}
}

func TestInstall(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	file := filepath.Join(dir, "haproxy.cfg")
	if err := Install(ctx, file, rendered(t, "pxc-0"), nil, false); err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(file); info.Mode().Perm() != 0o644 {
		t.Errorf("a new file has mode %s", info.Mode())
	}
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(file, 12, 34); err != nil {
			t.Fatal(err)
		}
	}
	checked := ""
	err := Install(ctx, file, rendered(t, "pxc-2"), func(tmp string) error {
		checked = read(t, tmp)
		if filepath.Dir(tmp) != dir || read(t, file) != string(rendered(t, "pxc-0")) {
			t.Error("the check came too late, or saw another folder")
		}
		return nil
	}, false)
	if err != nil {
		t.Fatal(err)
	}
	if want := string(rendered(t, "pxc-2")); checked != want || read(t, file) != want {
		t.Error("the file is not what was given")
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o640 {
		t.Errorf("the mode became %s", info.Mode())
	}
	if st := info.Sys().(*syscall.Stat_t); os.Geteuid() == 0 && (st.Uid != 12 || st.Gid != 34) {
		t.Errorf("the owner became %d:%d", st.Uid, st.Gid)
	}
	only(t, dir, "haproxy.cfg")
}

func TestInstallRefuses(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	file := filepath.Join(dir, "haproxy.cfg")
	const foreign = "global\n  maxconn 10\n"
	if err := os.WriteFile(file, []byte(foreign), 0o600); err != nil {
		t.Fatal(err)
	}
	data := rendered(t, "pxc-0")
	if err := Install(ctx, file, data, nil, false); !errors.Is(err, ErrNotOurs) || !strings.HasPrefix(err.Error(), file+":1: ") {
		t.Errorf("a file that is not ours: %v", err)
	}
	refused := errors.New("refused")
	if err := Install(ctx, file, data, func(string) error { return refused }, true); !errors.Is(err, refused) {
		t.Errorf("a check that fails: %v", err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if err := Install(cancelled, file, data, nil, true); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that is done: %v", err)
	}
	if read(t, file) != foreign {
		t.Error("a refused file was changed")
	}
	only(t, dir, "haproxy.cfg")
	if err := Install(ctx, file, data, nil, true); err != nil || read(t, file) != string(data) {
		t.Errorf("forced: %v", err)
	}
	if err := Install(ctx, filepath.Join(dir, "none", "x.cfg"), data, nil, false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
	if err := Install(ctx, dir, data, nil, true); err == nil {
		t.Error("a folder was replaced")
	}
}

func TestInstallFollowsLinks(t *testing.T) {
	dir := t.TempDir()
	target, link, lost := filepath.Join(dir, "real.cfg"), filepath.Join(dir, "link.cfg"), filepath.Join(dir, "lost.cfg")
	for at, to := range map[string]string{link: target, lost: filepath.Join(dir, "nowhere")} {
		if err := os.Symlink(to, at); err != nil {
			t.Fatal(err)
		}
	}
	ctx := context.Background()
	if err := Install(ctx, target, rendered(t, "pxc-0"), nil, false); err != nil {
		t.Fatal(err)
	}
	if err := Install(ctx, link, rendered(t, "pxc-1"), nil, false); err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Lstat(link); info.Mode().Type() != fs.ModeSymlink {
		t.Error("the link was replaced")
	}
	if read(t, target) != string(rendered(t, "pxc-1")) {
		t.Error("the link's target was not replaced")
	}
	if err := Install(ctx, lost, rendered(t, "pxc-1"), nil, false); err == nil {
		t.Error("a link to nowhere was replaced")
	}
}

// Whoever reads while the file is being replaced sees one whole text.
func TestInstallIsAtomic(t *testing.T) {
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	texts := []string{string(rendered(t, "pxc-0")), string(rendered(t, "pxc-2"))}
	ctx := context.Background()
	if err := Install(ctx, file, []byte(texts[0]), nil, false); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if got := read(t, file); got != texts[0] && got != texts[1] {
				t.Errorf("read %d bytes that are neither text", len(got))
				return
			}
		}
	})
	for i := range 50 {
		if err := Install(ctx, file, []byte(texts[i%2]), nil, false); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	wg.Wait()
}

func TestReorderActive(t *testing.T) {
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(file, rendered(t, "pxc-0"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := ReorderActive(file, "pxc-1")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(rendered(t, "pxc-1")), string(got)); diff != "" {
		t.Error(diff)
	}
	if _, err := ReorderActive(file, "pxc-7"); !errors.Is(err, ErrUnknownNode) || !strings.Contains(err.Error(), "use one of pxc-0, pxc-2, pxc-1") {
		t.Errorf("an unknown node: %v", err)
	}
	if _, err := ReorderActive("testdata/design.cfg", "pxc-1"); !errors.Is(err, ErrNotOurs) {
		t.Errorf("a file that is not ours: %v", err)
	}
	if _, err := ReorderActive(file+".none", "pxc-1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	// A rendered file that was edited so that it no longer lists the header's nodes is left alone.
	edited := strings.Replace(string(rendered(t, "pxc-0")), "server pxc-1 10.0.1.11:33062", "server pxc-9 10.0.1.11:33062", 1)
	if _, err := reorder(file, edited, "pxc-1"); !errors.Is(err, ErrNotOurs) || !strings.Contains(err.Error(), "galera-admin-nodes does not list exactly the nodes") {
		t.Errorf("an edited file: %v", err)
	}
}
