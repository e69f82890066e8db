package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

const daemonSays = `time=2026-11-30T19:22:46.000Z level=INFO msg="eviction considered" why="db2 (3ef7) is gone and is not evicted: px1 is answered by it"
time=2026-11-30T19:22:46.500Z level=INFO msg="eviction considered" why=""
time=2026-11-30T19:22:47.000Z level=INFO msg="eviction considered" why="db2 (3ef7) is gone and is not evicted: px1 is answered by it"
time=2026-11-30T19:22:48.260Z level=WARN msg="a survivor was told to evict" node=db0 victim=db2 said=evicted
time=2026-11-30T19:22:48.270Z level=WARN msg=evicted node=db2 after=20ms said=[db0: evicted]
`

// What a daemon has said of an eviction is read from where the round began.
func TestReader(t *testing.T) {
	s := &stage{lab: &lab.Lab{Dir: t.TempDir()}}
	if err := os.Mkdir(filepath.Join(s.lab.Dir, "log"), 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.lab.Dir, "log", "008-px0-haproxyd.log")
	before := "time=2026-11-30T19:00:00.000Z level=WARN msg=evicted node=db1 after=7ms said=[]\n"
	if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	r := s.reader()
	if _, _, ok := r.order(); ok {
		t.Error("an order of before the round")
	}
	if err := os.WriteFile(path, []byte(before+daemonSays), 0o600); err != nil {
		t.Fatal(err)
	}
	at, view, ok := r.order()
	if want := time.Date(2026, 11, 30, 19, 22, 48, 250e6, time.UTC); !ok || !at.Equal(want) || view != 20*time.Millisecond {
		t.Errorf("ordered at %v, view after %v, %t", at, view, ok)
	}
	if why := r.whys(); !slices.Equal(why, []string{"px1 is answered by it"}) {
		t.Errorf("%q", why)
	}
	if told := r.lines(saysTold); len(told) != 1 || !strings.Contains(told[0].text, "victim=db2") {
		t.Errorf("%+v", told)
	}
}

func TestDistribution(t *testing.T) {
	var all []time.Duration
	for i := range 100 {
		all = append(all, time.Duration(100-i)*time.Millisecond)
	}
	if got := distribution(all); got != "51 100 100" {
		t.Error(got)
	}
	if got := distribution(nil); got != "-" {
		t.Error(got)
	}
}

// Each shape has a name of its own, and -only finds it.
func TestShapes(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range shapes() {
		if seen[s.name] || s.what == "" || s.play == nil || !s.named(s.name) || !s.named(s.name[:1]+"*") || s.named("x"+s.name) {
			t.Errorf("%s", s.name)
		}
		seen[s.name] = true
	}
}
