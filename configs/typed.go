package configs

import (
	"slices"
	"strings"

	parser "github.com/haproxytech/config-parser/v5"
	cpoptions "github.com/haproxytech/config-parser/v5/options"
	"github.com/haproxytech/config-parser/v5/params"
)

// typed gives one directive, alone, to config-parser and returns what it made of it; attr is config-parser's name
// for the directive. It reports false where config-parser keeps nothing of the line, or panics on it (`stick on`
// without an expression does that in v5.1.6).
func typed[T any](kind parser.Section, attr string, words []string) (value T, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	if slices.ContainsFunc(words, hasSpecial) {
		// A word with spaces, quotes or escapes would be cut differently there than HAProxy cuts it.
		return value, false
	}
	section, name := string(kind)+" x", "x"
	if kind == parser.Global {
		section, name = "global", parser.GlobalSectionName
	}
	p, err := parser.New(cpoptions.String(section + "\n " + strings.Join(words, " ") + " \n"))
	if err != nil {
		return value, false
	}
	data, err := p.Get(kind, name, attr, false)
	if err != nil {
		return value, false
	}
	value, ok = data.(T)
	return value, ok
}

// first is typed for the directives that config-parser keeps as lists.
func first[T any](kind parser.Section, attr string, words []string) (T, bool) {
	list, ok := typed[[]T](kind, attr, words)
	if !ok || len(list) != 1 {
		var zero T
		return zero, false
	}
	return list[0], true
}

// hasSpecial tells whether config-parser would not see the word as it is.
func hasSpecial(word string) bool {
	return word == "" || strings.ContainsAny(word, " \t\r\n\v\f\"'\\#")
}

// serverOptions reads the parameters of a server or default-server line. Keywords that config-parser does not know
// but that take a value are removed first, because it would read their value as a keyword (`hash-key id` as an id).
func serverOptions(words []string) (opts []option, unknown []string) {
	var known []string
	for i := 0; i < len(words); i++ {
		switch words[i] {
		case "hash-key", "guid", "init-state", "idle-ping", "cc", "tcp-md5sig", "pool-conn-name", "check-pool-conn-name":
			unknown = append(unknown, words[i])
			if i++; i < len(words) {
				unknown = append(unknown, words[i])
			}
		default:
			known = append(known, words[i])
		}
	}
	read, ok := parseServerOptions(known)
	if !ok {
		return nil, words
	}
	for _, o := range read {
		switch v := o.(type) {
		case *params.ServerOptionWord:
			opts = append(opts, option{name: v.Name})
		case *params.ServerOptionValue:
			opts = append(opts, option{name: v.Name, value: v.Value})
		case *params.ServerOptionIDValue:
			opts = append(opts, option{name: v.Name, value: v.Value})
		}
	}
	kept := strings.Fields(params.ServerOptionsString(read))
	for _, w := range known {
		if len(kept) > 0 && kept[0] == w {
			kept = kept[1:]
			continue
		}
		unknown = append(unknown, w)
	}
	return opts, unknown
}

func parseServerOptions(words []string) (read []params.ServerOption, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	return params.ParseServerOptions(words), true
}
