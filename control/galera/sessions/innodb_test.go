package sessions

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/haproxy-peers/haproxy-peers/e2e/dbtest"
)

// The file is a MariaDB 10.11's word on 100 sessions, cut to eight.
func TestActiveTransactions(t *testing.T) {
	status, err := os.ReadFile("testdata/innodb-status.txt")
	dbtest.Must(t, err)
	want := map[uint64]time.Duration{107: 12 * time.Second, 105: 0, 103: 3 * time.Second, 99: 0}
	got, whole := activeTransactions(status)
	if diff := cmp.Diff(want, got); diff != "" || !whole {
		t.Errorf("whole %t (-want +got):\n%s", whole, diff)
	}
	mysql := strings.ReplaceAll(string(status), "MariaDB thread id", "MySQL thread id")
	if got, whole := activeTransactions([]byte(mysql)); !whole || !cmp.Equal(want, got) {
		t.Errorf("MySQL's: whole %t, %v", whole, got)
	}
	for cut := range len(status) - len("============================\n") - 1 {
		if _, whole := activeTransactions(status[:cut]); whole {
			t.Fatalf("whole, cut at %d of %d", cut, len(status))
		}
	}
	for _, change := range [][2]string{{"FILE I/O", "... truncated...\nFILE I/O"}, {trxList, "LIST:"}} {
		if _, whole := activeTransactions([]byte(strings.Replace(string(status), change[0], change[1], 1))); whole {
			t.Errorf("whole with %q", change[1])
		}
	}
}

// activeTransactions reads a status that is there as a whole.
func activeTransactions(status []byte) (ages map[uint64]time.Duration, whole bool) {
	ages = make(map[uint64]time.Duration)
	r := trxReader{open: func(id uint64, age time.Duration) { ages[id] = age }}
	r.piece(status)
	return ages, r.end()
}
