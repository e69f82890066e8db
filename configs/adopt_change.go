package configs

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

func (a *adopter) text(pos Position) *adoptedText { return a.texts[pos.File] }

// below adds lines right below the line that opens a section. There they stand before every other rule of their kind, and
// in no .if of the section's own.
func (a *adopter) below(pos Position, lines ...string) {
	t := a.text(pos)
	t.below[pos.Line] = append(t.below[pos.Line], lines...)
}

// edit changes the words of a line, and tells whether that changed anything.
func (a *adopter) edit(pos Position, change func(e *lineEditor)) bool {
	t := a.text(pos)
	e := editLine(t.line(pos.Line))
	change(e)
	changed := e.String() != t.line(pos.Line)
	t.set(pos.Line, e.String())
	return changed
}

// drop takes a line away.
func (a *adopter) drop(pos Position) { a.text(pos).set(pos.Line, "") }

// global adds what belongs there: the admin socket, the name among new peers, and what an external check needs.
func (a *adopter) global() {
	var lines, why []string
	if a.newPeers && a.in.LocalPeer != "" && !a.globalHas("localpeer") {
		lines, why = append(lines, "localpeer "+a.in.LocalPeer), append(why, "the name of this HAProxy among its peers")
	}
	if _, err := a.t.AdminSocket(); err != nil {
		lines = append(lines, "stats socket "+a.socketPath()+" mode 660 level admin")
		why = append(why, "a stats socket of level admin, by which haproxyd steers")
	}
	if a.t.externalCheck && (a.globalHas("user") || a.globalHas("uid")) && !a.globalHas("insecure-fork-wanted") {
		lines, why = append(lines, "insecure-fork-wanted"), append(why, "without it no external check is ever started")
	}
	if len(lines) == 0 {
		return
	}
	global, ok := find(a.t.sections, func(s *section) bool { return s.kind == "global" })
	if !ok {
		section := []string{"global"}
		for _, line := range lines {
			section = append(section, "    "+line)
		}
		a.end = append(append(section, ""), a.end...)
		return
	}
	a.below(global.pos, lines...)
	a.note(global.pos, "%s", strings.Join(why, "; "))
}

func (a *adopter) globalHas(word string) bool {
	return slices.ContainsFunc(a.t.sections, func(s *section) bool { return s.kind == "global" && len(s.all(word)) > 0 })
}

// socketPath is one that no other stats socket has.
func (a *adopter) socketPath() string {
	if a.in.StatsSocket != "" {
		return a.in.StatsSocket
	}
	dir := "/run/haproxy"
	taken := func(p string) bool {
		return slices.ContainsFunc(a.t.Sockets, func(s Socket) bool { return s.Path == p })
	}
	for _, s := range a.t.Sockets {
		if s.Unix && path.IsAbs(s.Path) {
			dir = path.Dir(s.Path)
			break
		}
	}
	if p := path.Join(dir, "admin.sock"); !taken(p) {
		return p
	}
	return path.Join(dir, "haproxyd-admin.sock")
}

// backend changes one that is adopted.
func (a *adopter) backend(c stickRules) {
	be := c.backend
	a.without(be.section, "persist")
	if len(be.Servers) > 2 {
		a.without(be.section, "allbackups")
	}
	sticky, _ := find(a.t.Sticky, func(s StickyBackend) bool { return s.Name == be.Name })
	private := "if { srv_is_up(" + a.beacon + ") }"
	var lines []string
	if sticky.KeepKey == "" {
		lines = append(lines, fmt.Sprintf("force-persist %s { int(%s),in_table(%s) }", private, a.keep, a.table))
	}
	if !sticky.Steered {
		lines = append(lines, fmt.Sprintf("stick match int(%s) table %s %s", a.active, a.table, private))
	}
	table := a.native(c, &lines)
	if len(lines) > 0 {
		a.below(be.Pos, lines...)
		a.note(be.Pos, "%s follows the private table while haproxyd steers, and its own native one while it does not", be.Name)
	}
	a.tableLine(table)
	a.servers(be)
}

// without takes an option away that sends connections past the table.
func (a *adopter) without(s *section, option string) {
	at, on := a.b.optioned(s, option)
	if !on {
		return
	}
	for _, d := range s.all("option", option) {
		a.drop(d.pos)
	}
	if parts := a.b.defaults[s]; len(parts) > 0 {
		if _, inherited := a.b.optioned(parts[len(parts)-1], option); inherited {
			a.below(s.pos, "no option "+option)
		}
	}
	a.note(at.pos, "`option %s` would send connections of %s past the table", option, s.name)
}

// native gives the rules by which the traffic itself remembers its node while nobody steers, and the name of their table.
func (a *adopter) native(c stickRules, lines *[]string) (table string) {
	be := c.backend
	unless := " unless { srv_is_up(" + a.beacon + ") }"
	if len(c.natives) == 0 {
		table = be.Name
		rule := "int(1)"
		if own := be.section.all("stick-table"); len(own) > 0 {
			// It is for something else, and a section has one.
			table = a.free("haproxyd-native-" + be.Name)
			rule += " table " + table
			a.end = append(a.end, "# The native table of "+be.Name+", which has another one of its own.", "backend "+table, "    mode tcp",
				"    stick-table type integer size "+tableSize+" peers "+a.peers, "")
		} else {
			*lines = append([]string{"stick-table type integer size " + tableSize + " peers " + a.peers}, *lines...)
		}
		*lines = append(*lines, "stick match "+rule, "stick store-request "+rule+unless)
		return table
	}
	stores, matches := false, false
	for _, r := range c.natives {
		table = r.table
		stores, matches = stores || r.kind != "match", matches || r.kind != "store-request"
	}
	for _, r := range c.natives {
		words := editLine(a.text(r.pos).line(r.pos.Line)).words()
		rule := strings.Join(words[2:], " ")
		switch {
		case r.kind == "on":
			a.edit(r.pos, func(e *lineEditor) { e.set(1, "match") })
			*lines = append(*lines, "stick store-request "+rule+unless)
			a.note(r.pos, "it stores only while haproxyd does not steer, so that no connection writes the old node back after a move")
		case r.kind == "store-request" && len(r.when) == 0:
			a.edit(r.pos, func(e *lineEditor) { e.add(strings.TrimSpace(unless)) })
			a.note(r.pos, "it stores only while haproxyd does not steer")
			if !matches {
				*lines = append(*lines, "stick match "+rule)
			}
		case r.kind == "match" && !stores:
			*lines = append(*lines, "stick store-request "+rule+unless)
		}
	}
	return table
}

// tableLine mends a native stick-table.
func (a *adopter) tableLine(name string) {
	table, ok := a.t.table(name)
	if !ok {
		return
	}
	changed := a.edit(table.Pos, func(e *lineEditor) {
		if at := e.find(1, "size"); at > 0 && table.Size < minTableSize {
			e.set(at+1, tableSize)
		}
		if at := e.find(1, "nopurge"); at > 0 {
			e.remove(at, 1)
		}
		if at := e.find(1, "expire"); at > 0 {
			e.remove(at, 2)
		}
		if table.PeersSection == "" {
			e.add("peers " + a.peers)
		}
	})
	if changed {
		a.note(table.Pos, "the table %s must outlast a burst of connections and a quiet hour, and be shared", name)
	}
}

// servers gives them the ids that they have today, and what else one node for all writers needs.
func (a *adopter) servers(be Backend) {
	several := 0
	for _, s := range be.Servers {
		if !s.Backup {
			several++
		}
	}
	alone := several > 1 || a.in.Active != ""
	var ids, checks []string
	for _, s := range be.Servers {
		a.edit(s.Pos, func(e *lineEditor) {
			markedUp(e)
			if alone {
				backupWords(e, s, s.Name != a.main)
			}
			if !s.opts.has("check") && !s.opts.has("track") {
				e.add("check")
				checks = append(checks, s.Name)
			}
			if !s.ExplicitID && !s.template {
				e.add("id " + strconv.Itoa(s.ID))
				ids = append(ids, fmt.Sprintf("%s %d", s.Name, s.ID))
			}
			if s.opts["on-marked-down"] != "shutdown-sessions" {
				e.add("on-marked-down shutdown-sessions")
			}
		})
	}
	for _, d := range be.section.all("default-server") {
		a.edit(d.pos, markedUp)
		if len(editLine(a.text(d.pos).line(d.pos.Line)).words()) == 1 {
			a.drop(d.pos)
		}
	}
	at := be.Servers[0].Pos
	if len(ids) > 0 {
		a.note(at, "servers of %s: the ids that HAProxy gives them today (%s), so that the order of the lines no longer matters", be.Name, strings.Join(ids, ", "))
	}
	if slices.ContainsFunc(be.Servers, func(s Server) bool { return s.opts["on-marked-down"] != "shutdown-sessions" }) {
		a.note(at, "servers of %s: sessions to a node that goes down are closed", be.Name)
	}
	if slices.ContainsFunc(be.Servers, func(s Server) bool { return s.opts.has("on-marked-up") }) {
		a.note(at, "servers of %s: a node that comes back no longer cuts the sessions of the one that took over", be.Name)
	}
	if len(checks) > 0 {
		a.note(at, "servers of %s: `check`, without which HAProxy takes a dead node for one that is up (%s)", be.Name, strings.Join(checks, ", "))
	}
	if slices.ContainsFunc(be.Servers, func(s Server) bool { return alone && s.Backup == (s.Name == a.main) }) {
		a.note(at, "servers of %s: %s alone is no backup: connections that come before any table is known go there", be.Name, a.main)
	}
}

// markedUp takes away what cuts the sessions on the node that took over when another one comes back.
func markedUp(e *lineEditor) {
	if at := e.find(1, "on-marked-up", "shutdown-backup-sessions"); at > 0 {
		e.remove(at, 2)
	}
}

// behindAddress is the first word of a server's line that is one of its parameters.
const behindAddress = 3

// backupWords makes a server one, or none.
func backupWords(e *lineEditor, s Server, backup bool) {
	if s.Backup == backup {
		return
	}
	own := e.find(behindAddress, "backup")
	switch not := e.find(behindAddress, "no-backup"); {
	case !backup && own > 0:
		e.remove(own, 1)
	case !backup:
		e.add("no-backup")
	case not > 0:
		e.set(not, "backup")
	default:
		e.add("backup")
	}
}

// fences adds the rule by which a frontend refuses while this HAProxy cannot reach the active node.
func (a *adopter) fences() {
	for _, f := range a.t.Frontends {
		var ours []string
		for _, c := range a.backends {
			if f.leadsTo(c.backend.Name) {
				ours = append(ours, c.backend.Name)
			}
		}
		if len(ours) == 0 || a.t.Steering != nil && a.fenced(f) {
			continue
		}
		targets := slices.DeleteFunc(append(slices.Clone(f.UseBackends), f.DefaultBackend), func(n string) bool { return n == "" || a.has(n) })
		if len(targets) > 0 || f.Dynamic {
			a.note(f.Pos, "no fence here: frontend %s leads to other backends, too (a frontend of its own for %s could have one)", f.Name, strings.Join(ours, ", "))
			continue
		}
		a.below(f.Pos, fmt.Sprintf("tcp-request connection reject if { int(%s),in_table(%s) } { srv_is_up(%s) }", a.fence, a.table, a.alive))
		a.note(f.Pos, "%s refuses clients while haproxyd lives and this HAProxy cannot reach the active node", f.Name)
	}
}

func (a *adopter) fenced(f Frontend) bool {
	_, ok := a.t.fenceRule(f.section)
	return ok
}

// sections adds to the end of the last file the sections that are not there yet.
func (a *adopter) sections() {
	add := func(lines ...string) { a.end = append(append(a.end, lines...), "") }
	daemon := cmp.Or(a.in.Daemon, daemonAddress)
	backend := func(what, of, path string) {
		name, server, _ := strings.Cut(of, "/")
		add("# "+what, "backend "+name, "    mode tcp", "    option httpchk GET "+path, "    timeout connect 1s", "    timeout server 1s",
			"    server "+server+" "+daemon+a.notInherited(daemon)+" check inter 200 fall 2 rise 1")
	}
	st := a.t.Steering
	if st == nil {
		add("# This HAProxy alone: keeps the private table over a reload.", "peers "+a.self,
			`    peer "${HAPROXY_LOCALPEER}" 127.0.0.1:`+strconv.Itoa(a.freePort(selfPeerPort)))
		backend("The beacon: up while the daemon steers.", a.beacon, "/beacon")
	}
	if st == nil || st.FenceKey == "" {
		backend("Up while the daemon's loop turns at all.", a.alive, "/healthz")
	}
	if st == nil {
		add("# The private table, written by the daemon alone: key "+a.active+" is the active node, key "+a.fence+" means fenced, key "+a.keep+" that",
			"# the active node keeps its connections whatever its check says.", "backend "+a.table, "    mode tcp", "    stick-table type integer size 1k peers "+a.self)
	}
	if len(a.end) == 0 {
		return
	}
	a.end = slices.Insert(a.end, 0, "# What haproxyd needs. `haproxyctl config adopt --revert` takes it out again.")
	last := a.inputs[len(a.inputs)-1].name
	a.texts[last].end = a.end[:len(a.end)-1]
	a.note(Position{File: last, Line: len(a.texts[last].lines)}, "the sections that haproxyd needs")
}

// notInherited undoes what the default-server lines that rule at the end of the last file would make of the daemon's
// server: its check would not reach the daemon.
func (a *adopter) notInherited(daemon string) string {
	i := -1
	for n, s := range a.t.sections {
		if s.kind == "defaults" {
			i = n
		}
	}
	if i < 0 {
		return ""
	}
	base := options{}
	for _, s := range a.b.withDefaults(a.t.sections[i]) {
		for _, d := range s.all("default-server") {
			base.apply(d.words[1:])
		}
	}
	var words strings.Builder
	for _, name := range []string{"ssl", "check-ssl", "send-proxy", "send-proxy-v2", "check-send-proxy", "backup", "agent-check"} {
		if base.has(name) {
			words.WriteString(" no-" + name)
		}
	}
	host, port, _ := cutAddress(daemon)
	if base.has("disabled") {
		words.WriteString(" enabled")
	}
	if base.has("addr") {
		words.WriteString(" addr " + host)
	}
	if base.has("port") {
		words.WriteString(" port " + strconv.Itoa(port))
	}
	return words.String()
}

// freePort gives the port, or the next one that neither a bind line nor a peer has.
func (a *adopter) freePort(port int) int {
	taken := func(p int) bool {
		return slices.ContainsFunc(a.t.Frontends, func(f Frontend) bool {
			return slices.ContainsFunc(f.Binds, func(b Bind) bool { return b.Port == p })
		}) || slices.ContainsFunc(a.t.Peers, func(s PeersSection) bool {
			return slices.ContainsFunc(s.Peers, func(q Peer) bool { return q.Port == p })
		}) || slices.ContainsFunc(a.in.Proxies, func(q RenderProxy) bool { return q.Port == p })
	}
	for taken(port) {
		port++
	}
	return port
}
