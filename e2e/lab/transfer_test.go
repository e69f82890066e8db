package lab_test

import (
	"os"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

// A node comes back by each method from the node that is named, whatever was done before; a bound makes a copy last; an
// empty folder is not taken for one that needs little; Reset leaves nothing of it.
func TestReturn(t *testing.T) {
	ctx, l := newLab(t, lab.Config{Proxies: 1})
	const megabytes = 8
	must(t, l.Fill(ctx, l.DB[0], megabytes))
	for _, c := range []struct {
		name  string
		r     lab.Return
		least time.Duration // without the bound it is half of that
	}{
		{"rsync", lab.Return{Method: lab.RSync, Donor: l.DB[0], Rate: 5 << 20}, 7 * time.Second},
		{"mariabackup", lab.Return{Method: lab.MariaBackup, Donor: l.DB[2]}, 0},
		{"incremental", lab.Return{Method: lab.Incremental, Donor: l.DB[0]}, 0},
	} {
		if c.r.Method == lab.MariaBackup && os.Getenv("E2E_FULL") == "" {
			continue // its script sleeps for 10 s
		}
		l.DB[1].Kill9()
		must(t, l.DB[0].WaitClusterSize(ctx, 2))
		given, err := l.DB[1].Return(ctx, c.r)
		must(t, err)
		t.Logf("%s: %s was a donor for %v", c.name, c.r.Donor.Name, given.Long)
		if given.Since.IsZero() || given.Long < c.least {
			t.Errorf("%s: %s was a donor for %v, at least %v", c.name, c.r.Donor.Name, given.Long, c.least)
		}
		must(t, l.WaitSynced(ctx))
	}
	// docs/moves.md: with a comma behind them the names are a preference.
	l.DB[1].Kill9()
	must(t, l.DB[0].WaitClusterSize(ctx, 2))
	_, err := l.DB[1].Return(ctx, lab.Return{Method: lab.RSync, Names: "none-of-these,"})
	must(t, err)
	must(t, l.WaitSynced(ctx))
	rows, err := l.DB[1].Query(ctx, "SELECT SUM(LENGTH(data)) FROM lab.ballast")
	must(t, err)
	if rows[0][0] != "8388608" {
		t.Errorf("%s bytes of ballast, expected %d MiB", rows[0][0], megabytes)
	}
	if _, err := l.DB[1].Return(ctx, lab.Return{Method: lab.RSync}); err == nil {
		t.Error("a running node came back")
	}
	if ok, why := l.DB[1].Synced(ctx); !ok {
		t.Errorf("a running node was hurt: %s", why)
	}
	must(t, l.Reset(ctx))
	rows, err = l.DB[1].Query(ctx, "SHOW TABLES FROM lab LIKE 'ballast'")
	must(t, err)
	if len(rows) != 0 {
		t.Errorf("Reset left %v", rows)
	}
}
