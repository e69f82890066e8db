package gossip

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/memberlist"
)

// KeyError names what is wrong with a key file, and where. It never contains a key.
type KeyError struct {
	File string
	Line int // from 1; 0 if it is about the file as a whole
	Text string
}

func (e *KeyError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("gossip key file %s: %s", e.File, e.Text)
	}
	return fmt.Sprintf("gossip key file %s:%d: %s", e.File, e.Line, e.Text)
}

// parseKeys reads one key per line, as hex or as base64 of 16, 24 or 32 bytes
// (AES-128, AES-192, AES-256). Empty lines and lines starting with # are skipped.
func parseKeys(file string, text []byte) ([][]byte, error) {
	var keys [][]byte
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, ok := parseKey(line)
		if !ok {
			return nil, &KeyError{File: file, Line: number, Text: "neither hex nor base64 of 16, 24 or 32 bytes; make one with haproxyctl gossip-key"}
		}
		if slices.ContainsFunc(keys, func(k []byte) bool { return bytes.Equal(k, key) }) {
			return nil, &KeyError{File: file, Line: number, Text: "the same key is there twice"}
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, &KeyError{File: file, Text: "no key in it; make one with haproxyctl gossip-key"}
	}
	return keys, nil
}

// parseKey tries hex first: no base64 text of a valid key can also be the hex
// of one, 32 hex digits being 24 bytes of base64, but then hex is what people mean.
func parseKey(s string) ([]byte, bool) {
	for _, decode := range []func(string) ([]byte, error){
		hex.DecodeString, base64.StdEncoding.DecodeString, base64.RawStdEncoding.DecodeString,
		base64.URLEncoding.DecodeString, base64.RawURLEncoding.DecodeString,
	} {
		if key, err := decode(s); err == nil && memberlist.ValidateKey(key) == nil {
			return key, true
		}
	}
	return nil, false
}

// installKeys makes ring hold exactly keys, in this order. It only ever removes
// a ring's last key: removing another one makes memberlist v0.7.0 move keys
// inside a slice that its receivers are reading (keyring.go, RemoveKey).
// Meanwhile, for some microseconds, secondary keys may be missing.
func installKeys(ring *memberlist.Keyring, keys [][]byte) error {
	if err := ring.AddKey(keys[0]); err != nil {
		return err
	}
	if err := ring.UseKey(keys[0]); err != nil {
		return err
	}
	same := 0
	for have := ring.GetKeys(); same < len(have) && same < len(keys) && bytes.Equal(have[same], keys[same]); {
		same++
	}
	for have := ring.GetKeys(); len(have) > same; have = ring.GetKeys() {
		if err := ring.RemoveKey(have[len(have)-1]); err != nil {
			return err
		}
	}
	for _, key := range keys[same:] {
		if err := ring.AddKey(key); err != nil {
			return err
		}
	}
	return nil
}
