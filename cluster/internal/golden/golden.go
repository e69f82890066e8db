// Package golden holds what other versions of the daemon read and write against
// what this one does. Only tests use it.
package golden

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden file anew")

// Format is one encoding.
type Format struct {
	// Name stands in the golden file.
	Name string
	// Bytes are an example, as this build writes it.
	Bytes []byte
	// Again reads an example and writes it again.
	Again func([]byte) ([]byte, error)
}

// Check fails unless every format is written as the golden file at path has it,
// and what the file has is read and written again without a change.
func Check(t *testing.T, path string, formats []Format) {
	t.Helper()
	if *update {
		write(t, path, formats)
	}
	golden := read(t, path)
	if len(golden) != len(formats) {
		t.Errorf("%d formats, %d in %s", len(formats), len(golden), path)
	}
	for _, f := range formats {
		old, ok := golden[f.Name]
		if !ok {
			t.Errorf("%s is not in %s", f.Name, path)
			continue
		}
		if !bytes.Equal(f.Bytes, old) {
			t.Errorf("%s is written as\n%x, it was\n%x", f.Name, f.Bytes, old)
		}
		if again, err := f.Again(old); err != nil || !bytes.Equal(again, old) {
			t.Errorf("%s read and written again: %x, %v; it was\n%x", f.Name, again, err, old)
		}
	}
}

func write(t *testing.T, path string, formats []Format) {
	t.Helper()
	sorted := slices.SortedFunc(slices.Values(formats), func(a, b Format) int { return strings.Compare(a.Name, b.Name) })
	var text strings.Builder
	for _, f := range sorted {
		fmt.Fprintf(&text, "%s = %x\n", f.Name, f.Bytes)
	}
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) map[string][]byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	golden := map[string][]byte{}
	for line := range strings.Lines(string(text)) {
		name, digits, _ := strings.Cut(strings.TrimSpace(line), " = ")
		if golden[name], err = hex.DecodeString(digits); err != nil {
			t.Fatalf("%s: %s: %v", path, name, err)
		}
	}
	return golden
}
