package sessions

import (
	"bytes"
	"strconv"
	"time"
)

// # Which sessions are in a transaction, by InnoDB
//
// information_schema.INNODB_TRX would be the place to ask, and cannot be used: its
// content is one for all readers and is renewed only when nobody has read it for
// 0.1 s (CACHE_MIN_IDLE_TIME_NS in trx0i_s.cc of MariaDB and MySQL). Read every
// 90 ms it did not show a transaction within a second, and several daemons read
// [MariaDB 10.11]. SHOW ENGINE INNODB STATUS is always of now and costs 0.2 ms with
// 100 sessions; it needs the same privilege. It is cut at a megabyte, which it says.
const (
	innodbQuery = "SHOW ENGINE INNODB STATUS"
	trxList     = "LIST OF TRANSACTIONS FOR EACH SESSION:"
	trxCut      = "... truncated..."
	trxEnd      = "END OF INNODB MONITOR OUTPUT"
)

// longestLine is how much of a line of the monitor is looked at; those that count have
// about 100 bytes.
const longestLine = 256

// trxReader reads the ages of InnoDB's open transactions by session out of
//
//	---TRANSACTION 108, ACTIVE 3 sec
//	1 lock struct(s), heap size 1128, 0 row lock(s), undo log entries 1
//	MariaDB thread id 105, OS thread handle 131392707114688, query id 162 localhost root
//
// (MySQL thread id on MySQL). The status comes in pieces, for it has up to a megabyte and
// is not held. A statement's own text comes after its thread, so whatever it holds can
// only make a session look busy.
type trxReader struct {
	// open is called with each session in a transaction, and its age.
	open func(id uint64, age time.Duration)

	line            [longestLine]byte
	n               int  // of the line that is not complete
	list, over, cut bool // the marks that were seen
	active          bool
	age             time.Duration
}

func (r *trxReader) piece(b []byte) {
	for len(b) > 0 {
		part, rest, ended := bytes.Cut(b, []byte{'\n'})
		r.n += copy(r.line[r.n:], part)
		if b = rest; ended {
			r.ended()
		}
	}
}

// ended takes a line that is complete.
func (r *trxReader) ended() {
	line := r.line[:r.n]
	r.n = 0
	switch {
	case bytes.Contains(line, []byte(trxCut)):
		r.cut = true
	case bytes.Contains(line, []byte(trxList)):
		r.list = true
	case !r.list:
	case bytes.Contains(line, []byte(trxEnd)):
		r.over = true
	case bytes.HasPrefix(line, []byte("---TRANSACTION ")):
		_, state, ok := bytes.Cut(line, []byte(", ACTIVE "))
		r.active, r.age = ok, secondsIn(state)
	case r.active:
		if id, ok := threadIn(line); ok {
			r.active = false
			r.open(id, r.age)
		}
	}
}

// end tells, after the last piece, whether that was everything: false if some may be missing.
func (r *trxReader) end() (whole bool) {
	if r.n > 0 {
		r.ended()
	}
	return r.list && r.over && !r.cut
}

// secondsIn reads "3 sec" and "(PREPARED) 3 sec"; 0 if there is no such thing.
func secondsIn(state []byte) time.Duration {
	before, _, _ := bytes.Cut(state, []byte(" sec"))
	n, err := strconv.Atoi(string(before[bytes.LastIndexByte(before, ' ')+1:]))
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}

// threadIn reads the number of the session that a transaction belongs to.
func threadIn(line []byte) (id uint64, ok bool) {
	for _, server := range []string{"MariaDB", "MySQL"} {
		rest, found := bytes.CutPrefix(line, []byte(server+" thread id "))
		if !found {
			continue
		}
		number, _, _ := bytes.Cut(rest, []byte(","))
		id, err := strconv.ParseUint(string(number), 10, 64)
		return id, err == nil
	}
	return 0, false
}
