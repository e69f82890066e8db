package kube

import (
	"net/http"
	"time"
)

// serverClock is the API server's clock, as it was when it answered: what time it
// has now follows by this process's monotonic clock. So the end of a pod, which
// the server names by its clock, is where it is whatever is done to ours while a
// watch stands.
type serverClock struct {
	server time.Time // by the server's Date header, to a second
	at     time.Time // the same moment here, with its monotonic reading
}

// clockOf reads the clock from an answer that has come at that moment. A server
// that does not tell is taken to have our time.
func clockOf(h http.Header, at time.Time) *serverClock {
	c := &serverClock{server: at.Round(0), at: at}
	date, err := http.ParseTime(h.Get("Date"))
	// The header is cut to the second: a smaller difference is none.
	if d := c.server.Sub(date); err == nil && (d < 0 || d >= time.Second) {
		c.server = date
	}
	return c
}

// ahead is by how much the server's clock is ahead of what ours shows now.
func (c *serverClock) ahead(now time.Time) time.Duration {
	return c.server.Add(now.Sub(c.at)).Sub(now.Round(0))
}
