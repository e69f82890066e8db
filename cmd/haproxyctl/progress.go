package main

import (
	"fmt"
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
	*app
	said  time.Time
	shown bool
}

func (a *app) newProgress() *progress { return &progress{app: a, said: a.now()} }

func (p *progress) show(format string, args ...any) {
	if !p.progress {
		return
	}
	width := progressWidth
	if columns, _ := p.window(); columns > 0 {
		width = columns - 1
	}
	line := []rune(fmt.Sprintf(format, args...))
	fmt.Fprintf(p.stderr, "\r\x1b[K%s", string(line[:min(len(line), width)]))
	p.shown = true
}

// say is show for what may take minutes.
func (p *progress) say(text string) {
	if p.progress {
		p.show("%s", text)
		return
	}
	if now := p.now(); now.Sub(p.said) >= sayEvery {
		fmt.Fprintf(p.stderr, "haproxyctl: %s\n", text)
		p.said = now
	}
}

func (p *progress) clear() {
	if p.shown {
		fmt.Fprint(p.stderr, "\r\x1b[K")
		p.shown = false
	}
}
