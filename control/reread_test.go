package control

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/haproxycfg"
)

// What was asked for is read at once, though the files were looked at just now and
// nothing about them but their text has changed; what cannot be used changes nothing.
func TestReread(t *testing.T) {
	d, _ := newTestDaemon(t)
	path := d.files.Paths[0]
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, st.ModTime(), st.ModTime()); err != nil {
			t.Fatal(err)
		}
	}
	servers := func() string { return strings.Join(haproxycfg.Order(d.files.Topology()), " ") }
	write(strings.ReplaceAll(testConfig, "pxc-2", "pxc-9"))
	if _ = d.files.Refresh(time.Now()); servers() != "pxc-0 pxc-1 pxc-2" {
		t.Fatalf("the stamp of the file is the same, and it was read: %s", servers())
	}
	d.Reread()
	if err := d.files.Refresh(time.Now()); err != nil || servers() != "pxc-0 pxc-1 pxc-9" {
		t.Errorf("not read again: %s, %v", servers(), err)
	}
	write("no such word\n")
	d.Reread()
	if err := d.files.Refresh(time.Now()); err == nil || servers() != "pxc-0 pxc-1 pxc-9" {
		t.Errorf("what cannot be used is in force: %s, %v", servers(), err)
	}
}
