package words

import (
	"fmt"
	"time"
)

// Roughly writes a duration with one unit, as people say it.
func Roughly(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	}
}

// After is the text behind what leads to it, "" without one.
func After(lead, text string) string {
	if text == "" {
		return ""
	}
	return lead + text
}

// Colon is After with a colon.
func Colon(text string) string { return After(": ", text) }

// Count writes "1 problem", "2 problems".
func Count(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
