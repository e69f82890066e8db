package galera

import (
	"context"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/dbtest"
	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

// A donor that alone takes the writes shows by its own sessions that its commits hang, without a canary; one
// whose statements take long by themselves does not.
func TestStuckByWhatWaits(t *testing.T) {
	ctx, l, targets := startLab(t)
	p := startProbers(t, targets, nil, t.Output())
	db := l.DB[2]
	writes := func(statement string) (stop func()) {
		wctx, cancel := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for wctx.Err() == nil {
				_ = db.Exec(wctx, statement)
				lab.Sleep(wctx, 20*time.Millisecond)
			}
		}()
		return func() { cancel(); <-done }
	}
	awaitAll(t, p, dbtest.Soon, "healthy", func(all []NodeStatus) bool {
		return healthy(all[0]) && healthy(all[1]) && healthy(all[2])
	})
	dbtest.Must(t, db.Exec(ctx, "SET GLOBAL wsrep_desync=ON")) // a donor to whoever asks
	defer func() { dbtest.Must(t, db.Exec(context.WithoutCancel(ctx), "SET GLOBAL wsrep_desync=OFF")) }()
	awaitAll(t, p, dbtest.Soon, "a donor", func(all []NodeStatus) bool { return all[2].LocalState == StateDonor })

	stop := writes("INSERT INTO lab.commits SELECT 'x','x',1,UUID_SHORT(),SLEEP(2)")
	began, quiet := time.Now(), time.Now()
	awaitAll(t, p, dbtest.Soon, "watched", func(all []NodeStatus) bool {
		if all[2].Waiting == 0 {
			quiet = time.Now() // its commit, after the two seconds, may be seen to wait for a moment
		}
		if all[2].Stuck != "" || time.Since(quiet) > time.Second {
			t.Fatal(told(all))
		}
		return time.Since(began) > 4*time.Second
	})
	stop()

	stop = writes("INSERT INTO lab.commits VALUES ('x','x',1,UUID_SHORT(),'x')")
	defer stop()
	for name, inject := range map[string]func(context.Context) (*lab.Fault, error){"lock": db.BlockCommits, "pause": db.PauseReplication} {
		fault, err := inject(ctx)
		dbtest.Must(t, err)
		took := awaitAll(t, p, 5*time.Second, name, func(all []NodeStatus) bool {
			return all[0].Stuck == "" && all[1].Stuck == "" && all[2].Stuck != "" && all[2].StuckAlone
		})
		t.Logf("%s after %v: %s", name, took, told(p.Status()[2:]))
		dbtest.Must(t, fault.Undo(ctx))
		awaitAll(t, p, dbtest.Soon, "not stuck", func(all []NodeStatus) bool { return all[2].Stuck == "" })
	}
}
