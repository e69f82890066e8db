package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Op is a kind of command.
type Op int

// The commands that a plan is made of.
const (
	OpSet      Op = iota // set table T key K data.server_id N
	OpClearSet           // clear table T key K;set table T key K data.server_id N
	OpClear              // clear table T key K
	OpClose              // shutdown sessions server B/S
	OpDrain              // set server B/S state drain
	OpReady              // set server B/S state ready
)

// String names the operation for logs and metrics.
func (o Op) String() string {
	switch o {
	case OpSet:
		return "set"
	case OpClearSet:
		return "clear+set"
	case OpClear:
		return "clear"
	case OpClose:
		return "close"
	case OpDrain:
		return "drain"
	case OpReady:
		return "ready"
	}
	return fmt.Sprintf("op(%d)", int(o))
}

// Action is one command and why it is needed.
type Action struct {
	Op       Op
	Table    string
	Key      string
	ServerID int
	Backend  string
	Server   string
	Sessions int // OpClose: how many were open
	Private  bool
	Why      string
}

// Input is everything that a plan depends on.
type Input struct {
	Layout   Layout
	Observed Observed
	// Active is the decided node.
	Active string
	// Steered: HAProxy asks the private table now (the beacon is up).
	Steered bool
	// MayClose: a fresh majority stands behind the decision, so sessions to other
	// nodes may be closed once this proxy has converged.
	MayClose bool
	// NativeDue: the pace allows a correction of the native tables now.
	NativeDue bool
	// Fence says why this proxy must serve nobody, "" if it may serve.
	Fence string
	// Keep: connections may stay on the active although HAProxy calls it down, and
	// LetGo says why not where they may not.
	Keep  bool
	LetGo string
	// Draining is the node whose sessions a planned move lets end by themselves
	// or between transactions, "" for none: they are no stragglers.
	Draining string
}

// Result is the comparison and the commands.
type Result struct {
	Actions []Action
	// PrivateRight: the private entry names the active, with no leftover name,
	// a fence is up just when it must be, and nothing keeps connections that may go.
	// True where there is no private table.
	PrivateRight bool
	// Fenced: this proxy refuses new connections, as it must.
	Fenced bool
	// NativeRight: every key of every sticky backend has an entry for the active.
	NativeRight bool
	// Converged: every key effectively routes to the active.
	Converged bool
	// Effective is the one node that all keys route to, else "".
	Effective string
	// Usable: the active runs in this HAProxy, in every sticky backend.
	Usable bool
	// Elsewhere counts sessions to other nodes in sticky backends.
	Elsewhere int
	// Reason says in a sentence what is not as decided; empty if nothing is.
	Reason string
}

// Make compares and plans.
func Make(in *Input) Result {
	r := Result{PrivateRight: true, NativeRight: true, Converged: true, Usable: true}
	var wrong []string
	if in.Layout.Steer != nil {
		wrong = append(wrong, r.private(in)...)
	}
	var routes []string
	there := make(map[string]bool, len(in.Layout.Backends)) // backends whose every key leads to the active
	for i := range in.Layout.Backends {
		b := &in.Layout.Backends[i]
		active, known := b.Server(in.Active)
		if !known {
			r.Converged, r.NativeRight, r.Usable = false, false, false
			wrong = append(wrong, fmt.Sprintf("backend %s has no server %s", b.Name, in.Active))
			continue
		}
		now, seen := in.Observed.Servers[b.Name][active.Name]
		if !seen || !now.Running && !now.Drain {
			r.Usable = false
		}
		there[b.Name] = true
		for _, key := range b.Keys {
			route := Route(&in.Layout, b, &in.Observed, key, in.Steered)
			routes = append(routes, route)
			if route != in.Active {
				r.Converged, there[b.Name] = false, false
				wrong = append(wrong, b.says(key, route))
			}
			r.native(in, b, key, active)
		}
	}
	r.Effective = oneOf(routes)
	if in.Fence != "" {
		r.fence(in)
		wrong = append([]string{"fenced: " + in.Fence}, wrong...)
	} else {
		r.stragglers(in, there)
	}
	r.Actions = append(r.Actions, r.keep(in)...)
	r.Reason = strings.Join(wrong, "; ")
	return r
}

// fence ends every session of a proxy that must serve nobody, those to the active
// too: it is not reached from here, and its clients would hang.
func (r *Result) fence(in *Input) {
	r.Converged = false // it routes nobody
	for i := range in.Layout.Backends {
		b := &in.Layout.Backends[i]
		for _, s := range b.Servers {
			n := in.Observed.Servers[b.Name][s.Name].Sessions
			if n == 0 {
				continue
			}
			if s.Name != in.Active {
				r.Elsewhere += n
			}
			r.Actions = append(r.Actions, Action{
				Op: OpClose, Backend: b.Name, Server: s.Name, Sessions: n,
				Why: fmt.Sprintf("%d sessions to %s while this proxy is fenced", n, s.Name),
			})
		}
	}
}

// LiftFence returns what takes away a fence that has no cause: where nothing is
// decided, nothing else may be written.
func LiftFence(in *Input) []Action {
	if in.Fence != "" || !in.FenceUp() {
		return nil
	}
	s := in.Layout.Steer
	return []Action{{Op: OpClear, Table: s.Table, Key: s.FenceKey, Private: true, Why: "a fence without a cause"}}
}

// FenceUp tells whether this HAProxy refuses new connections by its fence.
func (in *Input) FenceUp() bool {
	s := in.Layout.Steer
	if s == nil || s.FenceKey == "" {
		return false
	}
	_, up := in.Observed.entry(s.Table, s.FenceKey)
	return up
}

// private plans the private table: the active's key, and no fence.
func (r *Result) private(in *Input) []string {
	s := in.Layout.Steer
	var wrong []string
	id, ok := steerID(in)
	fenced := in.FenceUp()
	letGo := LetGo(in)
	if len(letGo) > 0 {
		r.PrivateRight = false
		wrong = append(wrong, "connections are kept on "+in.Active+" without a cause")
	}
	if in.Fence == "" || fenced {
		// Before all else; but a fence comes first: those who are let go would fall
		// through to another node.
		r.Actions = append(r.Actions, letGo...)
	}
	switch {
	case s.FenceKey == "":
	case in.Fence == "" && fenced:
		r.PrivateRight = false
		wrong = append(wrong, "a fence without a cause")
		r.Actions = append(r.Actions, LiftFence(in)...)
	case in.Fence != "" && !fenced:
		r.PrivateRight = false
		// The number means nothing: that the key is there is the fence.
		r.Actions = append(r.Actions, Action{Op: OpSet, Table: s.Table, Key: s.FenceKey, ServerID: max(id, 1), Private: true, Why: in.Fence})
		r.Actions = append(r.Actions, letGo...)
	case in.Fence != "":
		r.Fenced = true
	}
	if !ok {
		r.PrivateRight = false
		return append(wrong, fmt.Sprintf("%s has no common id in the sticky backends", in.Active))
	}
	e, found := in.Observed.entry(s.Table, s.ActiveKey)
	switch {
	case !found:
		r.PrivateRight = false
		r.Actions = append(r.Actions, Action{Op: OpSet, Table: s.Table, Key: s.ActiveKey, ServerID: id, Private: true, Why: "the private entry is missing"})
	case e.ServerKey != "":
		// A name wins over the number, and `set table` cannot change it.
		r.PrivateRight = false
		r.Actions = append(r.Actions, Action{Op: OpClearSet, Table: s.Table, Key: s.ActiveKey, ServerID: id, Private: true, Why: "the private entry holds the name " + e.ServerKey})
	case e.ServerID != id:
		r.PrivateRight = false
		r.Actions = append(r.Actions, Action{Op: OpSet, Table: s.Table, Key: s.ActiveKey, ServerID: id, Private: true, Why: "the private entry says " + numbered(in, e.ServerID)})
	}
	return wrong
}

// steerID is the active's number, which must be one in all sticky backends: the
// private table is shared by them.
func steerID(in *Input) (int, bool) {
	id := 0
	for i := range in.Layout.Backends {
		s, ok := in.Layout.Backends[i].Server(in.Active)
		if !ok || id != 0 && s.ID != id {
			return 0, false
		}
		id = s.ID
	}
	return id, id != 0
}

// native plans one key of one native table.
func (r *Result) native(in *Input, b *Backend, key string, active Server) {
	e, found := in.Observed.entry(b.Table, key)
	why := "the entry is missing"
	if found {
		// The name or, where the backend does not know it, the number.
		name, _ := Sticks(b, &in.Observed, e)
		if name == active.Name {
			return
		}
		why = "the entry says " + orNobody(name)
	}
	r.NativeRight = false
	if !in.NativeDue {
		return
	}
	// Clear first even where nothing was found: traffic may have stored a name
	// since the look, and `set table` alone would not remove it.
	r.Actions = append(r.Actions, Action{Op: OpClearSet, Table: b.Table, Key: key, ServerID: active.ID, Backend: b.Name, Why: why})
}

// stragglers counts sessions to other nodes and, where allowed, closes them:
// never while the active cannot take them, and not before new connections go
// there, or a client would come straight back.
func (r *Result) stragglers(in *Input, there map[string]bool) {
	for i := range in.Layout.Backends {
		b := &in.Layout.Backends[i]
		active := in.Observed.Servers[b.Name][in.Active]
		usable := active.Running || active.Drain
		for _, s := range b.Servers {
			n := in.Observed.Servers[b.Name][s.Name].Sessions
			if s.Name == in.Active || n == 0 {
				continue
			}
			if s.Name == in.Draining {
				continue // they end in a way of their own
			}
			r.Elsewhere += n
			if in.MayClose && usable && there[b.Name] {
				r.Actions = append(r.Actions, Action{
					Op: OpClose, Backend: b.Name, Server: s.Name, Sessions: n,
					Why: fmt.Sprintf("%d sessions to %s, which is not the active", n, s.Name),
				})
			}
		}
	}
}

func orNobody(name string) string {
	return cmp.Or(name, "no node")
}

// says is where the connections with a key go, for people: a key is named only where the
// backend has several, which are the names of frontends.
func (b *Backend) says(key, route string) string {
	of := ""
	if len(b.Keys) > 1 {
		of = " from " + key
	}
	return fmt.Sprintf("new connections of backend %s%s go to %s", b.Name, of, orNobody(route))
}

// numbered is the node with a number, which is one in all sticky backends.
func numbered(in *Input, id int) string {
	for i := range in.Layout.Backends {
		for _, s := range in.Layout.Backends[i].Servers {
			if s.ID == id {
				return s.Name
			}
		}
	}
	return fmt.Sprintf("server %d, which there is not", id)
}

// EffectiveAll is the one node that all keys of all sticky backends lead to
// now, else "": what a daemon without a decision adopts.
func EffectiveAll(in *Input) string {
	var routes []string
	for i := range in.Layout.Backends {
		b := &in.Layout.Backends[i]
		for _, key := range b.Keys {
			routes = append(routes, Route(&in.Layout, b, &in.Observed, key, in.Steered))
		}
	}
	return oneOf(routes)
}

// oneOf is the node that all routes lead to, else "".
func oneOf(routes []string) string {
	if routes = slices.Compact(routes); len(routes) == 1 {
		return routes[0]
	}
	return ""
}
