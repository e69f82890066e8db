package steer

import (
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/keep"
	"github.com/haproxy-peers/haproxy-peers/runtimeapi"
)

// process identifies a HAProxy process over restarts of this daemon: a reload or
// restart changes the pid, and where pids repeat (a container's 1) the start.
type process struct {
	Pid int `json:"pid"`
	// Started is by this host's clock when it was first seen: for people, and for
	// 7535bfe, which writes and compares nothing else. Here nothing compares it.
	Started time.Time `json:"started"`
	// Start is HAProxy's own Start_time_sec (`show info`), "" where it prints none:
	// a number that a process has from its start to its end, whatever is done to the
	// machine's clock meanwhile. 2.6, 3.0, 3.2 and 3.4 print it.
	Start string `json:"start,omitempty"`
	// Rest is what a newer version has added.
	Rest keep.Rest `json:"-"`
}

// startSlack allows for HAProxy's uptime being in whole seconds, and for the time
// that an answer takes.
const startSlack = 3 * time.Second

// processOf is the process that has just answered.
func processOf(now time.Time, info runtimeapi.Info) process {
	start, _ := info.Field("Start_time_sec")
	return process{Pid: info.Pid, Started: now.Add(-info.Uptime).Round(0), Start: start}
}

// same compares what two lives of this daemon have seen. 7535bfe has left no start
// that could be compared whatever was done to the clock: the pid says it alone then.
func (p process) same(o process) bool {
	return p.Pid == o.Pid && (p.Start == o.Start || p.Start == "" || o.Start == "")
}

// keeping is the process with what a newer version has added to old, which is the
// same or another one.
func (p process) keeping(old process) process {
	if p.Rest == "" && p.same(old) {
		p.Rest = old.Rest
	}
	return p
}

// answered takes which process has just answered, and tells whether it is the one
// that answered before. No clock that somebody may set has a say: HAProxy's own
// start is compared or, where it prints none, its uptime with this process's
// monotonic clock (a time.Time keeps that over Add).
func (p *Proxy) answered(now time.Time, info runtimeapi.Info) (same bool) {
	proc, began := processOf(now, info), now.Add(-info.Uptime)
	switch {
	case p.proc.Pid != proc.Pid:
	case p.proc.Start != "" && proc.Start != "":
		same = p.proc.Start == proc.Start
	default:
		d := began.Sub(p.began)
		same = p.began.IsZero() || d < startSlack && d > -startSlack
	}
	if !same {
		p.proc, p.began = proc, began
	}
	return same
}
