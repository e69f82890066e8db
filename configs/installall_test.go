package configs

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Two files are replaced together or not at all, and what they were is kept once.
func TestInstallAll(t *testing.T) {
	ctx := context.Background()
	accept := func([]string) error { return nil }
	for _, c := range []struct {
		name string
		// before prepares the folder with the files a (to be replaced), b (stays) and c (to be replaced).
		before func(t *testing.T, dir string)
		check  func(t *testing.T, dir string, texts []string) error
		ctx    context.Context
		want   string // the error; "" for none
		left   []string
	}{
		{name: "all", left: []string{"a", "a.kept", "b", "c", "c.kept"}, check: func(t *testing.T, dir string, texts []string) error {
			got := []string{read(t, texts[0]), read(t, texts[1]), read(t, texts[2])}
			if !slices.Equal(got, []string{"new a", "b", "new c"}) || texts[1] != filepath.Join(dir, "b") || read(t, filepath.Join(dir, "a")) != "a" {
				t.Errorf("checked was %q of %q", got, texts)
			}
			return nil
		}},
		{name: "refused", want: "the new text was refused, the files are as they were: no", check: func(*testing.T, string, []string) error { return errors.New("no") }},
		{name: "another copy", want: "c.kept is there already and is another text: move it away first", left: []string{"a", "b", "c", "c.kept"}, before: func(t *testing.T, dir string) {
			put(t, filepath.Join(dir, "c.kept"), "something else")
		}},
		{name: "the same copy", left: []string{"a", "a.kept", "b", "c", "c.kept"}, before: func(t *testing.T, dir string) {
			put(t, filepath.Join(dir, "c.kept"), "c")
		}},
		{name: "changed meanwhile", want: "has changed meanwhile, nothing was replaced: try again", check: func(t *testing.T, dir string, _ []string) error {
			return os.WriteFile(filepath.Join(dir, "b"), []byte("edited"), 0o600)
		}},
		{name: "cancelled", want: "context canceled"},
		{name: "the second cannot be replaced", want: "the files are as they were", left: []string{"a", "a.kept", "b", "c", "c.kept"}, check: func(t *testing.T, dir string, texts []string) error {
			return os.Remove(texts[2])
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			var list []Replacement
			for _, name := range []string{"a", "b", "c"} {
				path := filepath.Join(dir, name)
				put(t, path, name)
				r := Replacement{Path: path, Old: []byte(name), New: []byte("new " + name), Keep: path + ".kept"}
				if name == "b" {
					r.New = r.Old
				}
				list = append(list, r)
			}
			if c.before != nil {
				c.before(t, dir)
			}
			check := accept
			if c.check != nil {
				check = func(texts []string) error { return c.check(t, dir, texts) }
			}
			ctx := ctx
			if c.name == "cancelled" {
				cancelled, cancel := context.WithCancel(ctx)
				cancel()
				ctx = cancelled
			}
			err := InstallAll(ctx, list, check)
			want := map[string]string{"a": "new a", "c": "new c"}
			if c.want != "" {
				want = map[string]string{"a": "a", "c": "c"}
			}
			if c.want == "" != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v", err)
			}
			for name, text := range want {
				if got := read(t, filepath.Join(dir, name)); got != text {
					t.Errorf("%s is %q", name, got)
				}
			}
			if c.left == nil {
				c.left = []string{"a", "b", "c"}
			}
			only(t, dir, c.left...)
			for _, name := range c.left {
				if was, kept := strings.CutSuffix(name, ".kept"); kept && c.name != "another copy" && read(t, filepath.Join(dir, name)) != was {
					t.Errorf("%s is not what %s was", name, was)
				}
			}
		})
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
