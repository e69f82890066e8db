package main

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// style is a colour by meaning; it is only seen on a terminal.
type style string

const (
	styleNone style = ""
	styleBold style = "1"
	styleDim  style = "2"
	styleGood style = "32"
	styleWarn style = "33"
	styleBad  style = "31"
)

// paint colours text if stdout is a terminal and neither NO_COLOR
// (https://no-color.org) nor TERM=dumb asks for none.
func (a *app) paint(s style, text string) string {
	if s == styleNone || text == "" || !a.terminal || a.getenv("NO_COLOR") != "" || a.getenv("TERM") == "dumb" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

// cell is a text with its meaning.
type cell struct {
	text  string
	style style
}

func plainCell(text string) cell { return cell{text: text} }

// grid is a table with a line of headings.
type grid struct {
	heads []string
	rows  [][]cell
}

func newGrid(heads ...string) *grid { return &grid{heads: heads} }

func (g *grid) add(cells ...cell) { g.rows = append(g.rows, cells) }

// write aligns the columns. An empty column at the end leaves no spaces behind,
// and a table without rows is not shown.
func (a *app) write(w io.Writer, g *grid) {
	if len(g.rows) == 0 {
		return
	}
	head := make([]cell, len(g.heads))
	for i, h := range g.heads {
		head[i] = cell{h, styleDim}
	}
	rows := append([][]cell{head}, g.rows...)
	width := make([]int, len(head))
	for _, row := range rows {
		for i, c := range row {
			width[i] = max(width[i], utf8.RuneCountInString(c.text))
		}
	}
	for _, row := range rows {
		last := len(row) - 1
		for last > 0 && row[last].text == "" {
			last--
		}
		var line strings.Builder
		for i, c := range row[:last+1] {
			line.WriteString(a.paint(c.style, c.text))
			if i < last {
				line.WriteString(strings.Repeat(" ", width[i]-utf8.RuneCountInString(c.text)+2))
			}
		}
		fmt.Fprintln(w, line.String())
	}
}

// field writes one "Name   value" line.
func (a *app) field(w io.Writer, name, value string) {
	fmt.Fprintf(w, "%s%s\n", a.paint(styleDim, fmt.Sprintf("%-11s", name)), value)
}

// when writes a time for people: absolute, and how long ago.
func (a *app) when(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return fmt.Sprintf("%s (%s ago)", t.UTC().Format(time.RFC3339), roughly(a.now().Sub(t)))
}

// roughly writes a duration with one unit, as people say it.
func roughly(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	}
}

// count writes "1 problem", "2 problems".
func count(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
