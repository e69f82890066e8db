package dbtest

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// ThreadTime is the CPU time that the threads of a process have used: the first
// field of schedstat, in nanoseconds (Linux, sched-stats.rst).
func ThreadTime(tb testing.TB, pid int) (sum time.Duration) {
	tb.Helper()
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	Must(tb, err)
	for _, thread := range threads {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/schedstat", pid, thread.Name()))
		Must(tb, err)
		ns, err := strconv.ParseInt(strings.Fields(string(stat))[0], 10, 64)
		Must(tb, err)
		sum += time.Duration(ns)
	}
	return sum
}
