package configs

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// The marks by which what was adopted is found again, also in a file that was edited since. Lines between markBegin and
// markEnd are added; markWas holds the former text of the line below it, markWithout that of one that is gone.
const (
	markPrefix  = "# haproxyd "
	markBegin   = markPrefix + "begin"
	markEnd     = markPrefix + "end"
	markWas     = markPrefix + "was: "
	markWithout = markPrefix + "without: "
)

// Revert takes out of files what Adopt has added, and puts back what it has changed. What was edited since stays: a
// server's line keeps it, and loses what adopt has added to it. Its error is one line. Nothing is written.
func Revert(files ...string) (*Adoption, error) {
	inputs, err := readInputs(files)
	if err != nil {
		return nil, err
	}
	out := &Adoption{}
	news := slices.Clone(inputs)
	for i, in := range inputs {
		back, err := revertText(in)
		if err != nil {
			return nil, err
		}
		news[i].text = applyEdits(in.text, back.edits)
		out.Notes = append(out.Notes, back.notes...)
		out.Files = append(out.Files, AdoptedFile{Path: in.name, Old: in.text, New: news[i].text, Diff: unifiedDiff(in.name, in.text, back.edits), Plain: news[i].text})
	}
	before, _ := build(inputs, Reading{})
	out.AdminSocket, _ = before.AdminSocket()
	out.Topology, _ = build(news, Reading{})
	for _, s := range before.Sticky {
		if be, ok := out.Topology.backend(s.Name); ok && s.Steered && len(be.Servers) > 0 {
			out.Backends = append(out.Backends, s.Name)
			several := slices.DeleteFunc(slices.Clone(be.Servers), func(s Server) bool { return s.Backup })
			if len(several) > 1 {
				out.Notes = append(out.Notes, fmt.Sprintf("%s: %s has several servers that are no backup (%s): a HAProxy whose tables are empty for a moment goes to any of them",
					be.Pos, be.Name, strings.Join(serverNames(Backend{Servers: several}), ", ")))
			}
			out.Main = cmp.Or(out.Main, append(several, be.Servers...)[0].Name)
			out.Aside = append(out.Aside, aside(Backend{Name: s.Name, Servers: s.Servers}, out.Main)...)
		}
	}
	return out, nil
}

// reverted is what brings a file back.
type reverted struct {
	edits []edit
	notes []string
}

func revertText(in input) (reverted, error) {
	var out reverted
	lines := splitLines(in.text)
	for i := 0; i < len(lines); i++ {
		pos := Position{File: in.name, Line: i + 1}
		switch mark := strings.TrimLeft(lines[i], " \t"); {
		case strings.TrimSpace(mark) == markBegin:
			end, err := blockEnd(in.name, lines, i)
			if err != nil {
				return out, err
			}
			out.edits = append(out.edits, edit{at: i, del: end + 1 - i})
			i = end
		case strings.HasPrefix(mark, markWithout):
			out.edits = append(out.edits, edit{at: i, del: 1, ins: []string{strings.TrimPrefix(mark, markWithout)}})
		case strings.HasPrefix(mark, markWas):
			old := strings.TrimPrefix(mark, markWas)
			if i+1 == len(lines) || !sameLine(old, lines[i+1]) {
				return out, mend(pos, "put the line back below it, or remove the comment", "below `%s` there is another line than the one that adopt has changed", strings.TrimSpace(mark))
			}
			back := undoLine(old, lines[i+1])
			if back != old {
				out.notes = append(out.notes, fmt.Sprintf("%s: it was edited since, and keeps that", Position{File: in.name, Line: i + 2}))
			}
			out.edits = append(out.edits, edit{at: i, del: 2, ins: []string{back}})
			i++
		}
	}
	return out, nil
}

// blockEnd finds the end of what was added as a block.
func blockEnd(file string, lines []string, begin int) (int, error) {
	for i := begin + 1; i < len(lines); i++ {
		words := editLine(lines[i]).words()
		switch mark := strings.TrimSpace(lines[i]); {
		case mark == markEnd:
			return i, nil
		case strings.HasPrefix(mark, markPrefix), len(words) > 1 && isSection(words[0]) && !adoptedSection(words):
			return 0, mend(Position{File: file, Line: i + 1}, "move it behind the line `"+markEnd+"`", "%q stands inside what adopt has added", mark)
		}
	}
	return 0, mend(Position{File: file, Line: begin + 1}, "add the line `"+markEnd+"` where what adopt has added ends", "`%s` without its end", markBegin)
}

// adoptedSection tells whether adopt adds such a section.
func adoptedSection(words []string) bool {
	return words[0] == "peers" || words[0] == "backend" && strings.HasPrefix(words[1], "haproxyd")
}

// sameLine tells whether a line can be what adopt has made of the old one: the same directive of the same server.
func sameLine(old, now string) bool {
	a, b := editLine(old).words(), editLine(now).words()
	n := 1
	if len(a) > 1 && (a[0] == "server" || a[0] == "table") {
		n = 2
	}
	return len(a) >= n && len(b) >= n && slices.Equal(a[:n], b[:n])
}

// undoLine gives the old line or, where the line was edited since, that one without what adopt has added.
func undoLine(old, now string) string {
	was, is := editLine(old), editLine(now)
	switch was.words()[0] {
	case "server":
		undoServer(was, is)
	case "default-server":
		putBack(was, is, 1, "on-marked-up", "shutdown-backup-sessions")
	case "stick-table", "table":
		undoTable(was, is)
	case "stick":
		is.set(1, was.words()[1])
		if at := is.find(1, "unless"); at > 0 && was.find(1, "unless") < 0 {
			is.remove(at, len(is.words())-at)
		}
	}
	if was.rest == is.rest && sameWords(was.words(), is.words()) {
		return old
	}
	return is.String()
}

func undoServer(was, is *lineEditor) {
	takeOut(was, is, behindAddress, "id", 2)
	takeOut(was, is, behindAddress, "on-marked-down", 2)
	takeOut(was, is, behindAddress, "check", 1)
	takeOut(was, is, behindAddress, "backup", 1)
	takeOut(was, is, behindAddress, "no-backup", 1)
	putBack(was, is, behindAddress, "on-marked-up", "shutdown-backup-sessions")
	putBack(was, is, behindAddress, "backup")
	putBack(was, is, behindAddress, "no-backup")
}

func undoTable(was, is *lineEditor) {
	takeOut(was, is, 1, "peers", 2)
	putBack(was, is, 1, "nopurge")
	if at := was.find(1, "expire"); at > 0 {
		putBack(was, is, 1, was.words()[at:at+2]...)
	}
	old, now := was.find(1, "size"), is.find(1, "size", tableSize)
	if old > 0 && now > 0 {
		is.set(now+1, was.words()[old+1])
	}
}

// takeOut removes n words from the one on that the old line does not have.
func takeOut(was, is *lineEditor, from int, word string, n int) {
	if at := is.find(from, word); at >= 0 && was.find(from, word) < 0 {
		is.remove(at, min(n, len(is.words())-at))
	}
}

// putBack adds words that the old line has.
func putBack(was, is *lineEditor, from int, words ...string) {
	if was.find(from, words...) >= 0 && is.find(from, words[0]) < 0 {
		is.add(strings.Join(words, " "))
	}
}

// sameWords compares them in any order: what is put back stands at the end.
func sameWords(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}
