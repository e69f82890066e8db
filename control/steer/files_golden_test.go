package steer

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/published"
)

var goldenProcess = process{Pid: 7, Started: time.Date(2026, 5, 4, 12, 0, 0, 123456789, time.UTC)}

// laid copies a golden file to where a daemon keeps its own.
func laid(t *testing.T, golden string, and func(string) string) (path, text string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", golden))
	if err != nil {
		t.Fatal(err)
	}
	text = string(b)
	if and != nil {
		text = and(text)
	}
	path = filepath.Join(t.TempDir(), golden)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, text
}

// The list of changes that 7535bfe has left (-1) is understood and written as it
// was while nothing new is known; so is one of this version (-2).
func TestGoldenChanges(t *testing.T) {
	for golden, start := range map[string]string{"changes-1.json": "", "changes-2.json": "1795378508"} {
		path, text := laid(t, golden, nil)
		proc := goldenProcess
		proc.Start = start
		u := quietUndo(path)
		if u.unread() != "" || u.proc != proc || len(u.changes) != 2 || !u.mine(changeMaxconn, "galera-nodes", "pxc-0") || !u.mine(changeDrain, "readers", "pxc-1") {
			t.Fatalf("%s: %+v, %s", golden, u.changes, u.unread())
		}
		if err := u.write(u.proc, u.changes); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("%s: written\n%s, %v", golden, got, err)
		}
		var old struct { // as 7535bfe reads it
			Process struct {
				Pid     int       `json:"pid"`
				Started time.Time `json:"started"`
			} `json:"process"`
			Changes []struct{ Kind, Backend, Server, Why string } `json:"changes"`
		}
		if err := json.Unmarshal([]byte(text), &old); err != nil || old.Process.Pid != 7 || !old.Process.Started.Equal(proc.Started) || len(old.Changes) != 2 {
			t.Errorf("%s for 7535bfe: %+v, %v", golden, old, err)
		}
	}
}

func TestGoldenSeen(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	for golden, start := range map[string]string{"seen-1.json": "", "seen-2.json": "1795378508"} {
		path, text := laid(t, golden, nil)
		m := newMemory(path, log)
		proc := goldenProcess
		proc.Start = start
		if m.baseOf != proc || m.base["pxc-1"] != 3 {
			t.Fatalf("%s: %+v", golden, m)
		}
		m.written = ""
		m.save()
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("%s: written\n%s, %v", golden, got, err)
		}
		// The process goes on, and somebody has set the clock since.
		running := process{Pid: 7, Started: proc.Started.Add(time.Hour), Start: "1795378508"}
		m.note(running, map[string]published.Node{"pxc-1": {State: model.ServerUp, Downs: 3}})
		if down := wentDown(m); len(down) != 0 {
			t.Errorf("%s: %v went down by the clock", golden, down)
		}
		m.note(running, map[string]published.Node{"pxc-1": {State: model.ServerUp, Downs: 4}})
		if down := wentDown(m); len(down) != 1 {
			t.Errorf("%s: it went down while the daemon was away: %v", golden, down)
		}
		// Another process with the same pid counts from zero.
		again := newMemory(path, log)
		again.note(process{Pid: 7, Start: "1795379999"}, map[string]published.Node{"pxc-1": {State: model.ServerUp, Downs: 1}})
		if down := wentDown(again); len(down) != 1 {
			t.Errorf("%s: another process: %v", golden, down)
		}
	}
}

// What a newer version has put into the files survives what this one writes.
func TestFilesKeepWhatIsUnknown(t *testing.T) {
	add := func(text string) string {
		text = strings.Replace(text, `"pid":7`, `"pid":7,"cgroup":"c"`, 1)
		text = strings.Replace(text, `"kind":"drain"`, `"kind":"drain","until":5`, 1)
		return strings.TrimSuffix(text, "}") + `,"format":{"v":3}}`
	}
	path, _ := laid(t, "changes-2.json", add)
	u := quietUndo(path)
	if err := u.begin(goldenProcess, change{Kind: changeWeight, Backend: "b", Server: "s", Before: 3}); err != nil {
		t.Fatal(err)
	}
	u.end(change{Kind: changeMaxconn, Backend: "galera-nodes", Server: "pxc-0"})
	got, err := os.ReadFile(path)
	for _, want := range []string{`"cgroup":"c"`, `"until":5`, `"format":{"v":3}`} {
		if err != nil || !strings.Contains(string(got), want) {
			t.Errorf("the list of changes has lost %s: %s, %v", want, got, err)
		}
	}
	path, _ = laid(t, "seen-2.json", add)
	m := newMemory(path, slog.New(slog.DiscardHandler))
	m.note(process{Pid: 7, Start: "1795378508"}, map[string]published.Node{"pxc-1": {Downs: 9}})
	m.steered(time.Now())
	m.save()
	got, err = os.ReadFile(path)
	for _, want := range []string{`"cgroup":"c"`, `"format":{"v":3}`, `"pxc-1":9`} {
		if err != nil || !strings.Contains(string(got), want) {
			t.Errorf("what HAProxy did has lost %s: %s, %v", want, got, err)
		}
	}
}
