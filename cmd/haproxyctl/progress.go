package main

import (
	"fmt"
	"io"
)

// progressWidth keeps the line from wrapping, since a wrapped line cannot be
// taken back.
const progressWidth = 78

// progress is one line on a terminal's stderr that is rewritten and taken back.
// It shows nothing elsewhere.
type progress struct {
	w     io.Writer // nil: not a terminal
	shown bool
}

func (a *app) newProgress() *progress {
	if !a.progress {
		return &progress{}
	}
	return &progress{w: a.stderr}
}

func (p *progress) show(format string, args ...any) {
	if p.w == nil {
		return
	}
	line := []rune(fmt.Sprintf(format, args...))
	fmt.Fprintf(p.w, "\r\x1b[K%s", string(line[:min(len(line), progressWidth)]))
	p.shown = true
}

func (p *progress) clear() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = false
	}
}
