package configs

import (
	"errors"
	"strconv"
	"strings"
)

// A tokenizer cuts one line into words by the rules of HAProxy's parse_line (src/tools.c; section 2.2 and 2.3 of
// the configuration manual).
type tokenizer struct {
	// lookup resolves an environment variable.
	lookup func(name string) (string, bool)

	words   []string
	unset   []string
	word    strings.Builder
	started bool
}

var (
	errQuote    = errors.New("a quote is opened and not closed")
	errVariable = errors.New(`a "$" inside double quotes is not followed by a variable's name`)
	errBrace    = errors.New(`"${" is not closed by "}"`)
	errHex      = errors.New(`"\x" is not followed by two hexadecimal digits`)
)

// split cuts text into words, without its comment. unset lists the variables that were used and are not set, for
// which HAProxy silently puts nothing.
func split(text string, lookup func(string) (string, bool)) (words, unset []string, err error) {
	t := tokenizer{lookup: lookup}
	if err := t.run(text); err != nil {
		return nil, nil, err
	}
	return t.words, t.unset, nil
}

func (t *tokenizer) emit(c byte) {
	t.word.WriteByte(c)
	t.started = true
}

func (t *tokenizer) end() {
	if t.started {
		t.words = append(t.words, t.word.String())
		t.word.Reset()
		t.started = false
	}
}

func (t *tokenizer) run(in string) error {
	var weak, strong bool
	for i := 0; i < len(in); {
		c := in[i]
		switch {
		case !weak && !strong && (c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f'):
			t.end()
			i++
		case c == '"' && !strong:
			weak, t.started = !weak, true
			i++
		case c == '\'' && !weak:
			strong, t.started = !strong, true
			i++
		case c == '#' && !weak && !strong:
			t.end()
			return nil
		case c == '\\' && !strong:
			n, err := t.escape(in[i:])
			if err != nil {
				return err
			}
			i += n
		case c == '$' && weak:
			n, err := t.variable(in[i:])
			if err != nil {
				return err
			}
			i += n
		default:
			t.emit(c)
			i++
		}
	}
	if weak || strong {
		return errQuote
	}
	t.end()
	return nil
}

// escape handles a backslash at in[0] and says how many bytes it took. Combinations without a meaning stay as they
// are, which regular expressions rely on.
func (t *tokenizer) escape(in string) (int, error) {
	if len(in) < 2 {
		t.emit('\\')
		return 1, nil
	}
	switch in[1] {
	case ' ', '\\', '#', '\'', '"', '$':
		t.emit(in[1])
	case 'n':
		t.emit('\n')
	case 'r':
		t.emit('\r')
	case 't':
		t.emit('\t')
	case 'x':
		if len(in) < 4 {
			return 0, errHex
		}
		v, err := strconv.ParseUint(in[2:4], 16, 8)
		if err != nil {
			return 0, errHex
		}
		t.emit(byte(v))
		return 4, nil
	default:
		t.emit('\\')
		return 1, nil
	}
	return 2, nil
}

// variable expands the variable at in[0] == '$' and says how many bytes it took. Inside braces a default may follow
// a dash, and a trailing [*] makes one word of each value.
func (t *tokenizer) variable(in string) (int, error) {
	name, brace, i := nameAt(in, 0)
	if name == "" {
		return 0, errVariable
	}
	value, set := t.lookup(name)
	if !brace {
		t.expand(name, value, set, false)
		return i, nil
	}
	each := strings.HasPrefix(in[i:], "[*]")
	if each {
		i += 3
	}
	closing := strings.IndexByte(in[i:], '}')
	if closing < 0 {
		return 0, errBrace
	}
	if rest := in[i : i+closing]; rest != "" {
		if rest[0] != '-' {
			return 0, errVariable
		}
		if !set {
			value, set = rest[1:], true
		}
	}
	t.expand(name, value, set, each)
	return i + closing + 1, nil
}

func (t *tokenizer) expand(name, value string, set, each bool) {
	if !set {
		t.unset = append(t.unset, name)
	}
	t.started = true
	if !each {
		t.word.WriteString(value)
		return
	}
	for n, field := range strings.Fields(value) {
		if n > 0 {
			t.end()
		}
		t.word.WriteString(field)
		t.started = true
	}
}

// nameAt gives the name of the variable at in[i] == '$', whether a brace is before it, and where it ends.
func nameAt(in string, i int) (name string, brace bool, end int) {
	i++
	brace = i < len(in) && in[i] == '{'
	if brace {
		i++
	}
	end = i
	for end < len(in) && isNameByte(in[end], end == i) {
		end++
	}
	return in[i:end], brace, end
}

func isNameByte(c byte, first bool) bool {
	switch {
	case c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
		return true
	case c == '.':
		// Pseudo-variables (.FILE, .LINE, .SECTION) start with a dot and have it nowhere else.
		return first
	default:
		return !first && c >= '0' && c <= '9'
	}
}

// expandAddress expands $NAME and ${NAME} in an address, where HAProxy does it even outside quotes (section 11 of
// its manual; env_expand in src/tools.c, which knows no defaults).
func expandAddress(in string, lookup func(string) (string, bool)) (out string, unset []string) {
	var b strings.Builder
	for i := 0; i < len(in); {
		if in[i] != '$' {
			b.WriteByte(in[i])
			i++
			continue
		}
		name, brace, j := nameAt(in, i)
		if brace && j < len(in) && in[j] == '}' {
			j++
		}
		value, set := lookup(name)
		if !set {
			unset = append(unset, name)
		}
		b.WriteString(value)
		i = j
	}
	return b.String(), unset
}
