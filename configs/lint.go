package configs

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Severity says how bad a finding is.
type Severity string

const (
	// SeverityError means that the active node can be lost or split as it stands.
	SeverityError Severity = "error"
	// SeverityWarning means that it works, and a fault or an operator's action will hurt more than it must.
	SeverityWarning Severity = "warning"
)

// Finding is one thing that the linter has to say.
type Finding struct {
	File string `json:"file" yaml:"file"`
	// Line counts from 1; 0 means the file as a whole.
	Line     int      `json:"line" yaml:"line"`
	Severity Severity `json:"severity" yaml:"severity"`
	// Rule is one of the Rule constants.
	Rule    string `json:"rule" yaml:"rule"`
	Problem string `json:"problem" yaml:"problem"`
	Why     string `json:"why" yaml:"why"`
	Fix     string `json:"fix" yaml:"fix"`
}

const (
	// minTableSize: size 1 or 2 misrouted up to 99 % of 300 connections per second, size 1000 none (HAPROXY.md 1).
	minTableSize = 1000
	// calmTableSize: with fewer entries a burst of connections comes near the limit.
	calmTableSize = 10000
	// minPrivateSize: nothing but the daemon writes the private table, a handful of keys.
	minPrivateSize = 16
)

// LintAs reads the files as one configuration, with what they do not say themselves, and says
// what in it makes an active node unsafe. The findings are in file order. A file that cannot be read is an error; one
// that cannot be understood is a finding.
func LintAs(r Reading, files ...string) ([]Finding, error) {
	inputs, err := readInputs(files)
	if err != nil {
		return nil, err
	}
	return lint(inputs, r), nil
}

func lint(inputs []input, r Reading) []Finding {
	t, errs := build(inputs, r)
	l := &linter{t: t}
	for _, e := range errs {
		l.add(e.Pos, SeverityError, RuleSyntax, e.Problem, "the daemon cannot work from a configuration that it cannot read as HAProxy does", e.Fix)
	}
	l.socket()
	l.tables()
	l.peers()
	l.peersClear()
	l.servers()
	l.sameNames()
	for _, e := range l.t.refused {
		l.add(e.Pos, SeverityError, RuleRefused, e.Problem, "HAProxy does not start with such a file", e.Fix)
	}
	for _, pos := range l.t.cutShort {
		l.add(pos, SeverityError, RuleEmptyWord, "an empty word ends the line", "HAProxy up to 3.2 does not read what stands behind it, and 3.4 refuses the file",
			"remove it; if it is a variable, set it, or take it out of the quotes")
	}
	if len(l.t.Services) > 0 {
		l.add(l.t.strange().Pos, SeverityError, RuleTwoServices, l.t.twoServices(), "all sticky backends follow one active node", twoServicesFix)
	}
	l.externalCheck()
	l.steering()
	for _, w := range slices.Concat(l.t.Ways, l.t.Halves) {
		l.add(w.Pos, w.Severity, w.Rule, w.Problem, w.Why, w.Fix)
	}
	l.hold()
	l.readiness()
	slices.SortStableFunc(l.findings, func(a, b Finding) int {
		return cmp.Or(
			cmp.Compare(slices.Index(t.Files, a.File), slices.Index(t.Files, b.File)),
			cmp.Compare(a.Line, b.Line),
		)
	})
	return slices.Compact(l.findings)
}

type linter struct {
	t        *Topology
	findings []Finding
}

func (l *linter) add(pos Position, severity Severity, rule, problem, why, fix string) {
	if pos.File == "" && len(l.t.Files) > 0 {
		pos.File = l.t.Files[0]
	}
	l.findings = append(l.findings, Finding{File: pos.File, Line: pos.Line, Severity: severity, Rule: rule, Problem: problem, Why: why, Fix: fix})
}

// sectionPos is the place of the first section of a kind, for what is missing in it.
func (l *linter) sectionPos(kind string) Position {
	for _, s := range l.t.sections {
		if s.kind == kind {
			return s.pos
		}
	}
	return Position{}
}

func (l *linter) socket() {
	_, err := l.t.AdminSocket()
	if err == nil {
		return
	}
	pos, problem := l.sectionPos("global"), "no admin-level stats socket"
	for _, s := range l.t.Sockets {
		pos = s.Pos
		problem = fmt.Sprintf("the stats socket %s has level %s and is no way to change a server's state", s.Path, s.Level)
		if s.Level == "admin" {
			problem = fmt.Sprintf("the admin-level stats socket %s is not a unix socket", s.Path)
		}
	}
	l.add(pos, SeverityError, RuleNoAdminSocket, problem,
		"`set server` and `shutdown sessions` need level admin, so that sessions of an old active node could not be closed",
		"add `stats socket /run/haproxy/admin.sock mode 660 level admin` to global")
}

// used gives the tables that stick rules use.
func (l *linter) used() (native, private map[string]bool) {
	native, private = map[string]bool{}, map[string]bool{}
	for _, s := range l.t.Sticky {
		native[s.Table] = true
	}
	if st := l.t.Steering; st != nil && !native[st.Table] {
		private[st.Table] = true
	}
	return native, private
}

func (l *linter) tables() {
	native, private := l.used()
	for _, t := range l.t.Tables {
		if t.hidden != "" {
			l.hidden(t)
		}
		if !native[t.Name] && !private[t.Name] {
			continue
		}
		l.tableSize(t, private[t.Name])
		if t.NoPurge {
			l.add(t.Pos, SeverityError, RuleTableNoPurge, fmt.Sprintf("stick-table %s has nopurge", t.Name),
				"a full table with nopurge drops new entries and what the peers send without a word, so that it never follows a failover",
				"remove nopurge, and give it `size 100k`")
		}
		if native[t.Name] && t.PeersSection == "" {
			l.add(t.Pos, SeverityError, RuleStickyNoPeers, fmt.Sprintf("stick-table %s names no peers section", t.Name),
				"every HAProxy then sticks to a node of its own choice, and a reload forgets it",
				"add `peers NAME` with a peers section that lists every HAProxy, this one among them")
		}
	}
}

func (l *linter) tableSize(t StickTable, private bool) {
	switch {
	case private && t.Size < minPrivateSize:
		l.add(t.Pos, SeverityError, RuleTableSmall, fmt.Sprintf("the private stick-table %s has size %d", t.Name, t.Size),
			"the keys for the active node and for the fence would evict each other", "give it `size 1k`")
	case private:
	case t.Size < minTableSize:
		l.add(t.Pos, SeverityError, RuleTableSmall, fmt.Sprintf("stick-table %s has size %d", t.Name, t.Size),
			"every connecting session allocates an entry that evicts the real one: connections go to other nodes under load",
			"give it `size 100k`")
	case t.Size < calmTableSize:
		l.add(t.Pos, SeverityWarning, RuleTableSmall, fmt.Sprintf("stick-table %s has size %d", t.Name, t.Size),
			"the size must exceed the number of sessions that connect at the same time, also in a burst after a failover",
			"give it `size 100k`")
	}
}

func (l *linter) hidden(t StickTable) {
	problem := fmt.Sprintf("the word %q hides the stick-table %s", t.hidden, t.Name)
	if t.hidden == "type" {
		problem = fmt.Sprintf("the stick-table %s does not start with its type", t.Name)
	}
	l.add(t.Pos, SeverityWarning, RuleTableHidden, problem,
		"tools that read haproxy.cfg with HAProxy Technologies' config-parser see no table here at all; what this program reads from the line by itself may miss something",
		"remove the word if HAProxy can do without it, write `type` first, and run `haproxy -c`")
}

func (l *linter) peers() {
	native, private := l.used()
	names := map[string][]string{}
	for _, t := range l.t.Tables {
		if (native[t.Name] || private[t.Name]) && t.PeersSection != "" {
			names[t.PeersSection] = append(names[t.PeersSection], t.Name)
			if _, ok := l.t.PeersNamed(t.PeersSection); !ok {
				l.add(t.Pos, SeverityError, RuleStickyNoPeers, fmt.Sprintf("stick-table %s names the peers section %s, which is not there", t.Name, t.PeersSection),
					"HAProxy refuses such a configuration", "add the section, or name the one that is there")
			}
		}
	}
	for _, p := range l.t.Peers {
		tables := names[p.Name]
		if len(tables) == 0 {
			continue
		}
		if p.Disabled {
			l.add(p.Pos, SeverityError, RuleStickyNoPeers, fmt.Sprintf("the peers section %s is disabled", p.Name),
				"every HAProxy then sticks to a node of its own choice", "remove `disabled`")
		}
		if !p.Has(l.t.LocalPeer) {
			l.localPeer(p, tables)
		}
		if slices.ContainsFunc(tables, func(t string) bool { return native[t] }) {
			l.twoProxies(p)
		}
		l.shards(p)
	}
}

func (l *linter) localPeer(p PeersSection, tables []string) {
	var have []string
	for _, peer := range p.Peers {
		have = append(have, peer.Name)
	}
	l.add(p.Pos, SeverityError, RuleLocalPeer,
		fmt.Sprintf("the local peer %q is not in the peers section %s (%s)", l.t.LocalPeer, p.Name, strings.Join(have, ", ")),
		fmt.Sprintf("HAProxy drops a section without the local peer with no more than a warning: nothing of %s is shared or kept over a reload", strings.Join(tables, ", ")),
		"add this HAProxy to the section, or start HAProxy with -L NAME (or `localpeer NAME` in global, before the peers) and lint with the same name")
}

func (l *linter) shards(p PeersSection) {
	if p.Shards != 0 {
		l.add(p.Pos, SeverityError, RulePeerShards, fmt.Sprintf("the peers section %s has `shards %d`", p.Name, p.Shards),
			"with shards each peer gets only some of the entries, so that most HAProxies never learn of the active node", "remove `shards`")
	}
	for _, s := range l.t.sections {
		if s.kind != "peers" || s.name != p.Name {
			continue
		}
		for _, d := range s.dirs {
			if i := slices.Index(d.words, "shard"); i > 2 && (d.word(0) == "peer" || d.word(0) == "server") {
				l.add(d.pos, SeverityError, RulePeerShards, fmt.Sprintf("the peer %s has `shard %s`", d.word(1), d.word(i+1)),
					"with shards each peer gets only some of the entries, so that most HAProxies never learn of the active node", "remove `shard`")
			}
		}
	}
}
