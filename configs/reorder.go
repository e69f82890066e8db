package configs

import (
	"fmt"
	"slices"
	"strings"
)

// ReorderActive reads the rendered file and gives its text with another active node: first and not backup in every
// sticky backend, the others behind it in the order of preference, as backup. Ids and everything else stay, so that
// the result equals what Render would have written. ErrNotOurs if the file has no header, ErrUnknownNode if active is
// none of its nodes. Nothing is written: see Install.
func ReorderActive(file string, active string) ([]byte, error) {
	inputs, err := readInputs([]string{file})
	if err != nil {
		return nil, err
	}
	return reorder(file, inputs[0].text, active)
}

func reorder(file, text, active string) ([]byte, error) {
	nodes, ok := readHeader(text)
	if !ok {
		return nil, &Error{Pos: Position{File: file, Line: 1}, Problem: "the file has no header of haproxyctl", Fix: "render it with `haproxyctl config render`", Err: ErrNotOurs}
	}
	if !slices.Contains(nodes, active) {
		return nil, &Error{Pos: Position{File: file, Line: 2}, Problem: fmt.Sprintf("%q is none of its nodes", active),
			Fix: "use one of " + strings.Join(nodes, ", "), Err: ErrUnknownNode}
	}
	t, errs := build([]input{{name: file, text: text}}, Reading{})
	if len(errs) > 0 {
		return nil, errs[0]
	}
	lines := strings.Split(text, "\n")
	for _, s := range t.Sticky {
		if err := reorderBackend(file, lines, s, nodes, active); err != nil {
			return nil, err
		}
	}
	return []byte(strings.Join(lines, "\n")), nil
}

// reorderBackend puts the backend's server lines, which keep their places in the file as a group, into order.
func reorderBackend(file string, lines []string, s StickyBackend, nodes []string, active string) error {
	text := map[string]string{}
	var places []int
	for _, srv := range s.Servers {
		text[srv.Name] = lines[srv.Pos.Line-1]
		places = append(places, srv.Pos.Line-1)
	}
	others := slices.DeleteFunc(slices.Clone(nodes), func(n string) bool { return n == active })
	order := slices.Insert(others, 0, active)
	for i, name := range order {
		line, ok := text[name]
		if !ok || len(places) != len(order) {
			return &Error{Pos: Position{File: file, Line: s.Pos.Line}, Problem: fmt.Sprintf("backend %s does not list exactly the nodes of the header (%s)", s.Name, strings.Join(nodes, ", ")),
				Fix: "render the file again", Err: ErrNotOurs}
		}
		lines[places[i]] = withBackup(line, name != active)
	}
	return nil
}

func withBackup(line string, backup bool) string {
	indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
	words := slices.DeleteFunc(strings.Fields(line), func(w string) bool { return w == strings.TrimSpace(backupWord) })
	line = indent + strings.Join(words, " ")
	if backup {
		line += backupWord
	}
	return line
}
