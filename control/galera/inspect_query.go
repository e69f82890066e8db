package galera

import (
	"strconv"
	"time"
)

func (v value) text() string { return string(v) }

func (v value) number() uint64 {
	n, err := strconv.ParseUint(string(v), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// times is the value as a duration, in multiples of a unit. A negative one is 0: the
// server's clock was set back.
func (v value) times(unit float64) time.Duration {
	f, err := strconv.ParseFloat(string(v), 64)
	if err != nil || f < 0 {
		return 0
	}
	return time.Duration(f * unit)
}
