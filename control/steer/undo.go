package steer

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"

	"github.com/google/renameio/v2"

	"github.com/haproxy-peers/haproxy-peers/control/keep"
)

// Kinds of changes that a daemon makes to a server of its HAProxy.
const (
	changeMaxconn = "maxconn" // a hold: new connections wait in the server's queue
	changeWeight  = "weight"  // a hold that is given back: taken out of the balancing
	changeMaint   = "maint"   // the same: its queue is handed to another server
	changeDrain   = "drain"   // the active is taken out of the readers
)

// change is one thing besides stick-tables that a daemon changed in its HAProxy.
type change struct {
	Kind    string `json:"kind"`
	Backend string `json:"backend"`
	Server  string `json:"server"`
	// Before is the value to go back to: the maxconn or the weight.
	Before int    `json:"before,omitempty"`
	Why    string `json:"why,omitempty"`
	// Rest is what a newer version has added.
	Rest keep.Rest `json:"-"`
}

func (c change) same(o change) bool {
	return c.Kind == o.Kind && c.Backend == o.Backend && c.Server == o.Server
}

// undo is the list of what this daemon has changed and not taken back, on disk
// before anything of it is done. A daemon that was killed takes back just this
// when it starts again, and an operator's own settings are never touched.
type undo struct {
	path string
	log  *slog.Logger

	mu      sync.Mutex // guards what follows
	proc    process
	changes []change
	rest    keep.Rest // of the file
	// lost says that a list could not be read, until the HAProxy process that it
	// was about, lostOf, has ended: runtime states end with it.
	lost   string
	lostOf process
}

type undoFile struct {
	Process process  `json:"process"`
	Changes []change `json:"changes"`
	// Rest is what a newer version has added.
	Rest keep.Rest `json:"-"`
}

// newUndo reads what an earlier daemon has left. A file that cannot be read is
// set aside and reported: nothing is guessed from it.
func newUndo(path string, log *slog.Logger) *undo {
	u := &undo{path: path, log: log}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return u
	}
	var f undoFile
	if err == nil {
		err = keep.Unmarshal(b, &f)
	}
	if err != nil {
		log.Error("cannot read what this daemon had changed in HAProxy: look at its servers' maxconn, weight and state yourself",
			"file", path, "kept_as", path+".bad", "error", err)
		_ = os.Rename(path, path+".bad") // for somebody to look at; nothing depends on it
		u.lost = fmt.Sprintf("what this daemon had changed in HAProxy before its start cannot be read (%s.bad: %v): "+
			"look at its servers' maxconn, weight and state, or reload HAProxy, which ends such changes", path, err)
		return u
	}
	u.proc, u.changes, u.rest = f.Process, f.Changes, f.Rest
	return u
}

// begin notes changes that are about to be made. On an error none may be made.
func (u *undo) begin(proc process, changes ...change) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	next := slices.Clone(u.changes)
	for _, c := range changes {
		if !slices.ContainsFunc(next, c.same) {
			next = append(next, c)
		}
	}
	return u.write(proc, next)
}

// end forgets changes that were taken back.
func (u *undo) end(changes ...change) {
	u.mu.Lock()
	defer u.mu.Unlock()
	next := slices.DeleteFunc(slices.Clone(u.changes), func(c change) bool { return slices.ContainsFunc(changes, c.same) })
	if len(next) == len(u.changes) {
		return
	}
	if err := u.write(u.proc, next); err != nil {
		u.log.Warn("cannot note that a change was taken back", "error", err)
		u.changes = next // at the worst it is looked at once more
	}
}

// of returns the changes of these kinds that are not taken back.
func (u *undo) of(kinds ...string) []change {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(u.changes), func(c change) bool { return !slices.Contains(kinds, c.Kind) })
}

// unread says that an earlier daemon's changes are not known, "" if they are.
func (u *undo) unread() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.lost
}

// mine tells whether this daemon made such a change and has not taken it back.
func (u *undo) mine(kind, backend, server string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.ContainsFunc(u.changes, change{Kind: kind, Backend: backend, Server: server}.same)
}

// restarted drops what another process of HAProxy had: runtime states end with
// it. A drain may come back from HAProxy's own server-state file, so it is looked
// at again instead, and so is all of it where only the start differs: what 7535bfe
// has written of that is this host's clock, which somebody may have set.
func (u *undo) restarted(proc process) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.lostOf == (process{}) {
		u.lostOf = proc
	}
	if u.lostOf.Pid != proc.Pid {
		u.lost = ""
	}
	if len(u.changes) == 0 || u.proc.Pid == proc.Pid {
		return
	}
	next := slices.DeleteFunc(slices.Clone(u.changes), func(c change) bool { return c.Kind != changeDrain && c.Kind != changeMaint })
	if err := u.write(proc, next); err != nil {
		u.log.Warn("cannot note what HAProxy's restart has ended", "error", err)
		u.changes, u.proc = next, proc
	}
}

// write replaces the file, durably, and then the list.
func (u *undo) write(proc process, changes []change) error {
	proc = proc.keeping(u.proc)
	b, err := keep.Marshal(undoFile{Process: proc, Changes: changes, Rest: u.rest})
	if err == nil {
		err = renameio.WriteFile(u.path, b, 0o600)
	}
	if err != nil {
		return fmt.Errorf("write %s, without which nothing may be changed: %w", u.path, err)
	}
	u.proc, u.changes = proc, changes
	return nil
}
