package configs

import (
	"slices"
	"strings"
)

// cutContent cuts a line into what HAProxy reads of it and the rest: blanks, a comment, the end of the line.
func cutContent(line string) (content, rest string) {
	spans := rawWords(line)
	if len(spans) == 0 {
		return "", line
	}
	end := spans[len(spans)-1].end
	return line[:end], line[end:]
}

// span is where a word stands in a line.
type span struct{ start, end int }

// rawWords finds the words of a line, as they are written, by the same rules as split.
func rawWords(line string) []span {
	var out []span
	var weak, strong bool
	start := -1
	for i := 0; i < len(line); i++ {
		c := line[i]
		blank := strings.IndexByte(" \t\r\n\v\f", c) >= 0
		switch {
		case !weak && !strong && (blank || c == '#'):
			if start >= 0 {
				out = append(out, span{start, i})
				start = -1
			}
			if c == '#' {
				return out
			}
			continue
		case c == '"' && !strong:
			weak = !weak
		case c == '\'' && !weak:
			strong = !strong
		}
		if start < 0 {
			start = i
		}
		if c == '\\' && !strong {
			i++
		}
	}
	if start >= 0 {
		out = append(out, span{start, len(line)})
	}
	return out
}

// lineEditor changes the words of one line and leaves everything else as it is written.
type lineEditor struct {
	content, rest string
}

func editLine(line string) *lineEditor {
	e := &lineEditor{}
	e.content, e.rest = cutContent(line)
	return e
}

func (e *lineEditor) String() string { return e.content + e.rest }

func (e *lineEditor) words() []string {
	var out []string
	for _, s := range rawWords(e.content) {
		out = append(out, e.content[s.start:s.end])
	}
	return out
}

// find gives the place of the words, one behind the other, at from or behind it; -1 if they are not there.
func (e *lineEditor) find(from int, words ...string) int {
	have := e.words()
	for i := from; i+len(words) <= len(have); i++ {
		if slices.Equal(have[i:i+len(words)], words) {
			return i
		}
	}
	return -1
}

// remove takes n words away, with the blanks before them.
func (e *lineEditor) remove(at, n int) {
	spans := rawWords(e.content)
	from := 0
	if at > 0 {
		from = spans[at-1].end
	}
	e.content = e.content[:from] + e.content[spans[at+n-1].end:]
}

// set writes another word in the place of one.
func (e *lineEditor) set(at int, word string) {
	s := rawWords(e.content)[at]
	e.content = e.content[:s.start] + word + e.content[s.end:]
}

// add puts words behind the last one.
func (e *lineEditor) add(words string) { e.content += " " + words }
