package api

import (
	"strings"
	"testing"
)

func TestCheckReason(t *testing.T) {
	for _, good := range []string{"", "upgrade of pxc-0, ask Ana", strings.Repeat("é", 100), "ja – 100 % <\"x\">"} {
		if err := CheckReason(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{strings.Repeat("a", 201), "a\nb", "a\tb", "\xff", "\x00", "a\u202eb", "a\u00a0b"} {
		if CheckReason(bad) == nil {
			t.Errorf("%q passes", bad)
		}
	}
}
