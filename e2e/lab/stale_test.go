package lab

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestCleanStale makes what a dead lab leaves when not even its reaper was there, beside a living lab's entry.
func TestCleanStale(t *testing.T) {
	if err := Requirements(Config{NetworkOnly: true}); err != nil || testing.Short() {
		t.Skip(err)
	}
	const dead, alive = "tstdd", "tstlv"
	dir := filepath.Join(t.TempDir(), folderPrefix+dead)
	for _, id := range []string{dead, alive} {
		l := &Lab{ID: id, Dir: dir}
		if err := l.register(); err != nil {
			t.Fatal(err)
		}
		defer os.Remove(entryPath(id))
	}
	if err := (&Lab{ID: dead, Dir: dir}).register(); err == nil {
		t.Error("one id was claimed twice")
	}
	// Our pid with another start time is a process that died and whose number was given away again.
	text := `{"id":"` + dead + `","dir":"` + dir + `","pid":` + "1" + `,"started":"999999999999"}`
	if err := os.WriteFile(entryPath(dead), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	ns := namespacePrefix(dead) + "db0"
	if err := ip("netns", "add", ns); err != nil {
		t.Fatal(err)
	}
	// Only what has entered the namespace can be found there: it says so.
	sleeper := exec.Command("ip", "netns", "exec", ns, "sh", "-c", "echo inside; exec sleep 1000")
	said, err := sleeper.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := said.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = sleeper.Wait()
		close(ended)
	}()
	cleaned, err := CleanStale()
	if err != nil || !slices.Contains(cleaned, dead) || slices.Contains(cleaned, alive) {
		t.Errorf("cleaned %v, %v", cleaned, err)
	}
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Error("the process lives on")
		_ = sleeper.Process.Kill()
	}
	for _, path := range []string{dir, netnsFolder + ns, entryPath(dead)} {
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := os.Stat(entryPath(alive)); err != nil {
		t.Error(err)
	}
}
