package configs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Nothing that a file holds makes reading or linting panic, and every error is one line with a place.
func FuzzLoad(f *testing.F) {
	var files []string
	for _, pattern := range []string{"testdata/*.cfg", "testdata/lint/*.cfg", "examples/*.cfg"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		files = append(files, found...)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data), "px0")
	}
	f.Add("backend b\n stick on\n stick on # x\n server\n server-template a 1-4096 h:1 id 1\n stick-table\n", "")
	f.Add(".if !((1\n.elif\n.endif\nlisten \"${A[*]-b}\"\n bind ,,\n", "x")
	f.Add("backend p\n stick-table type integer size 1k\nbackend b\n stick-table type integer size 1k\n stick match int(1) table p if { srv_is_up(none/s) }\n stick on int(1)\n server s h:1\n", "")
	f.Fuzz(func(t *testing.T, text, peer string) {
		inputs := []input{{name: "a.cfg", text: text}, {name: "b.cfg", text: "backend last\n server s h:1\n"}}
		top, errs := build(inputs, Reading{LocalPeer: peer})
		for _, e := range errs {
			if s := e.Error(); e.Pos.File == "" || strings.Contains(s, "\n") {
				t.Errorf("error %q", s)
			}
		}
		_ = top.Validate()
		_ = top.NodeNames()
		servers, tables := asRunning(top)
		_ = Compare(top, servers, tables)
		_ = Compare(top, nil, nil)
		_, _ = reorder("a.cfg", text, peer)
		for _, finding := range lint(inputs, Reading{LocalPeer: peer}) {
			if finding.Rule == "" || finding.File == "" {
				t.Errorf("finding %+v", finding)
			}
		}
	})
}

// Whatever a file holds, what is adopted can be taken out again, and the error is one line with a place.
func FuzzAdopt(f *testing.F) {
	for _, pattern := range []string{"testdata/*.cfg", "testdata/lint/*.cfg", "testdata/adopt/*.txtar"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			_, text, _ := strings.Cut(string(data), "-- haproxy.cfg --\n")
			f.Add(text, "db", "")
			f.Add(string(data), "", "pxc-1")
		}
	}
	f.Fuzz(func(t *testing.T, text, backend, active string) {
		in := AdoptInput{Active: active, Proxies: []RenderProxy{{Name: "px0", Host: "10.0.0.1"}}, Reading: Reading{LocalPeer: "px0"}}
		if backend != "" {
			in.Backends = []string{backend}
		}
		got, err := adopt([]input{{name: "a.cfg", text: text}}, in)
		if err != nil {
			if s := err.Error(); strings.Contains(s, "\n") {
				t.Errorf("error %q", s)
			}
			return
		}
		back, err := revertText(input{name: "a.cfg", text: got.Files[0].New})
		if err != nil {
			t.Fatal(err)
		}
		old, err := revertText(input{name: "a.cfg", text: text})
		if err != nil || applyEdits(got.Files[0].New, back.edits) != applyEdits(text, old.edits) {
			t.Errorf("%v: not the same again:\n%s", err, got.Files[0].Diff)
		}
	})
}
