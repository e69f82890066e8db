package configs

import (
	"cmp"
	"fmt"
	"slices"
)

// AdoptInput says what Adopt cannot read from the files. Zero values are the defaults that the fields name.
type AdoptInput struct {
	// Reading names HAProxy's -L and the backends that take the writes, sticky or not. Without Backends it is the sticky
	// ones and, where there are none, the ones with a main server and backups if nothing else can be meant.
	Reading
	// Proxies are all HAProxies, the local one among them: the peers where the files have no peers section. Port 0 means 10000.
	Proxies []RenderProxy
	// Active is the node that is not backup: where connections go before any table is known. Default: the one of the files.
	Active string
	// Daemon is haproxyd's --http-bind as seen from HAProxy: 127.0.0.1:9102.
	Daemon string
	// StatsSocket is the path of the admin socket where the files have none: admin.sock beside the other stats sockets,
	// else in /run/haproxy.
	StatsSocket string
}

// Adoption is what Adopt or Revert makes of some files.
type Adoption struct {
	// Files are all files, in order, also those that stay as they are.
	Files []AdoptedFile
	// Notes say, one line each, what is changed and why.
	Notes []string
	// Left are the errors of the linter that the new texts still have, because they are nothing that adopt may mend.
	Left []Finding
	// Backends are those that are adopted, or were.
	Backends []string
	// Main is the server that they go to while no table is known: the one that is not backup in the new texts.
	Main string
	// Aside are the servers, each BACKEND/SERVER, to which a process with the old texts may send its last connections when it
	// is reloaded: in its last moment it knows no table any more, and goes to its own first server (2 of 47,014 connections
	// in 39 reloads of 2.6; none in 72 with these servers in maint before it). None where that is Main.
	Aside []string
	// AdminSocket is the one of the old texts, "" if they have none.
	AdminSocket string
	// Topology is what the new texts say.
	Topology *Topology
}

// aside gives the servers but main where a process that knows no table may go to another one.
func aside(be Backend, main string) (list []string) {
	first := slices.DeleteFunc(slices.Clone(be.Servers), func(s Server) bool { return s.Backup })
	if len(first) == 0 {
		first = be.Servers[:1]
	}
	if len(first) == 1 && first[0].Name == main {
		return nil
	}
	for _, s := range be.Servers {
		if s.Name != main {
			list = append(list, be.Name+"/"+s.Name)
		}
	}
	return list
}

// Changed tells whether any file is to be changed.
func (a *Adoption) Changed() bool {
	return slices.ContainsFunc(a.Files, func(f AdoptedFile) bool { return f.Old != f.New })
}

// AdoptedFile is one file before and after. Diff is as `diff -u` writes it, "" where nothing changes. Plain is the text
// without anything that was ever adopted.
type AdoptedFile struct{ Path, Old, New, Diff, Plain string }

// Adopt adds to an existing configuration what the daemon needs, by lines, and touches nothing else: Revert gives the
// old text back, byte by byte. What is already there is not added again. Its error is one line: where it cannot be told
// what is meant, and where the result would have an error that its owner has to mend first. Nothing is written.
func Adopt(in AdoptInput, files ...string) (*Adoption, error) {
	inputs, err := readInputs(files)
	if err != nil {
		return nil, err
	}
	return adopt(inputs, in)
}

func adopt(inputs []input, in AdoptInput) (*Adoption, error) {
	if err := in.validate(); err != nil {
		return nil, err
	}
	a := &adopter{in: in, texts: map[string]*adoptedText{}, inputs: inputs}
	for _, i := range inputs {
		a.texts[i.name] = newAdoptedText(i.text)
	}
	a.b = understand(inputs, a.sticky(inputs))
	a.t = a.b.t
	if problems := slices.Concat(a.b.errs, a.t.refused); len(problems) > 0 {
		return nil, problems[0]
	}
	if err := a.choose(); err != nil {
		return nil, err
	}
	if err := a.change(); err != nil {
		return nil, err
	}
	return a.result()
}

// validate names the first field that would not be one word of a line.
func (in AdoptInput) validate() error {
	v := newValidator()
	for _, p := range in.Proxies {
		v.names("proxies", p.Name)
		v.hosts("proxies", p.Host)
	}
	if in.LocalPeer != "" {
		v.names("local", in.LocalPeer)
	}
	v.address("daemon", cmp.Or(in.Daemon, daemonAddress), false)
	if in.StatsSocket != "" {
		v.word("stats socket", in.StatsSocket)
		v.socketPath("stats socket", in.StatsSocket)
	}
	if len(v.errs) > 0 {
		return v.errs[0]
	}
	return nil
}

// sticky is the reading of files in which not all of --backends have stick rules yet.
func (a *adopter) sticky(inputs []input) Reading {
	r := a.in.Reading
	r.Backends = nil
	if len(a.in.Backends) == 0 {
		return r
	}
	for _, be := range understand(inputs, r).t.Backends {
		if slices.Contains(a.in.Backends, be.Name) && be.Mode == "tcp" && len(be.section.all("stick")) > 0 {
			r.Backends = append(r.Backends, be.Name)
		}
	}
	return r
}

// adopter collects the changes.
type adopter struct {
	in     AdoptInput
	inputs []input
	texts  map[string]*adoptedText
	b      *builder
	t      *Topology
	// backends are those that are adopted; main the server of theirs that is not backup, "" where all are.
	backends []stickRules
	main     string

	// The names of what is there already, or will be.
	table, beacon, alive, peers, self string
	active, fence, keep               string // keys of the table
	// newPeers: the files have no peers section for the native tables, and --proxies makes one.
	newPeers bool
	// end are the sections that go to the end of the last file.
	end   []string
	notes []adoptNote
}

// adoptNote is what is to be said of a place in the files as they are.
type adoptNote struct {
	pos  Position
	text string
}

func (a *adopter) note(pos Position, text string, args ...any) {
	a.notes = append(a.notes, adoptNote{pos, fmt.Sprintf(text, args...)})
}

// sayNotes gives them in the order of the hunks.
func (a *adopter) sayNotes() (said []string) {
	file := func(n adoptNote) int { return slices.Index(a.t.Files, n.pos.File) }
	slices.SortStableFunc(a.notes, func(x, y adoptNote) int {
		return cmp.Or(cmp.Compare(file(x), file(y)), cmp.Compare(x.pos.Line, y.pos.Line))
	})
	for _, n := range a.notes {
		said = append(said, n.pos.String()+": "+n.text)
	}
	return said
}

// mend is an error for what the owner of the files has to do first.
func mend(pos Position, fix, problem string, args ...any) error {
	return errorAt(pos, fix, problem, args...)
}

// change makes all changes.
func (a *adopter) change() error {
	for _, c := range a.backends {
		if a.texts[c.backend.Pos.File].conditionalInside(c.backend.Pos.Line) {
			return mend(c.backend.Pos, "write the section without .if, or add the lines by hand as `haproxyctl config render` has them",
				"backend %s has lines inside an .if: what is added for one case would be wrong for the other", c.backend.Name)
		}
	}
	if err := a.names(); err != nil {
		return err
	}
	a.global()
	a.fences()
	for _, c := range a.backends {
		a.backend(c)
	}
	a.sections()
	return nil
}

// names finds how what is needed is called: as it is, where it is there, else by a name that is free.
func (a *adopter) names() error {
	a.table, a.beacon, a.alive = a.free("haproxyd-steer"), a.free("haproxyd"), a.free("haproxyd-alive")
	a.active, a.fence, a.keep = "1", "2", "4"
	if st := a.t.Steering; st != nil {
		if table, _ := a.t.table(st.Table); table.Type != "integer" {
			return mend(st.Pos, "give it `type integer`, and ask it for int(1)", "the private table %s is not one of integers", st.Table)
		}
		a.table, a.active = st.Table, st.ActiveKey
		a.beacon = st.BeaconBackend + "/" + st.BeaconServer
		a.fence, a.keep = cmp.Or(st.FenceKey, a.fence), cmp.Or(st.KeepKey, a.keep)
	} else {
		a.beacon += "/local"
	}
	if st := a.t.Steering; st != nil && st.FenceKey != "" {
		a.alive = st.AliveBackend + "/" + st.AliveServer
	} else {
		a.alive += "/local"
	}
	return a.choosePeers()
}

// free gives the name, with a number behind it where a section has it.
func (a *adopter) free(name string) string {
	taken := func(n string) bool {
		return slices.ContainsFunc(a.t.sections, func(s *section) bool { return s.name == n })
	}
	for n, i := name, 2; ; n, i = fmt.Sprintf("%s-%d", name, i), i+1 {
		if !taken(n) {
			return n
		}
	}
}

// result applies the changes, and looks whether they are what they are meant to be.
func (a *adopter) result() (*Adoption, error) {
	out := &Adoption{Main: cmp.Or(a.main, a.backends[0].backend.Servers[0].Name)}
	out.AdminSocket, _ = a.t.AdminSocket()
	for _, c := range a.backends {
		out.Backends = append(out.Backends, c.backend.Name)
		out.Aside = append(out.Aside, aside(c.backend, out.Main)...)
	}
	news := slices.Clone(a.inputs)
	for i, in := range a.inputs {
		edits := a.texts[in.name].edits()
		news[i].text = applyEdits(in.text, edits)
		out.Files = append(out.Files, AdoptedFile{Path: in.name, Old: in.text, New: news[i].text, Diff: unifiedDiff(in.name, in.text, edits)})
	}
	if out.Changed() && a.t.Ours {
		return nil, mend(a.t.whole(), "render it again with `haproxyctl config render`", "a file that haproxyctl has rendered lacks what newer ones have")
	}
	if out.Changed() {
		out.Notes = a.sayNotes()
	}
	return out, a.verify(out, news)
}

// verify reads the new texts: what adopt promises must be so.
func (a *adopter) verify(out *Adoption, news []input) error {
	r := a.in.Reading
	for _, f := range lint(news, r) {
		switch {
		case f.Severity != SeverityError:
		case f.Rule == RuleExternalCheck || f.Rule == RuleMarkedUp || f.Rule == RuleRefused:
			// It is as it was, nothing depends on it, and it may be right where this HAProxy runs: a chroot that has the
			// program, another backend's servers, a name that only HAProxy 3.3 and later refuses twice.
			out.Left = append(out.Left, f)
		default:
			return a.before(f)
		}
	}
	out.Topology, _ = build(news, r)
	st := out.Topology.Steering
	for _, c := range a.backends {
		s, ok := find(out.Topology.Sticky, func(s StickyBackend) bool { return s.Name == c.backend.Name })
		if !ok || st == nil || !s.Steered || s.KeepKey == "" || len(s.Servers) != len(c.backend.Servers) {
			return mend(c.backend.Pos, "add the lines by hand as `haproxyctl config render` has them", "backend %s cannot be steered with what adopt adds", c.backend.Name)
		}
		for i, srv := range s.Servers {
			if old := c.backend.Servers[i]; srv.Name != old.Name || srv.ID != old.ID || srv.Backup == (srv.Name == a.main) && a.main != "" {
				return mend(old.Pos, "write the server without variables and quotes", "what adopt changes in server %s would be read as something else", old.Name)
			}
		}
	}
	for i, in := range news {
		old, err := revertText(a.inputs[i]) // some of it may have been adopted before
		if err != nil {
			return err
		}
		now, err := revertText(in)
		if err != nil {
			return err
		}
		out.Files[i].Plain = applyEdits(in.text, now.edits)
		if out.Files[i].Plain != applyEdits(a.inputs[i].text, old.edits) {
			return mend(Position{File: in.name}, "remove comments that begin with `"+markPrefix+"`, and give servers names that are no keywords", "what adopt would change could not be told from what is there when it is taken out again")
		}
	}
	return nil
}

// before makes an error of a finding in the new texts, with the line as it is in the files now.
func (a *adopter) before(f Finding) error {
	pos := Position{File: f.File, Line: f.Line}
	if text, ok := a.texts[f.File]; ok && f.Line > 0 {
		pos.Line = text.oldLine(f.Line)
	}
	return &Error{Pos: pos, Problem: f.Problem, Fix: beforeAdoption + f.Fix}
}
