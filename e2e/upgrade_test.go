package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster/gossip"
	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
	"github.com/haproxy-peers/haproxy-peers/e2e/stack"
)

// versionBefore is the version whose installations are upgraded: keyless by default, and without version numbers.
const versionBefore = "7535bfe"

// upgrade is a scenario in which daemons are replaced one by one under load.
type upgrade struct {
	*scenario
	old  string // the binary of versionBefore
	key  string // the gossip key file
	lost atomic.Int64
}

// beginUpgrade starts three daemons of the version before, without a key, told already what the new version wants to
// hear from those who have none. The active is db1, db2 is excluded.
func beginUpgrade(t *testing.T) *upgrade {
	t.Helper()
	dir := t.TempDir()
	old, err := lab.BuildCommit(t.Context(), versionBefore, dir)
	if errors.Is(err, lab.ErrNoCommit) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	t.Cleanup(cancel)
	u := &upgrade{scenario: bare(t, ctx, stack.Options{}), old: old, key: filepath.Join(dir, "keys")}
	t.Cleanup(func() {
		if t.Failed() {
			u.saveLogs(u.Lab)
		}
	})
	u.must(os.WriteFile(u.key, []byte(gossip.NewKey()+"\n"), 0o600))
	u.must(u.StartHAProxies(ctx))
	for _, p := range u.PX {
		u.must(p.Daemon.Start(u.before(p)))
	}
	u.must(u.WaitSteering(u.within(30*time.Second), len(u.PX)))
	_, err = u.Set(ctx, u.PX[0], "db1", "--drain", "immediate")
	u.must(err)
	_, err = client(u.PX[0]).Exclude(ctx, "db2")
	u.must(err)
	u.must(u.WaitActive(ctx, "db1", len(u.PX)))
	return u
}

// before is how a daemon of the version before is started.
func (u *upgrade) before(p *lab.Proxy) lab.DaemonOptions {
	return lab.DaemonOptions{Binary: u.old, Args: u.Keyless(p), Env: []string{"HAPROXYD_GOSSIP_INSECURE=true"}}
}

// insecure is how one of this version is started in its place.
func (u *upgrade) insecure(p *lab.Proxy) lab.DaemonOptions {
	o := u.before(p)
	o.Binary = ""
	return o
}

// keyed is how one is started that has the key, in one of the three steps.
func (u *upgrade) keyed(step string) func(*lab.Proxy) lab.DaemonOptions {
	return func(p *lab.Proxy) lab.DaemonOptions {
		return lab.DaemonOptions{Args: append(u.Keyless(p), "--gossip-key-file", u.key, "--gossip-encrypt", step)}
	}
}

// roll replaces the daemons one by one, each when the one before steers again.
func (u *upgrade) roll(name string, options func(*lab.Proxy) lab.DaemonOptions) {
	u.t.Helper()
	for _, p := range slices.Backward(u.PX) {
		u.load.Mark(name + " " + p.Name)
		u.must(p.Daemon.Stop())
		u.must(p.Daemon.Start(options(p)))
		u.must(p.Daemon.WaitSocket(u.within(10 * time.Second)))
		if err := u.WaitSteering(u.within(40*time.Second), len(u.PX)); err != nil {
			u.t.Fatalf("%s: %v; %s says:\n%s", name, err, p.Name, p.Daemon.Process().LogTail(4000))
		}
	}
	if n := u.lost.Swap(0); n > 0 {
		u.t.Errorf("%s: no daemon was in touch with a majority, %d times", name, n)
	}
}

// watchMajority asks all daemons all the time whether they hear a majority: one of them must.
func (u *upgrade) watchMajority() (end func()) {
	ctx, cancel := context.WithCancel(u.ctx)
	var done sync.WaitGroup
	done.Go(func() {
		for ctx.Err() == nil {
			agreed := slices.ContainsFunc(u.PX, func(p *lab.Proxy) bool {
				a, err := client(p).Active(ctx)
				return err == nil && a.Agreed
			})
			if !agreed && ctx.Err() == nil {
				u.lost.Add(1)
			}
			lab.Sleep(ctx, 50*time.Millisecond)
		}
	})
	return func() { cancel(); done.Wait() }
}

// lowest waits until every daemon says that this is the lowest version that all read.
func (u *upgrade) lowest(version int) {
	u.t.Helper()
	u.must(until(u.within(decide.RaiseAfter+30*time.Second), fmt.Sprintf("the lowest version to be %d", version), func() (bool, string) {
		for _, p := range u.PX {
			r, err := client(p).Register(u.ctx)
			if err != nil || r.Lowest != version {
				return false, fmt.Sprintf("%s: %d, %v, %q", p.Name, r.Lowest, err, r.Notes)
			}
		}
		return true, ""
	}))
}

// From the version before to this one, from keyless to keyed in three steps, and all the way back, each time one
// daemon after the other and under load: no connection goes elsewhere, there is always a majority, nothing is decided
// and nothing is forgotten that the version before knows.
func TestUpgrade(t *testing.T) {
	full(t)
	u := beginUpgrade(t)
	before := u.active(u.PX[0])
	u.start(lab.LoadConfig{ReconnectEvery: 1})
	end := u.watchMajority()

	u.roll("this version", u.insecure)
	if st := u.status(u.PX[0]); !slices.ContainsFunc(st.Warnings, func(w string) bool { return strings.Contains(w, "no key") }) {
		t.Errorf("nothing is said of the missing key: %q", st.Warnings)
	}
	u.lowest(model.Protocol)
	for _, step := range []string{"accept", "send", "require"} {
		u.roll(step, u.keyed(step))
	}
	for _, p := range u.PX {
		if u.metric(p, "haproxyd_gossip_encrypted", "") != 1 {
			t.Errorf("%s does not encrypt after the three steps", p.Name)
		}
	}

	_, err := client(u.PX[1]).Freeze(u.ctx, "on the way back")
	u.must(err)
	lost := u.lowerVersion(u.PX[1])
	t.Logf("lost on the way back: %q", lost)
	if len(lost) < 2 {
		t.Errorf("lowering the version names %q as lost; the way back loses who froze, and the guard against old packets", lost)
	}
	u.lowest(1)
	for _, step := range []string{"send", "accept"} {
		u.roll("back to "+step, u.keyed(step))
	}
	u.roll("back", u.before)
	wait(u.ctx, 2*time.Second)
	end()

	now := u.active(u.PX[0])
	if now.Epoch != before.Epoch || now.Active != "db1" || now.Reason != before.Reason || !now.Frozen || !slices.Equal(now.Excluded, []string{"db2"}) {
		t.Errorf("the version before knows now %+v, it knew %+v", now, before)
	}
	log := u.finish(expect{path: []string{"db1"}, outage: time.Second})
	u.allRight(log.Wrong(0, "db1"), "the upgrade and the way back")
}

// lowerVersion runs the operator's command and returns what it says is lost.
func (u *upgrade) lowerVersion(p *lab.Proxy) []string {
	u.t.Helper()
	var r api.LowerResponse
	u.must(u.Ask(u.ctx, p, &r, "register", "lower-version"))
	return r.Lost
}

// The default move of one daemon of this version beside two of the version before is one that these carry out. An older
// daemon knows no such default: it closes all at once, and haproxyctl says so.
func TestDefaultMoveAmongOlder(t *testing.T) {
	full(t)
	u := beginUpgrade(t)
	p := u.PX[2]
	u.must(p.Daemon.Stop())
	u.must(p.Daemon.Start(u.insecure(p)))
	u.must(p.Daemon.WaitSocket(u.within(10 * time.Second)))
	u.must(u.WaitSteering(u.within(40*time.Second), len(u.PX)))
	u.waitMayLook()
	long := u.open(lab.InTransaction, lab.Idle, lab.Idle)[0]
	committed := make(chan error, 1)
	go func() {
		wait(u.ctx, time.Second)
		committed <- long.Exec(u.ctx, "COMMIT")
	}()
	a := u.plan(p, "db0")
	u.must(<-committed)
	u.done(a)
	if m := a.Move; a.Drain != "transactions" || m.Killed != 0 || m.Moved != 3 || len(a.Warnings) > 0 {
		t.Errorf("%s: %+v, %q", a.Drain, m, a.Warnings)
	}
	u.clean("db0")
	a = u.plan(u.PX[0], "db1")
	if a.exit != 0 || a.Drain != "" || len(a.Warnings) != 1 || !strings.Contains(a.Warnings[0], "older than haproxyctl and knows no --drain auto") {
		t.Errorf("exit %d, %q, %q (%s)", a.exit, a.Drain, a.Warnings, a.words)
	}
	u.clean("db1")
}
