package galera

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

// activeTransactions reads the ages of InnoDB's open transactions by session out of
//
//	---TRANSACTION 108, ACTIVE 3 sec
//	1 lock struct(s), heap size 1128, 0 row lock(s), undo log entries 1
//	MariaDB thread id 105, OS thread handle 131392707114688, query id 162 localhost root
//
// (MySQL thread id on MySQL). whole is false if some may be missing. A statement's
// own text comes after its thread, so whatever it holds can only make a session
// look busy.
func activeTransactions(status []byte) (ages map[uint64]time.Duration, whole bool) {
	ages = make(map[uint64]time.Duration)
	_, list, found := bytes.Cut(status, []byte(trxList))
	whole = found && bytes.Contains(list, []byte(trxEnd)) && !bytes.Contains(status, []byte(trxCut))
	active, age := false, time.Duration(0)
	for line := range bytes.Lines(list) {
		switch {
		case bytes.HasPrefix(line, []byte("---TRANSACTION ")):
			_, state, ok := bytes.Cut(line, []byte(", ACTIVE "))
			active, age = ok, secondsIn(state)
		case active:
			if id, ok := threadIn(line); ok {
				ages[id] = age
				active = false
			}
		}
	}
	return ages, whole
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
