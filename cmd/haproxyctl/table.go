package main

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/haproxy-peers/haproxy-peers/control/words"
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

// either is the one style or the other.
func either(ok bool, yes, no style) style {
	if ok {
		return yes
	}
	return no
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

// write aligns the columns. An empty column at the end leaves no spaces behind, a
// table without rows is not shown, and on a terminal the last column is folded.
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
			width[i] = max(width[i], visible(c.text))
		}
	}
	indent := 0
	for _, n := range width[:len(width)-1] {
		indent += n + gap
	}
	for _, row := range rows {
		last := len(row) - 1
		for last > 0 && row[last].text == "" {
			last--
		}
		var line strings.Builder
		for i, c := range row[:last] {
			line.WriteString(a.paint(c.style, c.text))
			line.WriteString(strings.Repeat(" ", width[i]-visible(c.text)+gap))
		}
		texts := []string{row[last].text}
		if last == len(head)-1 {
			texts = a.fold(row[last].text, indent)
		}
		for i, text := range texts {
			if i > 0 {
				line.WriteString("\n" + strings.Repeat(" ", indent))
			}
			line.WriteString(a.paint(row[last].style, text))
		}
		fmt.Fprintln(w, line.String())
	}
}

// below is write with an empty line before the table.
func (a *app) below(w io.Writer, g *grid) {
	if len(g.rows) > 0 {
		fmt.Fprintln(w)
		a.write(w, g)
	}
}

const (
	// gap is the space between two columns.
	gap = 2
	// fieldName is the width of a field's name.
	fieldName = 11
	// foldLeast is the narrowest column that text is folded into: less would be
	// harder to read than what the terminal makes of a long line.
	foldLeast = 24
)

// field writes one "Name   value" line.
func (a *app) field(w io.Writer, name, value string) {
	fmt.Fprintf(w, "%s%s\n", a.paint(styleDim, fmt.Sprintf("%-*s", fieldName, name)),
		strings.Join(a.fold(value, fieldName), "\n"+strings.Repeat(" ", fieldName)))
}

// some is field where there is a value.
func (a *app) some(w io.Writer, name, value string) {
	if value != "" {
		a.field(w, name, value)
	}
}

// fields writes several values under one name.
func (a *app) fields(w io.Writer, name string, values []string) {
	for _, v := range values {
		a.field(w, name, v)
		name = ""
	}
}

// window is the size of the terminal that is written to, 0 where there is none.
func (a *app) window() (columns, rows int) {
	if a.size == nil {
		return 0, 0
	}
	return a.size()
}

// fold breaks text between words into lines that fit beside an indent. Where stdout
// is no terminal a line stays a line, for grep.
func (a *app) fold(text string, indent int) []string {
	columns, _ := a.window()
	room := columns - indent
	if !a.terminal || room < foldLeast || visible(text) <= room {
		return []string{text}
	}
	var lines []string
	line := ""
	for word := range strings.SplitSeq(text, " ") {
		switch {
		case line == "":
			line = word
		case visible(line)+1+visible(word) <= room:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
	}
	return append(lines, line)
}

// foldIn is fold with every line in a colour of its own, so that an indent has none.
func (a *app) foldIn(s style, text string, indent int) []string {
	lines := a.fold(text, indent)
	for i := range lines {
		lines[i] = a.paint(s, lines[i])
	}
	return lines
}

// visible counts the characters that are seen: colours are not.
func visible(text string) int {
	n := 0
	for text != "" {
		before, rest, ok := strings.Cut(text, "\x1b[")
		n += utf8.RuneCountInString(before)
		if !ok {
			break
		}
		_, text, _ = strings.Cut(rest, "m")
	}
	return n
}

// when writes a time for people: absolute, and how long ago.
func (a *app) when(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return fmt.Sprintf("%s (%s ago)", t.UTC().Format(time.RFC3339), words.Roughly(a.now().Sub(t)))
}
