package configs

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// adoptCase is a file of testdata/adopt: what is asked for in its comment, the files, and what must come of it: the diffs,
// or the error.
type adoptCase struct {
	archive *txtar.Archive
	in      AdoptInput
	inputs  []input
	want    string
}

func readAdoptCase(t *testing.T, file string) adoptCase {
	t.Helper()
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c := adoptCase{archive: archive}
	for line := range strings.Lines(string(archive.Comment)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "local":
			c.in.LocalPeer = value
		case "active":
			c.in.Active = value
		case "backends":
			c.in.Backends = strings.Split(value, ",")
		case "proxies":
			for p := range strings.SplitSeq(value, ",") {
				name, address, _ := strings.Cut(p, "=")
				host, port, _ := cutAddress(address)
				c.in.Proxies = append(c.in.Proxies, RenderProxy{Name: name, Host: host, Port: port})
			}
		}
	}
	for _, f := range archive.Files {
		if f.Name == "want" {
			c.want = string(f.Data)
			continue
		}
		c.inputs = append(c.inputs, input{name: f.Name, text: string(f.Data)})
	}
	return c
}

func adoptCases(t *testing.T, each func(t *testing.T, file string, c adoptCase)) {
	t.Helper()
	files, err := filepath.Glob("testdata/adopt/*.txtar")
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { each(t, file, readAdoptCase(t, file)) })
	}
}

// Shapes of files as people have them, and the inputs of the field: what is added is as reviewed, HAProxy takes it in every
// version at hand, the linter finds no error, adopting again changes nothing, and Revert gives the old text back.
func TestAdopt(t *testing.T) {
	binaries := haproxies(t)
	adoptCases(t, func(t *testing.T, file string, c adoptCase) {
		got, err := adopt(c.inputs, c.in)
		var text strings.Builder
		if err != nil {
			text.WriteString("error: " + err.Error() + "\n")
		} else {
			for _, f := range got.Files {
				text.WriteString(f.Diff)
			}
			for _, n := range got.Notes {
				text.WriteString("note: " + n + "\n")
			}
		}
		if *update {
			c.archive.Files = slices.DeleteFunc(c.archive.Files, func(f txtar.File) bool { return f.Name == "want" })
			c.archive.Files = append(c.archive.Files, txtar.File{Name: "want", Data: []byte(text.String())})
			if err := os.WriteFile(file, txtar.Format(c.archive), 0o600); err != nil {
				t.Fatal(err)
			}
		} else if c.want != text.String() {
			t.Errorf("got\n%s\nwant\n%s", text.String(), c.want)
		}
		if err == nil {
			adopted(t, c, got, binaries)
		}
	})
}

// adopted checks what holds of every adoption.
func adopted(t *testing.T, c adoptCase, got *Adoption, binaries map[string]string) {
	t.Helper()
	dir := t.TempDir()
	var news []input
	var paths []string
	for _, f := range got.Files {
		news = append(news, input{name: f.Path, text: f.New})
		paths = append(paths, filepath.Join(dir, f.Path))
		if err := os.WriteFile(paths[len(paths)-1], []byte(f.New), 0o600); err != nil {
			t.Fatal(err)
		}
		back, err := revertText(input{name: f.Path, text: f.New})
		if err != nil {
			t.Fatal(err)
		}
		if old := applyEdits(f.New, back.edits); old != f.Old {
			t.Errorf("%s is not the same again:\n%s", f.Path, old)
		}
		patched(t, f)
	}
	for version, binary := range binaries {
		if err := CheckWithHAProxy(context.Background(), binary, paths...); err != nil {
			t.Errorf("HAProxy %s: %v", version, err)
		}
	}
	for _, f := range lint(news, c.in.Reading) {
		if f.Severity == SeverityError && !slices.Contains(got.Left, f) {
			t.Errorf("the linter finds %+v", f)
		}
	}
	for _, s := range got.Aside {
		if backend, server, _ := strings.Cut(s, "/"); !slices.Contains(got.Backends, backend) || server == got.Main {
			t.Errorf("%s is to be taken aside, and the writers are on %s", s, got.Main)
		}
	}
	for _, name := range got.Backends {
		s, ok := find(got.Topology.Sticky, func(s StickyBackend) bool { return s.Name == name })
		if !ok || !s.Steered || s.Stores || s.KeepKey == "" || len(s.Keys) == 0 {
			t.Errorf("%s is not steered: %+v", name, s)
		}
	}
	again, err := adopt(news, c.in)
	if err != nil {
		t.Fatal(err)
	}
	if again.Changed() || len(again.Notes) > 0 {
		t.Errorf("adopting again: %v\n%s", again.Notes, again.Files[0].Diff)
	}
}

// patched has the patch program make the new text of the old one.
func patched(t *testing.T, f AdoptedFile) {
	t.Helper()
	if f.Diff == "" {
		return
	}
	program, err := exec.LookPath("patch")
	if err != nil {
		t.Skip("no patch program")
	}
	path := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(path, []byte(f.Old), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--binary", path)
	cmd.Stdin = strings.NewReader(f.Diff)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("patch: %v\n%s", err, out)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != f.New {
		t.Errorf("patch made something else of it: %v\n%s", err, text)
	}
}

// The same with lines that end as on Windows: HAProxy takes them for blanks, and what is added ends like the rest.
func TestAdoptCRLF(t *testing.T) {
	binaries := haproxies(t)
	crlf := strings.NewReplacer("\n", "\r\n")
	adoptCases(t, func(t *testing.T, _ string, c adoptCase) {
		plain, err := adopt(c.inputs, c.in)
		if err != nil {
			t.Skip("refused")
		}
		for i := range c.inputs {
			c.inputs[i].text = crlf.Replace(c.inputs[i].text)
		}
		got, err := adopt(c.inputs, c.in)
		if err != nil {
			t.Fatal(err)
		}
		for i, f := range got.Files {
			if want := crlf.Replace(plain.Files[i].New); f.New != want {
				t.Errorf("got\n%q\nwant\n%q", f.New, want)
			}
		}
		adopted(t, c, got, binaries)
	})
}

// What was edited after the adoption stays when it is taken out again.
func TestRevertKeepsEdits(t *testing.T) {
	const old = `global
    stats socket /run/haproxy/admin.sock mode 660 level admin
peers lbs
    peer a 10.1.0.1:10000
listen db
    bind :3306
    stick-table type integer size 1 nopurge expire 1h peers lbs
    stick on int(1)
    server n1 10.1.1.1:3306 check on-marked-up shutdown-backup-sessions inter 2s # first
    server n2 10.1.1.2:3306 check backup
`
	got, err := adopt([]input{{"f", old}}, AdoptInput{Reading: Reading{LocalPeer: "a"}, Active: "n2"})
	if err != nil {
		t.Fatal(err)
	}
	edit := func(pairs ...string) string {
		text := got.Files[0].New
		for i := 0; i < len(pairs); i += 2 {
			marked := strings.LastIndex(text, pairs[i]) // the live line is below the comment
			if marked < 0 {
				t.Fatalf("%q is not in\n%s", pairs[i], text)
			}
			text = text[:marked] + pairs[i+1] + text[marked+len(pairs[i]):]
		}
		return text
	}
	for _, c := range []struct{ what, text, want, note string }{
		{what: "nothing", text: got.Files[0].New, want: old},
		{
			what: "an address, a comment and a parameter",
			text: edit("10.1.1.1:3306 check", "10.1.1.9:3306 check", "inter 2s", "inter 3s weight 10", "# first", "# moved"),
			want: strings.NewReplacer("10.1.1.1:3306 check on-marked-up shutdown-backup-sessions inter 2s", "10.1.1.9:3306 check inter 3s weight 10 on-marked-up shutdown-backup-sessions", "# first", "# moved").Replace(old),
			note: "it was edited since",
		},
		{
			what: "a server and a section more",
			text: edit("# haproxyd begin\n# What", "    server n3 10.1.1.3:3306 id 3 check backup\nlisten web\n    mode http\n# haproxyd begin\n# What"),
			want: old + "    server n3 10.1.1.3:3306 id 3 check backup\nlisten web\n    mode http\n",
		},
		{
			what: "the table",
			text: edit("size 100k", "size 1m", "stick match int(1)", "stick match int(7)"),
			want: strings.NewReplacer("size 1 nopurge expire 1h peers lbs", "size 1m peers lbs nopurge expire 1h", "stick on int(1)", "stick on int(7)").Replace(old),
			note: "it was edited since",
		},
		{what: "a server less", text: edit("    # haproxyd was:     server n2 10.1.1.2:3306 check backup\n", "", "    server n2 10.1.1.2:3306 check id 2 on-marked-down shutdown-sessions\n", ""), want: strings.Replace(old, "    server n2 10.1.1.2:3306 check backup\n", "", 1)},
	} {
		t.Run(c.what, func(t *testing.T) {
			back, err := revertText(input{"f", c.text})
			if err != nil {
				t.Fatal(err)
			}
			if got := applyEdits(c.text, back.edits); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
			if notes := strings.Join(back.notes, "\n"); !strings.Contains(notes, c.note) || c.note == "" && notes != "" {
				t.Errorf("notes %q", back.notes)
			}
		})
	}
	for _, c := range []struct{ what, text, want string }{
		{"a mark without its line", edit("    server n2 10.1.1.2:3306 check id 2", "    server n4 10.1.1.4:3306 check id 4"), "another line than the one that adopt has changed; put the line back below it, or remove the comment"},
		{"a block without its end", edit("# haproxyd end\n", ""), "`# haproxyd begin` without its end"},
		{"a section in the block", edit("# haproxyd end\n", "frontend mine\n# haproxyd end\n"), `"frontend mine" stands inside what adopt has added; move it behind the line`},
		{"a block in the block", edit("# haproxyd end\n", "# haproxyd begin\n# haproxyd end\n"), "stands inside what adopt has added"},
	} {
		if _, err := revertText(input{"f", c.text}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

// The linter's own files: each is adopted, or refused by one line with a place and what to do; never half.
func TestAdoptLintCorpus(t *testing.T) {
	binaries := haproxies(t)
	files, err := filepath.Glob("testdata/lint/*.cfg")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	done := 0
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			c := adoptCase{inputs: []input{{name: filepath.Base(file), text: read(t, file)}}}
			top, _ := build(c.inputs, Reading{})
			c.in.LocalPeer = "px0"
			if len(top.Peers) == 0 {
				c.in.Proxies = []RenderProxy{{Name: "px0", Host: "10.9.0.1"}, {Name: "px1", Host: "10.9.0.2"}}
			} else if len(top.Peers[0].Peers) > 0 {
				c.in.LocalPeer = top.Peers[0].Peers[0].Name
			}
			got, err := adopt(c.inputs, c.in)
			if err != nil {
				if e, ok := errors.AsType[*Error](err); !ok || e.Fix == "" || e.Pos.File == "" || strings.Contains(err.Error(), "\n") {
					t.Errorf("refused with %v", err)
				}
				t.Skip(err)
			}
			done++
			able := map[string]string{}
			for version, binary := range binaries {
				if CheckWithHAProxy(context.Background(), binary, file) == nil {
					able[version] = binary
				}
			}
			adopted(t, c, got, able)
		})
	}
	if done < len(files)/3 {
		t.Errorf("%d of %d could be adopted", done, len(files))
	}
}

// What is rendered needs nothing.
func TestAdoptRendered(t *testing.T) {
	for _, file := range []string{"examples/four-services.cfg", "examples/writers-only.cfg"} {
		got, err := Adopt(AdoptInput{}, file)
		if err != nil {
			t.Fatal(err)
		}
		if got.Changed() || got.Main != "pxc-0" {
			t.Errorf("%s: %+v", file, got.Files[0].Diff)
		}
	}
	if _, err := Adopt(AdoptInput{}, "testdata/rendered-7535bfe.cfg"); err == nil || !strings.Contains(err.Error(), "lacks what newer ones have; render it again") {
		t.Errorf("an older rendered file: %v", err)
	}
}

// What would not be one word of the file is refused.
func TestAdoptBadInput(t *testing.T) {
	file := []input{{"f", "listen db\n    server a 10.0.0.1:1\n"}}
	for want, in := range map[string]AdoptInput{
		`proxies: "a b" is not a HAProxy name`:                    {Proxies: []RenderProxy{{Name: "a b", Host: "h"}}},
		`proxies: "h\n" is neither an address nor a DNS name`:     {Proxies: []RenderProxy{{Name: "a", Host: "h\n"}}},
		`local: "a#" is not a HAProxy name`:                       {Reading: Reading{LocalPeer: "a#"}},
		`daemon: "localhost" is not ADDRESS:PORT`:                 {Daemon: "localhost"},
		`stats socket: "/run/a b" is not one plain word`:          {StatsSocket: "/run/a b"},
		`stats socket: "/` + strings.Repeat("x", 100) + `" has 1`: {StatsSocket: "/" + strings.Repeat("x", 100)},
	} {
		if _, err := adopt(file, in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// Another node can be named when the file is adopted already; the mark keeps what the line was at first.
func TestAdoptAgainForAnother(t *testing.T) {
	c := readAdoptCase(t, "testdata/adopt/predecessor-size-1.txtar")
	first, err := adopt(c.inputs, c.in)
	if err != nil {
		t.Fatal(err)
	}
	c.in.Active = "pxc-1"
	second, err := adopt([]input{{first.Files[0].Path, first.Files[0].New}}, c.in)
	if err != nil {
		t.Fatal(err)
	}
	back, err := revertText(input{"f", second.Files[0].New})
	if first.Aside != nil || !slices.Equal(second.Aside, []string{"galera-nodes/pxc-0", "galera-nodes/pxc-2"}) {
		t.Errorf("aside: %q, %q", first.Aside, second.Aside)
	}
	if err != nil || second.Main != "pxc-1" || !second.Changed() || applyEdits(second.Files[0].New, back.edits) != c.inputs[0].text {
		t.Errorf("%v, main %s:\n%s", err, second.Main, second.Files[0].Diff)
	}
}
