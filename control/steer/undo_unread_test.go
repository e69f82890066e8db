package steer

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A list that is cut in half is set aside and reported until the HAProxy process
// that it was about has ended.
func TestUndoCutInHalf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "haproxy-changes.json")
	proc := process{Pid: 7, Started: time.Now()}
	before := newUndo(path, slog.New(slog.DiscardHandler))
	if err := before.begin(proc, change{Kind: changeMaxconn, Backend: "b", Server: "db1"}); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if u := newUndo(path, slog.New(slog.DiscardHandler)); u.unread() != "" || !u.mine(changeMaxconn, "b", "db1") {
		t.Errorf("a whole list: %q, %v", u.unread(), u.changes)
	}
	half := whole[:len(whole)/2]
	if err := os.WriteFile(path, half, 0o600); err != nil {
		t.Fatal(err)
	}
	u := newUndo(path, slog.New(slog.DiscardHandler))
	if kept, err := os.ReadFile(path + ".bad"); err != nil || string(kept) != string(half) {
		t.Errorf("kept aside: %q, %v", kept, err)
	}
	u.restarted(proc)
	if !strings.Contains(u.unread(), path+".bad") || len(u.changes) != 0 {
		t.Errorf("half a list: %q, %v", u.unread(), u.changes)
	}
	u.restarted(process{Pid: 8, Started: time.Now()})
	if u.unread() != "" {
		t.Errorf("after HAProxy's restart: %q", u.unread())
	}
}
