package steer

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/google/renameio/v2"

	"github.com/haproxy-peers/haproxy-peers/control/keep"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/published"
)

// memory knows which nodes went down since this member last steered, also
// across a restart of the daemon: HAProxy itself counts how often a check took
// a server down (the chkdown column of `show stat`), and the counts that were
// true while this member steered are kept in a small file.
//
// It is evidence for adopting what HAProxies did by themselves (rule 4), no
// more: a lost file only means that less can be proved. The proxy loop alone uses it.
type memory struct {
	path string
	log  *slog.Logger

	proc    process
	now     map[string]int  // the counts of the last look
	base    map[string]int  // the counts when this member last steered
	baseOf  process         // the process that base counts
	down    map[string]bool // seen down since then
	at      time.Time       // then, zero for never in this life of the daemon
	written string
	rest    keep.Rest // of the file
}

type memoryFile struct {
	Process process        `json:"process"`
	Downs   map[string]int `json:"downs"`
	// Rest is what a newer version has added.
	Rest keep.Rest `json:"-"`
}

func newMemory(path string, log *slog.Logger) *memory {
	m := &memory{path: path, log: log, down: map[string]bool{}}
	b, err := os.ReadFile(path)
	if err != nil {
		return m // the first start, or nothing that could be proved
	}
	var f memoryFile
	if err := keep.Unmarshal(b, &f); err != nil {
		log.Warn("cannot read what HAProxy last did: it counts as not seen", "file", path, "error", err)
		return m
	}
	m.base, m.baseOf, m.written, m.rest = f.Downs, f.Process, string(b), f.Rest
	return m
}

// note takes what HAProxy says now.
func (m *memory) note(proc process, nodes map[string]published.Node) {
	m.proc = proc
	m.now = make(map[string]int, len(nodes))
	// The counters of another process started from zero after we last looked.
	base := m.base
	if !m.baseOf.same(proc) || wentBack(base, nodes) {
		base = nil
	}
	known := !m.baseOf.Started.IsZero()
	for name, n := range nodes {
		m.now[name] = n.Downs
		if n.State == model.ServerDown || known && n.Downs > base[name] {
			m.down[name] = true
		}
	}
}

// wentBack tells whether a node's count is less than it was, which no process does:
// so another one with the same pid is told apart too that has no start to compare.
func wentBack(base map[string]int, nodes map[string]published.Node) bool {
	for name, n := range nodes {
		if n.Downs < base[name] {
			return true
		}
	}
	return false
}

// steered says that this member steers at now: what happened before is settled.
func (m *memory) steered(now time.Time) {
	clear(m.down)
	m.at = now
	m.base, m.baseOf = m.now, m.proc.keeping(m.baseOf)
}

// save writes the counts if they changed.
func (m *memory) save() {
	b, err := keep.Marshal(memoryFile{Process: m.baseOf, Downs: m.base, Rest: m.rest})
	same := err != nil || string(b) == m.written || m.path == ""
	m.written = string(b)
	if same {
		return
	}
	if err := renameio.WriteFile(m.path, b, 0o600); err != nil {
		m.log.Warn("cannot write what HAProxy last did", "file", m.path, "error", fmt.Sprint(err))
	}
}

// tell gives the look what is remembered.
func (m *memory) tell(l *published.Look) {
	l.WentDown, l.LastSteered = slices.Sorted(maps.Keys(m.down)), m.at
}
