package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/words"
)

// watchEvery is how often --watch looks.
const watchEvery = time.Second

// watch shows the status until ctx is done, which is how it ends well. The first answer
// must come; later a daemon that does not answer is shown as such and asked again.
func (a *app) watch(ctx context.Context, fetch func(context.Context) (api.Status, error)) error {
	s, err := fetch(ctx)
	if err != nil {
		return err
	}
	show := a.showChanges(s)
	if a.format == formatTable && a.terminal {
		show = a.redraw
	}
	lost := "" // why there is no answer just now
	for {
		if err := show(s, lost); err != nil || !sleep(ctx, watchEvery) {
			return err
		}
		fresh, err := fetch(ctx)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // interrupted: that is no failure
		case err != nil:
			lost = oneLine(err.Error())
		default:
			s, lost = fresh, ""
		}
	}
}

// showChanges prints the status once and from then on what changes in it.
func (a *app) showChanges(last api.Status) func(s api.Status, lost string) error {
	first, wasLost := true, false
	return func(s api.Status, lost string) error {
		if first {
			first = false
			return a.print(s, func(w io.Writer) { a.statusTable(w, s) })
		}
		if (lost != "") != wasLost && a.format == formatTable {
			a.stamped(a.stdout, cmp.Or(lost, "haproxyd answers again"))
		}
		wasLost = lost != ""
		lines := changes(last, s)
		last = s
		if len(lines) == 0 {
			return nil
		}
		return a.print(s, func(w io.Writer) { a.stamped(w, lines...) })
	}
}

// stamped writes each line behind the time.
func (a *app) stamped(w io.Writer, lines ...string) {
	for _, l := range lines {
		fmt.Fprintf(w, "%s %s\n", a.now().UTC().Format(time.RFC3339), l)
	}
}

// redraw keeps a terminal's screen up to date. Each screen goes out in one
// write, so that it does not flicker.
func (a *app) redraw(s api.Status, lost string) error {
	var buf bytes.Buffer
	buf.WriteString("\x1b[H\x1b[2J")
	fmt.Fprintln(&buf, a.paint(styleDim, fmt.Sprintf("haproxyctl status, every second, %s; Ctrl-C ends it", a.now().UTC().Format(time.RFC3339))))
	if lost != "" {
		fmt.Fprintln(&buf, a.paint(styleBad, "NO ANSWER, this is old: "+lost))
	}
	a.statusTable(&buf, s)
	_, err := a.stdout.Write(a.clip(buf.Bytes()))
	return err
}

// clip keeps a screen from being scrolled away: what matters most is at its top.
func (a *app) clip(screen []byte) []byte {
	_, rows := a.window()
	lines := bytes.SplitAfter(screen, []byte("\n"))
	if rows < 3 || len(lines) <= rows {
		return screen
	}
	cut := len(lines) - rows + 1
	screen = bytes.Join(lines[:rows-2], nil)
	return fmt.Appendf(screen, "%s", a.paint(styleDim, fmt.Sprintf("... %d more lines: make the window higher", cut)))
}

// sleep waits for the next look and tells whether there is one.
func sleep(ctx context.Context, pause time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(pause):
		return ctx.Err() == nil // both at once: the end comes first
	}
}

// changes says in sentences what became different; what differs at every look
// (ages, session counts) is none.
func changes(old, now api.Status) []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }

	if o, n := old.Active, now.Active; o.Active != n.Active || o.At() != n.At() {
		say("active: %s -> %s, epoch %s%s: %s", orNone(o.Active), orNone(n.Active), epoch(n.Recovery, n.Epoch), by(n.By), n.Reason)
	} else if o.Agreed != n.Agreed {
		say("agreed: %t: %s", n.Agreed, n.Reason)
	}
	if o, n := moveSentence(old.Active.Move), moveSentence(now.Active.Move); o != n {
		say("%s", cmp.Or(n, "the move is over: the active node is "+now.Active.Active))
	}
	if o, n := old.Active.LocalOnly, now.Active.LocalOnly; o != n {
		say("local only: %s -> %s", orNone(o), orNone(n))
	}
	if old.Active.Frozen != now.Active.Frozen {
		say("frozen: %t", now.Active.Frozen)
	}
	for _, n := range now.Nodes {
		i := slices.IndexFunc(old.Nodes, func(o api.Node) bool { return o.Name == n.Name })
		if i < 0 || words.NodeState(old.Nodes[i]) != words.NodeState(n) || words.Votes(old.Nodes[i]) != words.Votes(n) {
			say("node %s: %s, %s%s", n.Name, words.NodeState(n), words.Votes(n), dash(nodeNote(n)))
		}
	}
	for _, m := range now.Members {
		i := slices.IndexFunc(old.Members, func(o api.Member) bool { return o.Name == m.Name })
		if i < 0 || memberSentence(old.Members[i]) != memberSentence(m) {
			say("%s", memberSentence(m))
		}
	}
	for _, o := range old.Members {
		if !slices.ContainsFunc(now.Members, func(m api.Member) bool { return o.Name == m.Name }) {
			say("member %s: gone", o.Name)
		}
	}
	for _, p := range now.Problems {
		if !slices.ContainsFunc(old.Problems, func(o api.Problem) bool { return same(o, p) }) {
			say("%s: %s", p.Severity, p.Text)
		}
	}
	if old.State != now.State {
		say("%s: %s", stateWord(now.State), now.Headline)
	}
	return out
}

// same tells whether two looks saw one problem: what it counts, seconds and connections,
// goes on.
func same(a, b api.Problem) bool {
	a.Text, b.Text = strings.Map(noDigit, a.Text), strings.Map(noDigit, b.Text)
	return a == b
}

func noDigit(r rune) rune {
	if '0' <= r && r <= '9' {
		return -1
	}
	return r
}

// moveSentence is what of a move makes a change: not its counts, which differ at
// every look.
func moveSentence(m *api.Move) string {
	if m == nil {
		return ""
	}
	return fmt.Sprintf("a move from %s to %s is %s (%s)", m.From, m.To, m.State, words.MoveKind(*m))
}

func memberSentence(m api.Member) string {
	return fmt.Sprintf("member %s: %s, %s%s", m.Name, m.State, words.Role(m), dash(words.Proxy(m)))
}

func dash(text string) string { return words.After(" - ", text) }
