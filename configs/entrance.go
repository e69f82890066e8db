package configs

import (
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/haproxytech/client-native/v5/misc"
)

// entrance finds the frontend through which the daemon itself can connect to a backend without a hold frontend, as a
// client would, and how long a connection waits in the queue of one of its servers.
func (b *builder) entrance(be Backend) (string, time.Duration) {
	frontends, known := b.t.frontendsTo(be.Name)
	if !known {
		return "", 0
	}
	for _, f := range frontends {
		if len(f.UseBackends) > 0 || slices.ContainsFunc(f.section.dirs, asksFirst) {
			continue
		}
		for _, bind := range f.Binds {
			host := bind.Host
			if bind.Unix || bind.Port == 0 {
				continue
			}
			switch host {
			case "", "*", "0.0.0.0":
				host = "127.0.0.1"
			case "::":
				host = "::1"
			}
			return net.JoinHostPort(host, strconv.Itoa(bind.Port)), b.queueTimeout(be.section)
		}
	}
	return "", 0
}

// asksFirst tells whether a line of a frontend makes a connection's fate depend on more than that it was made: on what
// the client sends, or on who it is.
func asksFirst(d directive) bool {
	return d.has("tcp-request") || slices.Contains(d.words, "accept-proxy") || slices.Contains(d.words, "ssl")
}

// queueTimeout is how long a connection waits in a server's queue before HAProxy gives it up: `timeout queue`, else
// `timeout connect`, else for ever, which is the greatest time.
func (b *builder) queueTimeout(s *section) time.Duration {
	for _, name := range []string{"queue", "connect"} {
		d, ok := b.last(s, "timeout", name)
		if !ok {
			continue
		}
		ms := misc.ParseTimeout(d.word(2))
		if ms == nil {
			return 0
		}
		return time.Duration(*ms) * time.Millisecond
	}
	return 1<<63 - 1
}
