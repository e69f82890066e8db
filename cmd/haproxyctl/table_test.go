package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestFold(t *testing.T) {
	a, _ := testApp(true, formatTable)
	a.size = func() (int, int) { return 40, 20 }
	red := "\x1b[31m"
	for _, tt := range []struct {
		text   string
		indent int
		want   string
	}{
		{"short", 0, "short"},
		{"one two three four five six seven eight nine", 0, "one two three four five six seven eight|nine"},
		{"one two three four five six seven eight nine", 10, "one two three four five six|seven eight nine"},
		{red + "one two three four five six seven eight\x1b[0m", 0, red + "one two three four five six seven eight\x1b[0m"},
		{"one two three four five six seven eight nine", 30, "one two three four five six seven eight nine"}, // no room to fold in
		{"a/path/that/is/much/longer/than/the/line/is is", 0, "a/path/that/is/much/longer/than/the/line/is|is"},
	} {
		if got := strings.Join(a.fold(tt.text, tt.indent), "|"); got != tt.want {
			t.Errorf("%q beside %d:\ngot  %s\nwant %s", tt.text, tt.indent, got, tt.want)
		}
	}
	a.terminal = false
	if got := a.fold("one two three four five six seven eight nine", 0); len(got) != 1 {
		t.Errorf("a line that is no terminal's was folded: %q", got)
	}
}

// Where stderr is no terminal a progress is a line now and then; on one it is the
// same line again, as wide as the terminal.
func TestProgressSays(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(0, 0)
	a := &app{stderr: &out, now: func() time.Time { return now }}
	p := a.newProgress()
	for i := range 12 {
		p.say(strings.Repeat("x", i))
		now = now.Add(time.Second)
	}
	if got, want := out.String(), "haproxyctl: xxxxx\nhaproxyctl: xxxxxxxxxx\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}

	out.Reset()
	a.progress, a.size = true, func() (int, int) { return 20, 10 }
	p = a.newProgress()
	p.say(strings.Repeat("y", 30))
	p.clear()
	if got, want := out.String(), "\r\x1b[K"+strings.Repeat("y", 19)+"\r\x1b[K"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
