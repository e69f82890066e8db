package words

import (
	"fmt"
	"strings"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
)

// MoveLine is how far a move is, in one line that fits into 100 columns; what matters
// most comes first.
func MoveLine(m api.Move) string {
	var b strings.Builder
	b.WriteString(Seconds(m.ElapsedMS))
	if m.TimeoutMS > 0 {
		fmt.Fprintf(&b, " of %s", Seconds(m.TimeoutMS))
	}
	fmt.Fprintf(&b, ": %d/%s left", m.Left, Count(m.Moved, "session"))
	if m.InTransaction > 0 {
		fmt.Fprintf(&b, ", %d in a transaction (longest %s)", m.InTransaction, Seconds(m.LongestMS))
	}
	if m.State == api.MoveClosing {
		b.WriteString(", closing them")
	}
	if m.HeldMS > 0 {
		fmt.Fprintf(&b, ", held %s", Seconds(m.HeldMS))
	}
	if n := len(m.Proxies); n > 0 {
		done := 0
		for _, p := range m.Proxies {
			if p.Done {
				done++
			}
		}
		fmt.Fprintf(&b, ", %d/%d proxies done", done, n)
	}
	return b.String()
}

// MoveKind is what was asked for, in the words of the flags.
func MoveKind(m api.Move) string {
	text := "--drain " + m.Drain
	if m.Hold {
		text += " --hold"
	}
	if m.Keep {
		text += " --keep"
	}
	return text
}

// Seconds writes the milliseconds of a move as people read them.
func Seconds(ms int64) string {
	switch d := time.Duration(ms) * time.Millisecond; {
	case d < time.Second:
		return fmt.Sprintf("%dms", ms)
	case d%time.Second == 0 || d >= 2*time.Minute:
		return d.Round(time.Second).String()
	default:
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
}
