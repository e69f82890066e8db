package configs

import (
	"errors"
	"fmt"
	"strconv"
)

// Sentinel errors; test for them with errors.Is.
var (
	// ErrNoSticky: the configuration names no backend with a stick rule, so there is nothing to keep right.
	ErrNoSticky = errors.New("no sticky backend")
	// ErrNoAdminSocket: there is no stats socket with `level admin` that can be reached as a unix socket.
	ErrNoAdminSocket = errors.New("no admin-level stats socket")
	// ErrNotOurs: the file does not carry the header line of a rendered configuration.
	ErrNotOurs = errors.New("not a file rendered by haproxyctl")
	// ErrUnknownNode: the node is not one of the file's.
	ErrUnknownNode = errors.New("unknown node")
)

// Position is a place in a configuration file. Line counts from 1; 0 means the file as a whole.
type Position struct {
	File string
	Line int
}

// String gives file:line, or the file alone where no line is known.
func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return p.File + ":" + strconv.Itoa(p.Line)
}

// Error is a problem in a configuration file. It prints as one line: `file:line: problem; what to do`.
type Error struct {
	Pos     Position
	Problem string
	// Fix says what to do; it may be empty where the problem says it all.
	Fix string
	// Err is the sentinel that this is an instance of, or nil.
	Err error
}

// Error implements error.
func (e *Error) Error() string {
	s := e.Problem
	if e.Pos.File != "" {
		s = e.Pos.String() + ": " + s
	}
	if e.Fix != "" {
		s += "; " + e.Fix
	}
	return s
}

// Unwrap gives the sentinel.
func (e *Error) Unwrap() error { return e.Err }

func errorAt(pos Position, fix, problem string, args ...any) *Error {
	return &Error{Pos: pos, Problem: fmt.Sprintf(problem, args...), Fix: fix}
}
