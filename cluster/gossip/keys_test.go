package gossip

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/memberlist"
	"pgregory.net/rapid"
)

func key(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func TestParseKeys(t *testing.T) {
	b64, hx := base64.StdEncoding.EncodeToString(key(1)), hex.EncodeToString(key(2)[:16])
	for _, c := range []struct {
		name, text string
		keys       [][]byte
		line       int // of the error; -1: no error
	}{
		{"base64 and hex, with comments", "# primary\n" + b64 + "\n\n  " + hx + " \r\n", [][]byte{key(1), key(2)[:16]}, -1},
		{"without a newline at the end", b64, [][]byte{key(1)}, -1},
		{"raw base64", base64.RawURLEncoding.EncodeToString(key(255)), [][]byte{key(255)}, -1},
		{"a word", b64 + "\nsecret\n", nil, 2},
		{"a short key", "\n\nAAAA\n", nil, 3},
		{"the same twice", b64 + "\n" + hex.EncodeToString(key(1)), nil, 2},
		{"nothing", "# nothing\n", nil, 0},
	} {
		keys, err := parseKeys("keys", []byte(c.text))
		var e *KeyError
		switch {
		case c.line < 0 && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.line >= 0 && (!errors.As(err, &e) || e.Line != c.line || e.File != "keys"):
			t.Errorf("%s: got %v, want an error in line %d", c.name, err, c.line)
		case c.line >= 0 && bytes.Contains([]byte(err.Error()), []byte("secret")):
			t.Errorf("%s: the error shows the key: %v", c.name, err)
		}
		if d := cmp.Diff(c.keys, keys); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

func TestInstallKeysGivesExactlyTheFilesKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		some := rapid.SliceOfNDistinct(rapid.ByteRange(1, 6), 1, 4, rapid.ID[byte])
		rings := rapid.SliceOfN(some, 2, 4).Draw(t, "files")
		var ring *memberlist.Keyring
		for i, file := range rings {
			var keys [][]byte
			for _, b := range file {
				keys = append(keys, key(b))
			}
			var err error
			if i == 0 {
				ring, err = memberlist.NewKeyring(keys, keys[0])
			} else {
				err = installKeys(ring, keys)
			}
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(keys, ring.GetKeys()); d != "" {
				t.Fatal(d)
			}
		}
	})
}
