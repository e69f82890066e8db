package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
)

// watchEvery is how often --watch looks.
const watchEvery = time.Second

// watch shows the status until ctx is done. The first answer must come; later a
// daemon that does not answer is shown as such and asked again.
func (a *app) watch(ctx context.Context, fetch func(context.Context) (api.Status, error)) error {
	last, err := fetch(ctx)
	if err != nil {
		return err
	}
	if a.format == formatTable && a.terminal {
		return a.redraw(ctx, fetch, last)
	}
	if err := a.print(last, func(w io.Writer) { a.statusTable(w, last) }); err != nil {
		return err
	}
	wasLost := ""
	for sleep(ctx, watchEvery) {
		s, err := fetch(ctx)
		switch {
		case ended(ctx):
			return nil
		case err != nil:
			if lost := oneLine(err.Error()); wasLost == "" && a.format == formatTable {
				a.logLine(lost)
				wasLost = lost
			}
			continue
		case wasLost != "":
			a.logLine("haproxyd answers again")
			wasLost = ""
		}
		lines := changes(last, s)
		last = s
		if len(lines) == 0 {
			continue
		}
		if err := a.print(s, func(w io.Writer) {
			for _, l := range lines {
				fmt.Fprintf(w, "%s %s\n", a.now().UTC().Format(time.RFC3339), l)
			}
		}); err != nil {
			return err
		}
	}
	return nil
}

// redraw keeps a terminal's screen up to date. Each screen goes out in one
// write, so that it does not flicker.
func (a *app) redraw(ctx context.Context, fetch func(context.Context) (api.Status, error), s api.Status) error {
	lost := ""
	for {
		var buf bytes.Buffer
		buf.WriteString("\x1b[H\x1b[2J")
		fmt.Fprintln(&buf, a.paint(styleDim, fmt.Sprintf("haproxyctl status, every second, %s; Ctrl-C ends it", a.now().UTC().Format(time.RFC3339))))
		if lost != "" {
			fmt.Fprintln(&buf, a.paint(styleBad, "NO ANSWER, this is old: "+lost))
		}
		a.statusTable(&buf, s)
		if _, err := a.stdout.Write(a.clip(buf.Bytes())); err != nil {
			return err
		}
		if !sleep(ctx, watchEvery) {
			return nil
		}
		fresh, err := fetch(ctx)
		switch {
		case ended(ctx):
			return nil
		case err != nil:
			lost = oneLine(err.Error())
		default:
			s, lost = fresh, ""
		}
	}
}

// clip keeps a screen from being scrolled away: what matters most is at its top.
func (a *app) clip(screen []byte) []byte {
	if a.size == nil {
		return screen
	}
	_, rows := a.size()
	lines := bytes.SplitAfter(screen, []byte("\n"))
	if rows < 3 || len(lines) <= rows {
		return screen
	}
	cut := len(lines) - rows + 1
	screen = bytes.Join(lines[:rows-2], nil)
	return fmt.Appendf(screen, "%s", a.paint(styleDim, fmt.Sprintf("... %d more lines: make the window higher", cut)))
}

// ended tells whether the watching was interrupted, which is how it ends well: an
// answer that failed for that reason is no error.
func ended(ctx context.Context) bool { return ctx.Err() != nil }

// sleep waits for the next look and tells whether there is one.
func sleep(ctx context.Context, pause time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(pause):
		return true
	}
}

func (a *app) logLine(text string) {
	fmt.Fprintf(a.stdout, "%s %s\n", a.now().UTC().Format(time.RFC3339), text)
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
		if i < 0 || nodeState(old.Nodes[i]) != nodeState(n) || votes(old.Nodes[i]) != votes(n) {
			say("node %s: %s, %s%s", n.Name, nodeState(n), votes(n), dash(nodeNote(n)))
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
	oldProblems, nowProblems := problems(old), problems(now)
	for _, p := range nowProblems {
		if !slices.Contains(oldProblems, p) {
			say("problem: %s", p)
		}
	}
	if len(oldProblems) > 0 && len(nowProblems) == 0 {
		say("all as agreed: %d of %d proxies go to %s", now.Active.Converged, now.Active.Proxies, now.Active.Active)
	}
	return out
}

// moveSentence is what of a move makes a change: not its counts, which differ at
// every look.
func moveSentence(m *api.Move) string {
	if m == nil {
		return ""
	}
	return fmt.Sprintf("a move from %s to %s is %s (%s)", m.From, m.To, m.State, moveKind(*m))
}

func memberSentence(m api.Member) string {
	return fmt.Sprintf("member %s: %s, %s%s", m.Name, m.State, role(m), dash(proxySentence(m)))
}

func dash(text string) string { return after(" - ", text) }
