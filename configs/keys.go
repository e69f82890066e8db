package configs

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// KeyKind is what a stick rule's expression is.
type KeyKind int

const (
	// KeyOther is an expression whose values cannot be known in advance (src, for example).
	KeyOther KeyKind = iota
	// KeyInt is int(N), the same key for every connection.
	KeyInt
	// KeyStr is str(x), the same key for every connection.
	KeyStr
	// KeyFrontendName is fe_name: one key for each frontend.
	KeyFrontendName
	// KeyFrontendID is fe_id: one key for each frontend.
	KeyFrontendID
	// KeyDst is dst: one key for each address that is bound.
	KeyDst
)

// KeyExpr is the expression of a stick rule.
type KeyExpr struct {
	// Text is the expression as written, Arg what is between the parentheses of int() and str().
	Text string
	Kind KeyKind
	Arg  string
}

// wordKeys are the expressions without an argument.
var wordKeys = map[string]KeyKind{"fe_name": KeyFrontendName, "fe_id": KeyFrontendID, "dst": KeyDst}

func parseKey(text string) KeyExpr {
	k := KeyExpr{Text: text, Kind: wordKeys[text]}
	if arg, ok := constant(text, "int("); ok {
		if n, err := strconv.ParseInt(arg, 10, 64); err == nil {
			k.Kind, k.Arg = KeyInt, strconv.FormatInt(n, 10)
		}
		return k
	}
	if arg, ok := constant(text, "str("); ok && arg != "" {
		k.Kind, k.Arg = KeyStr, arg
	}
	return k
}

// constant reads fn's one argument. A second level of quotes or escapes, or a converter after it, makes it another
// value than what is written.
func constant(text, fn string) (string, bool) {
	arg, ok := strings.CutPrefix(text, fn)
	if !ok {
		return "", false
	}
	arg, ok = strings.CutSuffix(arg, ")")
	if !ok || strings.ContainsAny(arg, "()\"'\\, \t") {
		return "", false
	}
	return arg, true
}

// keysOf gives the keys that connections to the backend can have in the table, as `show table` prints them.
func (b *builder) keysOf(k KeyExpr, table StickTable, be Backend) []string {
	var raw []string
	switch k.Kind {
	case KeyInt, KeyStr:
		raw = []string{k.Arg}
	case KeyFrontendName, KeyFrontendID, KeyDst:
		frontends, known := b.t.frontendsTo(be.Name)
		if !known {
			return nil
		}
		for _, f := range frontends {
			if k.Kind == KeyDst && b.rewrites(f, be, "set-dst") {
				return nil
			}
			values, ok := frontendKeys(k.Kind, f)
			if !ok {
				return nil
			}
			raw = append(raw, values...)
		}
	default:
		return nil
	}
	keys := []string{}
	for _, r := range raw {
		key, ok := asKey(k.Kind, r, table)
		if !ok {
			return nil
		}
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// frontendsTo gives the frontends that lead to the backend; it is not known where a rule computes a backend's name.
func (t *Topology) frontendsTo(backend string) (list []Frontend, known bool) {
	for _, f := range t.Frontends {
		if f.Dynamic {
			return nil, false
		}
		if f.leadsTo(backend) {
			list = append(list, f)
		}
	}
	return list, true
}

func frontendKeys(kind KeyKind, f Frontend) ([]string, bool) {
	switch kind {
	case KeyFrontendName:
		return []string{f.Name}, true
	case KeyFrontendID:
		// The id that HAProxy assigns itself depends on the internal proxies of its version: the first frontend of a
		// file has 2 on 2.6.
		return []string{strconv.Itoa(f.ID)}, f.ID != 0
	}
	var out []string
	for _, b := range f.Binds {
		addr, err := netip.ParseAddr(b.Host)
		if err != nil || addr.IsUnspecified() {
			return nil, false
		}
		out = append(out, addr.String())
	}
	return out, len(out) > 0
}

// rewrites tells whether a rule (an action) or the PROXY protocol may replace the address or the port that a client connected to, in
// the frontend, the backend or their defaults. A bind line with an address and `transparent`, for one that may be elsewhere
// now, is connected to at that address (TestTransparentKey).
func (b *builder) rewrites(f Frontend, be Backend, action string) bool {
	for _, part := range slices.Concat(b.withDefaults(f.section), b.withDefaults(be.section)) {
		for _, d := range part.dirs {
			if slices.ContainsFunc(d.words, func(w string) bool {
				switch w {
				case action, "accept-proxy", "accept-netscaler-cip", "expect-proxy", "expect-netscaler-cip":
					return true
				}
				return w == "transparent" && d.word(0) != "bind" && d.word(0) != "no"
			}) {
				return true
			}
		}
	}
	return false
}

// asKey converts a value to the table's type, as HAProxy's casts do, and prints it as `show table` does.
func asKey(kind KeyKind, value string, table StickTable) (string, bool) {
	switch table.Type {
	case "integer":
		// A table's integer is 32 bits wide and printed unsigned (stktable_dump in src/stick_table.c).
		n, err := strconv.ParseUint(value, 10, 32)
		return strconv.FormatUint(n, 10), err == nil && kind != KeyFrontendName && kind != KeyDst
	case "string":
		if table.Length > 0 && len(value) > table.Length {
			value = value[:table.Length]
		}
		return value, true
	case "ip", "ipv6":
		addr, err := netip.ParseAddr(value)
		if err != nil || kind != KeyDst {
			return "", false
		}
		return addr.String(), addr.Is4() == (table.Type == "ip")
	}
	return "", false
}
