package group

import "net/netip"

// Answer is what came of one attempt at a port.
type Answer int

// The answers.
const (
	// Nothing is known: the attempt failed for a reason of this machine's, or was at another address.
	Nothing Answer = iota
	// Spoke: somebody there said something, or let this attempt get as far as only a process can.
	Spoke
	// Refused: the address's machine refused the connection.
	Refused
	// Silent: nothing was said within the deadline. An accepted connection is none the less: the kernel of a stopped process
	// accepts.
	Silent
)

// End is how a process's end shows itself.
type End string

// The ends, in the words of the views (model.EndGone, model.EndSilent). "" is none.
const (
	// Gone: its open connection was closed, and both of its ports refuse new ones.
	Gone End = "gone"
	// Quiet: neither port has spoken within the deadline.
	Quiet End = "silent"
)

// Process is one server process, which ends once and never comes back: the next has another UUID.
type Process struct {
	// UUID is its wsrep_gcomm_uuid, "" while it has not been read.
	UUID string
	// SQL and Group are the addresses of its ports. Group is where the process is said to listen, and counts only where
	// Greeted: the handshake of this very UUID was read there, or with TLS, which hides it, that somebody spoke TLS.
	SQL, Group netip.AddrPort
	Greeted    bool
}

// Sight is what one daemon has seen last of a process. It is a value: each method returns the next.
type Sight struct {
	Process
	// lost: the connection over which the process had answered was closed or reset from there.
	lost bool
	// slow: an answer is late, and the deadline is not over.
	slow       bool
	sql, group Answer
}

// Read is the sight after the process itself has answered a question at an SQL address.
func (s Sight) Read(uuid string, at netip.AddrPort) Sight {
	if uuid != s.UUID || at != s.SQL {
		s = Sight{Process: Process{UUID: uuid, SQL: at}}
	}
	s.lost, s.slow, s.sql = false, false, Spoke
	return s
}

// Slow is the sight while an answer is awaited that is late: the other port and the other nodes are asked in time.
func (s Sight) Slow() Sight {
	s.slow = true
	return s
}

// Listens is the sight once the process has said where its group layer listens.
func (s Sight) Listens(at netip.AddrPort) Sight {
	if at != s.Group {
		s.Group, s.Greeted, s.group = at, false, Nothing
	}
	return s
}

// Lost is the sight after the open connection was closed or reset from there.
func (s Sight) Lost() Sight {
	s.lost, s.slow, s.sql = true, false, Nothing
	return s
}

// Tried is the sight after an attempt at an SQL port. One at another address than the process's says nothing of it: a
// name may lead to its successor by now.
func (s Sight) Tried(at netip.AddrPort, a Answer) Sight {
	s.slow = false
	switch {
	case a == Spoke:
		s.lost, s.sql = false, Spoke
	case at != s.SQL:
		s.sql = Nothing
	default:
		s.sql = a
	}
	return s
}

// Knocked is the sight after an attempt at the group port. uuid is the one that the answer named, "" where TLS
// hides it.
func (s Sight) Knocked(at netip.AddrPort, a Answer, uuid string) Sight {
	if at != s.Group {
		return s
	}
	s.group = a
	if a == Spoke && (uuid == "" || uuid == s.UUID) {
		s.Greeted = true
	}
	return s
}

// End is how the process's end shows itself, "" where it does not.
func (s Sight) End() End {
	switch {
	case s.UUID == "" || !s.Greeted:
		return ""
	case s.lost && s.sql == Refused && s.group == Refused:
		return Gone
	case s.sql == Silent && s.group == Silent:
		return Quiet
	}
	return ""
}

// Suspect tells whether the process has begun to look as if it had ended, which is when to ask the others.
func (s Sight) Suspect() bool {
	return s.UUID != "" && (s.lost || s.slow || s.sql == Refused || s.sql == Silent)
}

// Speaks tells whether either port spoke last time: whoever evicts a process that somebody hears stops the cluster.
func (s Sight) Speaks() bool { return s.sql == Spoke || s.group == Spoke }
