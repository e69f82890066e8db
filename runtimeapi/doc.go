// Package runtimeapi is a small typed client of HAProxy's Runtime API, spoken over the
// stats socket (management.txt, section 9.3).
//
// # Why an own transport
//
// A daemon that steers connections must know, for every answer, that it is whole, and must
// come back in bounded time whatever state HAProxy is in. client-native v5.1.27 gives
// neither: its 30 s timeout and its retry are fixed and ignore the context, and any read
// error counts as the end of the answer. So this package dials, bounds, frames and parses
// by itself. client-native serves where it is a pure function of its arguments: the
// validity of states and weights; an integration test holds our reading of a real HAProxy against client-native's.
//
// # How HAProxy ends an answer
//
// One command line goes over one fresh connection; HAProxy answers each command of the line
// in order and closes. Seen on real 2.2, 2.6, 3.0, 3.2 and 3.4 processes (testdata), and
// written as the state CLI_ST_PROMPT in src/cli.c: after the text of each answer, which
// itself ends with a newline, comes one more newline (the empty prompt). Hence
//
//	set table T key 1 data.server_id 2   ->  "\n"
//	show table T key 9   (no such key)   ->  "\n"
//	show table T         (empty)         ->  "# table: T, ...\n" "\n"
//	show table nope                      ->  "No such table\n" "\n"
//	a;b                                  ->  "answer of a\n" "\n" "answer of b\n" "\n"
//
// An error does not end the line: the commands behind it are still carried out. An answer
// is accepted only when each of the line's answers has its closing newline and the
// connection was closed after the last; everything else is [ErrIncomplete]. No answer that
// this package asks for has an empty line inside; "show peers" with more than one peers
// section would.
//
// # Bounds
//
// A call takes at most min(context, Config.Timeout), the wait for one of
// the client's two connections included. HAProxy serves ten CLI connections at once and
// leaves the eleventh without a word ("stats maxconn" of the global section), so a hang is
// normal weather here, and reported as [ErrTimeout].
//
// After ErrTimeout or ErrIncomplete of a command that changes something its outcome is
// unknown: nothing is ever sent twice; read back what is there.
//
// # Recorded outputs
//
// testdata/X.Y holds the answers of real processes of HAProxy X.Y, which the unit tests and
// fuzz seeds use. They are made again by
//
//	e2e/haproxy-versions.sh DIR
//	HAPROXY_VERSIONS=DIR RUNTIMEAPI_RECORD=1 go test -run TestRecord ./runtimeapi
//
// and with HAPROXY_VERSIONS alone the integration tests run against every version there,
// beside the installed one.
package runtimeapi
