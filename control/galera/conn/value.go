package conn

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// Number is the value as a number, 0 if it is none.
func (v Value) Number() uint64 {
	n, err := strconv.ParseUint(string(v), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// Times is the value as a duration, in multiples of a unit. A negative one is 0: the
// server's clock was set back.
func (v Value) Times(unit float64) time.Duration {
	f, err := strconv.ParseFloat(string(v), 64)
	if err != nil || f < 0 {
		return 0
	}
	return time.Duration(f * unit)
}

// Seqno reads a seqno or a counter by its name. Galera prints an undefined one (-1) as an unsigned
// number: a wsrep_cluster_conf_id of 18446744073709551615 was seen outside the
// primary component.
func Seqno(name, value []byte) (int64, error) {
	if n, err := strconv.ParseInt(string(value), 10, 64); err == nil {
		return n, nil
	}
	n, err := strconv.ParseUint(string(value), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: %s is %.40q, not a number", ErrIncomplete, name, value)
	}
	if n > math.MaxInt64 {
		return -1, nil
	}
	return int64(n), nil
}
