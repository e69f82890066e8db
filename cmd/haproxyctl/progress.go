package main

import (
	"fmt"
	"io"
	"time"
)

const (
	// progressWidth is used where the terminal's width is not known. A wrapped line
	// could not be taken back.
	progressWidth = 78
	// sayEvery is how often a progress is written where stderr is no terminal: often
	// enough to see in a log that something still goes on.
	sayEvery = 5 * time.Second
)

// progress is one line on a terminal's stderr that is rewritten and taken back.
// Elsewhere say writes a line now and then, and show nothing.
type progress struct {
	w        io.Writer
	terminal bool
	width    int
	now      func() time.Time
	said     time.Time
	shown    bool
}

func (a *app) newProgress() *progress {
	p := &progress{w: a.stderr, terminal: a.progress, width: progressWidth, now: a.now, said: a.now()}
	if columns := a.columns(); columns > 0 {
		p.width = columns - 1
	}
	return p
}

func (p *progress) show(format string, args ...any) {
	if !p.terminal {
		return
	}
	line := []rune(fmt.Sprintf(format, args...))
	fmt.Fprintf(p.w, "\r\x1b[K%s", string(line[:min(len(line), p.width)]))
	p.shown = true
}

// say is show for what may take minutes.
func (p *progress) say(text string) {
	if p.terminal {
		p.show("%s", text)
		return
	}
	if now := p.now(); now.Sub(p.said) >= sayEvery {
		fmt.Fprintf(p.w, "haproxyctl: %s\n", text)
		p.said = now
	}
}

func (p *progress) clear() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = false
	}
}
