// Package nudge wakes loops: many signals may be one.
package nudge

// Send sends on a channel of size 1 unless it is full already.
func Send(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
