package runtimeapi

import (
	"strconv"
	"strings"
	"time"
)

// cutLine returns the first line without its newline, and what is behind it. Every parser
// here runs on substrings of the reply: nothing is copied at ten looks a second.
func cutLine(text string) (line, rest string) {
	line, rest, _ = strings.Cut(text, "\n")
	return line, rest
}

// cutWord returns the first word up to a blank that is not escaped by '\', and what is
// behind it. HAProxy escapes blanks in string keys that way (dump_text in src/tools.c).
func cutWord(text string) (word, rest string) {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case ' ':
			return text[:i], text[i+1:]
		}
	}
	return text, ""
}

// unescape undoes dump_text, which writes '=', '\' and blanks behind a '\', some control
// characters as C does and all else that cannot be printed as \xNN.
func unescape(text string) (string, bool) {
	if strings.IndexByte(text, '\\') < 0 {
		return text, true
	}
	plain := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			plain = append(plain, text[i])
			continue
		}
		if i++; i == len(text) {
			return "", false
		}
		switch c := text[i]; c {
		case '\\', '=', ' ':
			plain = append(plain, c)
		case 't':
			plain = append(plain, '\t')
		case 'n':
			plain = append(plain, '\n')
		case 'r':
			plain = append(plain, '\r')
		case 'e':
			plain = append(plain, 0x1b)
		case 'x':
			if len(text) < i+3 {
				return "", false
			}
			n, err := strconv.ParseUint(text[i+1:i+3], 16, 8)
			if err != nil {
				return "", false
			}
			plain = append(plain, byte(n))
			i += 2
		default:
			return "", false
		}
	}
	return string(plain), true
}

// someName returns "" for what HAProxy prints where there is no name: "-", "<NONE>",
// "<none>" or "?".
func someName(name string) string {
	switch name {
	case "-", "<NONE>", "<none>", "?":
		return ""
	}
	return name
}

// parseAge reads HAProxy's human_time (src/tools.c), the two largest units of a time:
// "29s", "1m30s", "2h5m", "3d4h". A negative time is "?" there: a session that another
// thread accepted in a second that the answering thread's clock has not reached.
func parseAge(text string) (time.Duration, bool) {
	if text == "?" {
		return 0, true
	}
	var sum time.Duration
	start := 0
	for i := range len(text) {
		var unit time.Duration
		switch text[i] {
		case 's':
			unit = time.Second
		case 'm':
			unit = time.Minute
		case 'h':
			unit = time.Hour
		case 'd':
			unit = 24 * time.Hour
		default:
			continue
		}
		n, err := strconv.ParseUint(text[start:i], 10, 31)
		if err != nil {
			return 0, false
		}
		sum += time.Duration(n) * unit
		start = i + 1
	}
	return sum, start == len(text) && start > 0
}

// column reads one value of a listing into what is made of its line; nil is one that is
// not read.
type column[T any] func(to *T, value string) error

func textColumn[T any](field func(*T) *string) column[T] {
	return func(to *T, value string) error {
		*field(to) = value
		return nil
	}
}

func numberColumn[T any, N ~int | ~int64](field func(*T) *N) column[T] {
	return func(to *T, value string) error {
		n, err := strconv.ParseInt(value, 10, 64)
		*field(to) = N(n)
		return err
	}
}
