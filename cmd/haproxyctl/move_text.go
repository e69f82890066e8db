package main

import (
	"fmt"
	"io"
	"strconv"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/words"
)

// moveField is a move that is under way, among the agreement's other fields.
func moveField(m api.Move) string {
	return fmt.Sprintf("from %s to %s, %s (%s)", m.From, m.To, words.MoveLine(m), words.MoveKind(m))
}

// moveReport is what became of the sessions, once a move is over.
func (a *app) moveReport(w io.Writer, r api.SetResponse, o setOptions) {
	m := *r.Move
	fmt.Fprintln(w)
	if o.auto() && r.Drain != "" {
		a.field(w, "Drain", drainText(r)+words.After(": ", r.DrainWhy))
	} else {
		a.field(w, "Asked for", words.MoveKind(m))
	}
	a.field(w, "Sessions", sessionsSentence(m))
	if m.Moved > 0 && (m.Drain != model.DrainImmediate || m.Hold) {
		a.field(w, "Longest", "the last one was waited for "+words.Seconds(m.LongestWaitMS))
	}
	if m.Hold {
		a.field(w, "Held", "new connections waited "+words.Seconds(m.HeldMS))
	}
	if r.Drain != "" {
		a.field(w, "Both", bothSentence(m))
	}
	if m.Unmatched > 0 {
		a.field(w, "Not found", a.paint(styleWarn, fmt.Sprintf("%s could not be found in the process list of %s", words.Count(m.Unmatched, "session"), m.From)))
	}
	a.some(w, "Ended", m.Reason)
	a.moveProxies(w, m)
}

// bothSentence is for how long there were two nodes to write to.
func bothSentence(m api.Move) string {
	if m.BothMS == 0 {
		return fmt.Sprintf("%s and %s were never open to writers at once", m.From, m.To)
	}
	return fmt.Sprintf("%s and %s were both open to writers for at most %s", m.From, m.To, words.Seconds(m.BothMS))
}

func sessionsSentence(m api.Move) string {
	if m.Moved == 0 {
		return fmt.Sprintf("none was open on %s", m.From)
	}
	text := fmt.Sprintf("%d were open on %s: %d drained between transactions, %d finished by themselves, %d killed",
		m.Moved, m.From, m.Drained, m.Finished, m.Killed)
	if m.Left > 0 {
		text += fmt.Sprintf(", %d left", m.Left)
	}
	return text
}

// moveProxies is each proxy's part.
func (a *app) moveProxies(w io.Writer, m api.Move) {
	g := newGrid("PROXY", "MOVED", "DRAINED", "FINISHED", "KILLED", "LEFT", "NOTE")
	for _, p := range m.Proxies {
		killed := cell{strconv.Itoa(p.Killed), either(p.Killed > 0, styleWarn, styleNone)}
		left := cell{strconv.Itoa(p.Left), either(p.Left > 0, styleWarn, styleNone)}
		note := p.Problem
		if note == "" && p.InTransaction > 0 {
			note = fmt.Sprintf("%d in a transaction", p.InTransaction)
		}
		g.add(plainCell(p.Member), plainCell(strconv.Itoa(p.Moved)), plainCell(strconv.Itoa(p.Drained)),
			plainCell(strconv.Itoa(p.Finished)), killed, left, cell{note, styleBad})
	}
	a.below(w, g)
}
