package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/donor"
)

// The active is killed and comes back without its disk, and takes its state from the new active, which HAProxy's check
// then refuses: one move for the crash, at most one for the donor, which cuts no transaction; no second writer, nothing
// lost. `make rejoin` has the other circumstances.
func TestRejoin(t *testing.T) {
	l := theLab(t)
	s := &scenario{t: t}
	scenarioOf = t.Name()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(func() {
		if t.Failed() {
			s.saveLogs(l)
		}
		cancel()
		scenarioOf = ""
	})
	r, err := donor.Run(ctx, l, donor.Core, donor.Options{Rejoins: 2, Megabytes: 20, Folder: binaries, Log: t.Logf})
	s.must(err)
	t.Logf("\n%s\n%s", donor.Header, r.Row())
	for _, what := range r.Wrong {
		t.Error(what)
	}
}
