package configs

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// edit replaces del lines of a text, from the one at index at, by ins. All lines have their ends.
type edit struct {
	at, del int
	ins     []string
}

// splitLines cuts a text into lines that keep their ends.
func splitLines(text string) []string {
	lines := strings.SplitAfter(text, "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// applyEdits gives the text with the edits, which must not overlap, in any order.
func applyEdits(text string, edits []edit) string {
	lines, next := splitLines(text), 0
	var out strings.Builder
	write := func(list []string) {
		for _, line := range list {
			out.WriteString(line)
		}
	}
	for _, e := range inOrder(edits) {
		write(lines[next:e.at])
		write(e.ins)
		next = e.at + e.del
	}
	write(lines[next:])
	return out.String()
}

// inOrder sorts them by place; what is added before a line comes before what is made of that line.
func inOrder(edits []edit) []edit {
	return slices.SortedFunc(slices.Values(edits), func(a, b edit) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.del, b.del)) })
}

// diffContext is how many lines a hunk shows around what changes, as diff -u does.
const diffContext = 3

// unifiedDiff shows the edits as `diff -u` does, so that patch takes it: "" without any.
func unifiedDiff(path, text string, edits []edit) string {
	if len(edits) == 0 {
		return ""
	}
	lines := splitLines(text)
	var out strings.Builder
	fmt.Fprintf(&out, "--- %s\n+++ %s\n", path, path)
	shift := 0 // how many lines the new text has more than the old one, before the hunk
	for hunk := range hunks(inOrder(edits)) {
		first, last := hunk[0], hunk[len(hunk)-1]
		from, to := max(0, first.at-diffContext), min(len(lines), last.at+last.del+diffContext)
		var body strings.Builder
		next, more := from, 0
		line := func(mark, text string) {
			body.WriteString(mark + strings.TrimSuffix(text, "\n") + "\n")
		}
		for _, e := range hunk {
			for ; next < e.at; next++ {
				line(" ", lines[next])
			}
			for ; next < e.at+e.del; next++ {
				line("-", lines[next])
			}
			for _, added := range e.ins {
				line("+", added)
			}
			more += len(e.ins) - e.del
		}
		for ; next < to; next++ {
			line(" ", lines[next])
		}
		fmt.Fprintf(&out, "@@ -%s +%s @@\n%s", hunkRange(from, to-from), hunkRange(from+shift, to-from+more), body.String())
		shift += more
	}
	return out.String()
}

// hunks groups the edits whose surroundings touch.
func hunks(edits []edit) func(yield func([]edit) bool) {
	return func(yield func([]edit) bool) {
		for len(edits) > 0 {
			n := 1
			for n < len(edits) && edits[n].at-(edits[n-1].at+edits[n-1].del) <= 2*diffContext {
				n++
			}
			if !yield(edits[:n]) {
				return
			}
			edits = edits[n:]
		}
	}
}

// hunkRange is START,COUNT as diff writes it: lines count from 1, and no lines stand behind the one before them.
func hunkRange(from, count int) string {
	if count > 0 {
		from++
	}
	return fmt.Sprintf("%d,%d", from, count)
}
