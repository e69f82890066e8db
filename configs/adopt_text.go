package configs

import "strings"

// adoptedText is a file's text and what is to be changed in it.
type adoptedText struct {
	text  string
	lines []string
	// eol ends the lines that are added.
	eol string
	// below are lines to add below a line, changed the lines to change, both by line, from 1; end those for the end.
	below   map[int][]string
	changed map[int]string
	end     []string
}

func newAdoptedText(text string) *adoptedText {
	t := &adoptedText{text: text, lines: splitLines(text), eol: "\n", below: map[int][]string{}, changed: map[int]string{}}
	if first, _, _ := strings.Cut(text, "\n"); strings.HasSuffix(first, "\r") {
		t.eol = "\r\n"
	}
	return t
}

// line gives the line as it will be.
func (t *adoptedText) line(n int) string {
	if text, ok := t.changed[n]; ok {
		return text
	}
	return t.lines[n-1]
}

// set changes the line; "" takes it away.
func (t *adoptedText) set(n int, text string) {
	if text != t.line(n) {
		t.changed[n] = text
	}
}

// indent is how the lines below a section's line are indented.
func (t *adoptedText) indent(header int) string {
	for _, line := range t.lines[header:] {
		if word := strings.TrimLeft(line, " \t"); word != line {
			if strings.TrimSpace(word) != "" {
				return line[:len(line)-len(word)]
			}
		} else if word = strings.TrimSpace(word); word != "" && word[0] != '#' {
			break
		}
	}
	return "    "
}

// edits gives the changes with their marks.
func (t *adoptedText) edits() []edit {
	var out []edit
	for n, lines := range t.below {
		out = append(out, edit{at: n, ins: t.block(lines, t.indent(n))})
	}
	for n, text := range t.changed {
		e := edit{at: n - 1, del: 1}
		old := t.lines[n-1]
		indent := old[:len(old)-len(strings.TrimLeft(old, " \t"))]
		if n > 1 {
			if first, marked := strings.CutPrefix(strings.TrimLeft(t.lines[n-2], " \t"), markWas); marked {
				e.at, e.del, old = n-2, 2, first // it was changed before: what it was at first counts
			}
		}
		if text == "" {
			e.ins = []string{indent + markWithout + old}
		} else {
			e.ins = []string{indent + markWas + old, text}
		}
		out = append(out, e)
	}
	if len(t.end) > 0 {
		out = append(out, edit{at: len(t.lines), ins: t.block(t.end, "")})
	}
	return out
}

// block puts marks around lines.
func (t *adoptedText) block(lines []string, indent string) []string {
	out := []string{indent + markBegin + t.eol}
	for _, line := range lines {
		if line != "" {
			line = indent + line
		}
		out = append(out, line+t.eol)
	}
	return append(out, indent+markEnd+t.eol)
}

// oldLine gives the line of the old text that stands at, or before, a line of the new one.
func (t *adoptedText) oldLine(n int) int {
	shift := 0
	for _, e := range inOrder(t.edits()) {
		if e.at+shift >= n {
			break
		}
		shift += len(e.ins) - e.del
	}
	return max(1, min(n-shift, len(t.lines)))
}

// conditionalInside tells whether lines of the section that begins at a line stand inside an .if of their own.
func (t *adoptedText) conditionalInside(header int) bool {
	depth := 0
	for _, line := range t.lines[header:] {
		content, _ := cutContent(line)
		word, _, _ := strings.Cut(strings.TrimSpace(content), " ")
		switch {
		case word == ".if":
			depth++
		case word == ".endif" && depth > 0:
			depth--
		case isSection(word), depth == 0 && (word == ".endif" || word == ".else" || word == ".elif"):
			return false
		case depth > 0 && word != "" && word[0] != '.':
			return true
		}
	}
	return false
}
