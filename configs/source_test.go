package configs

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A folder is what HAProxy makes of it: it starts with this one, and would not with any of the files that are left out,
// nor in another order.
func TestExpand(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const bad = "nonsense\n"
	write("B.cfg", "defaults base\n  mode tcp\n  timeout connect 1s\n  timeout client 1s\n  timeout server 1s\n")
	write("a.cfg", "listen db from base\n  bind 127.0.0.1:1\n  stick-table type integer size 100k\n  stick on int(1)\n  server oak 127.0.0.1:2\n")
	for _, name := range []string{".hidden.cfg", "c.conf", "abc", "d.cfg.bak", "e.cfg.cfg", "f.cfg/g.cfg"} {
		write(name, bad)
	}
	got, err := Expand([]string{dir, "/no/such/file"})
	if diff := cmp.Diff([]string{filepath.Join(dir, "B.cfg"), filepath.Join(dir, "a.cfg"), "/no/such/file"}, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	top, err := Load(dir)
	if err != nil || len(top.Sticky) != 1 || !strings.HasSuffix(top.Sticky[0].Pos.File, "/a.cfg") {
		t.Errorf("%+v, %v", top, err)
	}
	for version, binary := range haproxies(t) {
		if err := CheckWithHAProxy(context.Background(), binary, dir); err != nil {
			t.Errorf("HAProxy %s: %v", version, err)
		}
	}
	if _, err := Expand([]string{filepath.Join(dir, "f.cfg"), t.TempDir()}); err == nil || !strings.Contains(err.Error(), "no file whose name ends in .cfg") {
		t.Errorf("an empty folder: %v", err)
	}
}
