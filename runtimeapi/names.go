package runtimeapi

import (
	"fmt"
	"strings"
)

// checkName refuses what is no name of a backend or server. HAProxy itself allows these
// characters and no others (invalid_char in src/tools.c), so nothing that exists is lost.
func checkName(kind, name string) error {
	return checkChars(kind, name, "_.:-")
}

// checkTable is checkName for a stick-table: one declared in a peers section is called
// SECTION/TABLE.
func checkTable(name string) error {
	return checkChars("table", name, "_.:-/")
}

func checkChars(kind, name, more string) error {
	if name == "" {
		return fmt.Errorf("runtimeapi: empty %s name: %w", kind, ErrUnsafeName)
	}
	for i := range len(name) {
		c := name[i]
		if !isAlphanumeric(c) && strings.IndexByte(more, c) < 0 {
			return fmt.Errorf("runtimeapi: %s name %q has the character %q: %w", kind, name, c, ErrUnsafeName)
		}
	}
	return nil
}

func isAlphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// checkKey refuses a table key that HAProxy would not read as one word: it splits at
// blanks, ends the command at ';', takes '\' as an escape and "<<" as the start of a
// payload (cli_parse_request in src/cli.c). Bytes outside of ASCII are printed escaped and
// could not be recognised again.
func checkKey(key string) error {
	if key == "" {
		return fmt.Errorf("runtimeapi: empty table key: %w", ErrUnsafeName)
	}
	for i := range len(key) {
		if c := key[i]; c <= ' ' || c > '~' || c == ';' || c == '\\' {
			return fmt.Errorf("runtimeapi: table key %q has the character %q: %w", key, c, ErrUnsafeName)
		}
	}
	if strings.Contains(key, "<<") {
		return fmt.Errorf("runtimeapi: table key %q has \"<<\": %w", key, ErrUnsafeName)
	}
	return nil
}

// checkSessionID accepts what "show sess" prints: 0x and hexadecimal digits.
func checkSessionID(id string) error {
	digits, ok := strings.CutPrefix(id, "0x")
	if !ok || digits == "" || strings.Trim(digits, "0123456789abcdef") != "" {
		return fmt.Errorf("runtimeapi: session %q is not an id of \"show sess\" (0x...): %w", id, ErrUnsafeName)
	}
	return nil
}
