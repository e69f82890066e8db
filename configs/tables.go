package configs

import (
	"math"
	"slices"
	"strconv"
	"strings"

	parser "github.com/haproxytech/config-parser/v5"
	"github.com/haproxytech/config-parser/v5/types"
)

// defaultKeyLength is what a string table without `len` keeps of a key. The manual says 32; run on 2.2 to 3.4 it is
// one less, and with `len N` it is N.
const defaultKeyLength = 31

// table reads a stick-table line: words are those after its name. peersSection is the section it stands in, if that
// is a peers section.
func (b *builder) table(d directive, name string, words []string, peersSection string) {
	t := StickTable{Name: name, Type: "ip", Length: defaultKeyLength, PeersSection: peersSection, Pos: d.pos}
	var size string
	line := append([]string{"stick-table"}, words...)
	if parsed, ok := typed[*types.StickTable](parser.Backends, "stick-table", line); ok && parsed != nil {
		t.Type, size, t.NoPurge, t.Expire, t.ByAddress = parsed.Type, parsed.Size, parsed.NoPurge, parsed.Expire, parsed.SrvKey == "addr"
		if parsed.Peers != "" {
			t.PeersSection = parsed.Peers
		}
		if n, err := strconv.Atoi(parsed.Length); err == nil {
			t.Length = n
		}
	} else {
		size = b.hiddenTable(&t, words)
	}
	n, ok := parseSize(size)
	if !ok {
		b.fail(d.pos, "write `size 100k`", "the stick-table of %s has the size %q", name, size)
	}
	t.Size = n
	b.t.Tables = append(b.t.Tables, t)
}

// hiddenTable reads by words a line that config-parser gives up on, and remembers the word that it fails at.
func (b *builder) hiddenTable(t *StickTable, words []string) (size string) {
	value := func(i int) string { return directive{words: words}.word(i + 1) }
	if len(words) == 0 || words[0] != "type" {
		// It wants the type first; HAProxy takes it anywhere.
		t.hidden = "type"
	}
	for i := 0; i < len(words); i++ {
		switch words[i] {
		case "type":
			t.Type = value(i)
			i++
		case "len":
			if n, err := strconv.Atoi(value(i)); err == nil {
				t.Length = n
			}
			i++
		case "size":
			size = value(i)
			i++
		case "nopurge":
			t.NoPurge = true
		case "peers":
			t.PeersSection = value(i)
			i++
		case "expire":
			t.Expire = value(i)
			i++
		case "srvkey":
			t.ByAddress = value(i) == "addr"
			i++
		case "write-to", "store":
			i++
		default:
			t.hidden = words[i]
		}
	}
	return size
}

// parseSize reads a size with its suffix: k, m and g are powers of 1024 (parse_size_err in src/tools.c).
func parseSize(text string) (int, bool) {
	digits := strings.TrimRight(text, "kKmMgG")
	n, err := strconv.ParseUint(digits, 10, 31)
	if err != nil || len(text)-len(digits) > 1 {
		return 0, false
	}
	switch strings.ToLower(text[len(digits):]) {
	case "k":
		n <<= 10
	case "m":
		n <<= 20
	case "g":
		n <<= 30
	}
	if n == 0 || n > math.MaxInt32*64 {
		return 0, false
	}
	return int(n), true
}

// stickRule is one stick line.
type stickRule struct {
	// kind is on, match, store-request or store-response.
	kind  string
	key   KeyExpr
	table string
	when  clause
	// unless tells that when must not hold.
	unless bool
	pos    Position
}

func (b *builder) stickRules(s *section) []stickRule {
	var rules []stickRule
	for _, d := range s.all("stick") {
		r := stickRule{kind: d.word(1), table: s.name, pos: d.pos}
		if !slices.Contains([]string{"on", "match", "store-request", "store-response"}, r.kind) || d.word(2) == "" {
			b.fail(d.pos, "write `stick on|match|store-request EXPRESSION [table NAME] [if CONDITION]`", "a stick rule that cannot be read")
			continue
		}
		if parsed, ok := first[types.Stick](parser.Backends, "stick", d.words); ok {
			r.key = parseKey(parsed.Pattern)
			if parsed.Table != "" {
				r.table = parsed.Table
			}
		} else {
			r.key = parseKey(d.word(2))
			if d.word(3) == "table" {
				r.table = d.word(4)
			}
		}
		r.when, r.unless, _ = parseClause(s, d.words)
		rules = append(rules, r)
	}
	return rules
}

// beacon tells whether the rule holds exactly while a server is up, or exactly while it is not.
func (r stickRule) beacon(s *section) (backend, server string, up, ok bool) {
	if len(r.when) != 1 || len(r.when[0]) != 1 {
		return "", "", false, false
	}
	t := r.when[0][0]
	backend, server, ok = t.srvUp(s)
	return backend, server, t.neg == r.unless, ok
}
