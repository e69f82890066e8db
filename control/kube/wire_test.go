package kube

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// The files of testdata are what kube-apiserver 1.34.4 sent.
func recorded(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func watcher(t *testing.T) *Watcher {
	t.Helper()
	w, err := New(Config{Selector: "app.kubernetes.io/name=pxc"})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// A whole stream: two pods, one is deleted with 30 s of grace, then by force, is gone, and comes again.
func TestRecordedWatch(t *testing.T) {
	w := watcher(t)
	l, err := readList(bytes.NewReader(recorded(t, "list.json")))
	if err != nil {
		t.Fatal(err)
	}
	w.replace(l.Items, 0)
	if p := w.Pods(); len(p) != 2 || p[0].Going || p[1].Going || p[1].Revision != "pxc-1" || l.Metadata.ResourceVersion != "209" {
		t.Fatalf("the list: %+v", p)
	}
	w.stands()
	const first, second = "26541e5d-6624-46d9-ac23-2ca509ec279d", "6d7ceafe-24d1-49b7-8548-de6b2d077aa2"
	want := []struct {
		kind, version string
		uid           string // pxc-1's, "" for no pod
		until         string
	}{
		{"MODIFIED", "210", first, "14:56:31"}, {"MODIFIED", "213", first, "14:56:31"}, {"MODIFIED", "214", first, "14:56:03"},
		{"DELETED", "215", "", ""}, {"ADDED", "216", second, ""},
		{"BOOKMARK", "226", second, ""}, {"BOOKMARK", "226", second, ""},
	}
	events := readEvents(bytes.NewReader(recorded(t, "watch.json")))
	var noticed time.Time
	for i, want := range want {
		kind, o, err := events.next()
		if err != nil || kind != want.kind || o.Metadata.ResourceVersion != want.version {
			t.Fatalf("event %d: %s %+v, %v", i, kind, o, err)
		}
		// A second ahead of ours: the server's clock says when a pod ends, ours when that is here.
		w.apply(kind, o, time.Second)
		var p Pod
		for _, q := range w.Pods() {
			if q.Name == "pxc-1" {
				p = q
			}
		}
		until := ""
		if p.Going {
			until = p.Until.Format(time.TimeOnly)
			if noticed.IsZero() {
				noticed = p.Since
			}
			if d := p.Until.Sub(p.Deadline); d < 900*time.Millisecond || d > 1100*time.Millisecond || !p.Since.Equal(noticed) {
				t.Errorf("event %d: by our clock %v before the server's, noticed %v", i, d, p.Since)
			}
		}
		if p.UID != want.uid || until != want.until {
			t.Errorf("event %d: pxc-1 is %+v", i, p)
		}
	}
	late := object{}
	late.Metadata.Name, late.Metadata.UID = "pxc-1", first
	w.apply("DELETED", &late, 0)
	if p := w.Pods(); len(p) != 2 || p[1].UID != second {
		t.Errorf("the end of a pod that is known to be gone took its successor away: %+v", p)
	}
	if _, _, err := events.next(); !errors.Is(err, io.EOF) {
		t.Errorf("the end: %v", err)
	}
}

// Wherever a stream is cut there is a clear error or, between two events, its end; what was read before stands.
func TestCutAnywhere(t *testing.T) {
	whole := recorded(t, "watch.json")
	ends := 0
	for n := range len(whole) + 1 {
		if n > 4200 && n%7 != 0 && n < len(whole)-300 {
			continue // the events are alike: a seventh of the cuts will do
		}
		events := readEvents(bytes.NewReader(whole[:n]))
		read := 0
		for {
			_, _, err := events.next()
			if err == nil {
				read++
				continue
			}
			if errors.Is(err, io.EOF) {
				ends++
			} else if !strings.Contains(err.Error(), "the watch of the pods broke: unexpected EOF") {
				t.Fatalf("cut at %d: %v", n, err)
			}
			break
		}
		if lines := bytes.Count(whole[:n], []byte("\n")); read != lines && read != lines+1 {
			t.Fatalf("cut at %d: %d events of %d lines", n, read, lines)
		}
	}
	if ends < 2 {
		t.Errorf("%d clean ends", ends)
	}
	list := recorded(t, "list.json")
	for n := range len(bytes.TrimSpace(list)) {
		if _, err := readList(bytes.NewReader(list[:n])); err == nil || !strings.Contains(err.Error(), "cannot be understood") {
			t.Fatalf("a list cut at %d: %v", n, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	if _, _, err := readEvents(bytes.NewReader(recorded(t, "gone.json"))).next(); !errors.Is(err, errGone) {
		t.Errorf("a version too old: %v", err)
	}
	for file, c := range map[string]struct {
		code int
		says string
	}{
		"forbidden.json":    {403, `User "watcher" cannot list resource "pods"`},
		"unauthorized.json": {401, "401 Unauthorized"},
		"badselector.json":  {400, "unable to parse requirement"},
	} {
		if err := refusal(c.code, bytes.NewReader(recorded(t, file))); err == nil || !strings.Contains(err.Error(), c.says) || errors.Is(err, errGone) {
			t.Errorf("%s: %v", file, err)
		}
	}
	if err := refusal(502, strings.NewReader("<html>")); !strings.Contains(err.Error(), "502") || !strings.Contains(err.Error(), "Bad Gateway") {
		t.Errorf("no status at all: %v", err)
	}
}

// What no API server says is an error, not a pod.
func TestNonsense(t *testing.T) {
	for text, says := range map[string]string{
		`{"type":"ADDED","object":{"metadata":{"name":"a"}}}`: "without a name or a uid",
		`{"type":"NEWS","object":{}}`:                         `unknown type "NEWS"`,
		`{"type":"ADDED","object":[1]}`:                       "cannot be understood",
		`{"type":"ERROR","object":7}`:                         "cannot be understood",
		`{"type":"MODIFIED","object":{"metadata":{"name":"a","uid":"b","deletionTimestamp":"soon"}}}`: "cannot be understood",
		`{"type":"ADDED","object":{"metadata":{"name":"` + strings.Repeat("a", maxEvent) + `"}}}`:     "larger than 4 MiB",
		`<html>`: "the watch of the pods broke",
	} {
		if _, _, err := readEvents(strings.NewReader(text)).next(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.80s: %v", text, err)
		}
	}
	for text, says := range map[string]string{
		`{"kind":"Status"}`: "without a resourceVersion",
		`{"metadata":{"resourceVersion":"1"},"items":[{}]}`: "without a name or a uid",
		`[]`: "cannot be understood",
	} {
		if _, err := readList(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// A pod whose end nobody can tell is forgotten after its deadline; with a watch it is not.
func TestForgotten(t *testing.T) {
	w := watcher(t)
	w.cfg.margin = time.Second
	o := object{}
	until := time.Now().Add(-2 * time.Second)
	o.Metadata.Name, o.Metadata.UID, o.Metadata.DeletionTimestamp = "pxc-1", "u", &until
	names := func() (out []string) {
		for _, p := range w.Pods() {
			out = append(out, p.Name)
		}
		return out
	}
	w.replace([]object{o}, 0)
	w.stands()
	if got := names(); !slices.Equal(got, []string{"pxc-1"}) || w.Problem() != "" {
		t.Fatalf("with a watch: %v", got)
	}
	w.failed(errors.New("it does not answer"))
	if got := names(); len(got) != 0 || !strings.Contains(w.Problem(), "it does not answer") {
		t.Errorf("without: %v, %s", got, w.Problem())
	}
	soon := time.Now().Add(time.Minute)
	o.Metadata.DeletionTimestamp = &soon
	w.replace([]object{o}, 0)
	if got := names(); len(got) != 1 {
		t.Errorf("before its deadline: %v", got)
	}
}

func TestConfig(t *testing.T) {
	for says, cfg := range map[string]Config{
		"the label selector is empty":                          {Selector: " "},
		`kubernetes-api "http://a": give https://HOST:PORT`:    {Selector: "a=b", API: "http://a"},
		`kubernetes-api "https://a/b": give https://HOST:PORT`: {Selector: "a=b", API: "https://a/b"},
	} {
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}
