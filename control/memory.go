package control

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/google/renameio/v2"

	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// process identifies a HAProxy process: a reload or restart changes the pid, and
// where pids repeat (a container's 1) the start time.
type process struct {
	Pid     int       `json:"pid"`
	Started time.Time `json:"started"` // by this host's clock, within seconds
}

// same allows for HAProxy's uptime being in whole seconds.
func (p process) same(o process) bool {
	d := p.Started.Sub(o.Started)
	return p.Pid == o.Pid && d < 3*time.Second && d > -3*time.Second
}

// memory knows which nodes went down since this member last steered, also
// across a restart of the daemon: HAProxy itself counts how often a check took
// a server down (the chkdown column of `show stat`), and the counts that were
// true while this member steered are kept in a small file.
//
// It is evidence for adopting what HAProxies did by themselves (rule 4), no
// more: a lost file only means that less can be proved.
type memory struct {
	path string
	log  *slog.Logger

	mu      sync.Mutex
	proc    process
	now     map[string]int  // the counts of the last look
	base    map[string]int  // the counts when this member last steered
	baseOf  process         // the process that base counts
	down    map[string]bool // seen down since then
	written string
}

type memoryFile struct {
	Process process        `json:"process"`
	Downs   map[string]int `json:"downs"`
}

func newMemory(path string, log *slog.Logger) *memory {
	m := &memory{path: path, log: log, down: map[string]bool{}}
	b, err := os.ReadFile(path)
	if err != nil {
		return m // the first start, or nothing that could be proved
	}
	var f memoryFile
	if err := json.Unmarshal(b, &f); err != nil {
		log.Warn("cannot read what HAProxy last did: it counts as not seen", "file", path, "error", err)
		return m
	}
	m.base, m.baseOf, m.written = f.Downs, f.Process, string(b)
	return m
}

// look takes what HAProxy says now.
func (m *memory) look(proc process, nodes map[string]nodeNow) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.proc = proc
	m.now = make(map[string]int, len(nodes))
	// The counters of another process started from zero after we last looked.
	base := m.base
	if !m.baseOf.same(proc) {
		base = nil
	}
	known := !m.baseOf.Started.IsZero()
	for name, n := range nodes {
		m.now[name] = n.downs
		if n.state == model.ServerDown || known && n.downs > base[name] {
			m.down[name] = true
		}
	}
}

// probeDown notes that this member's own probe sees the node down.
func (m *memory) probeDown(node string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down[node] = true
}

// steered says that this member steers now: what happened before is settled.
func (m *memory) steered() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.down)
	m.base, m.baseOf = m.now, m.proc
}

// save writes the counts if they changed. Only the proxy loop calls it.
func (m *memory) save() {
	m.mu.Lock()
	b, err := json.Marshal(memoryFile{Process: m.baseOf, Downs: m.base})
	same := err != nil || string(b) == m.written || m.path == ""
	m.written = string(b)
	m.mu.Unlock()
	if same {
		return
	}
	if err := renameio.WriteFile(m.path, b, 0o600); err != nil {
		m.log.Warn("cannot write what HAProxy last did", "file", m.path, "error", fmt.Sprint(err))
	}
}

// wentDown lists the nodes seen down since this member last steered, sorted.
func (m *memory) wentDown() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]string, 0, len(m.down))
	for n := range m.down {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}
