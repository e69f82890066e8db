package e2e

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
	"github.com/haproxy-peers/haproxy-peers/e2e/stack"
)

// Two databases and a Galera arbitrator, at Galera's default timers: the one that is left goes on at once, the arbitrator counts with
// its weight, and it forgets the entry that it has learned, so that the one that died comes back as it does without an eviction.
func TestEvictBesideArbitrator(t *testing.T) {
	full(t)
	if err := lab.Requirements(lab.Config{}); err != nil {
		t.Skip(err)
	}
	if _, err := exec.LookPath("garbd"); err != nil {
		t.Skip("e2e/install-deps.sh e2e installs the arbitrator: ", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	haproxyd, haproxyctl, err := lab.Build(ctx, t.TempDir())
	must(err)
	l, err := lab.New(ctx, lab.Config{Nodes: 2, GaleraDefaults: true, Haproxyd: haproxyd, Haproxyctl: haproxyctl})
	must(err)
	t.Cleanup(func() {
		if t.Failed() {
			(&scenario{t: t}).saveLogs(l)
		}
		_ = l.Close()
	})
	members := []string{l.DB[0].IP, l.DB[1].IP}
	_, err = l.Client.Start(lab.Spec{Name: "garbd", Args: []string{"garbd", "--address", "gcomm://" + strings.Join(members, ","),
		"--group", lab.ClusterName, "--options", "gmcast.listen_addr=tcp://0.0.0.0:4567;evs.view_forget_timeout=PT3S"}})
	must(err)
	for _, n := range l.DB {
		must(n.WaitClusterSize(ctx, 3))
	}
	s, err := stack.Up(ctx, l, stack.Options{CheckInterval: time.Second, DaemonArgs: []string{"--arbitrator", net.JoinHostPort(l.Client.IP, "4567")}})
	must(err)
	must(s.GrantEviction(ctx))
	must(s.WaitEvictable(ctx))

	a, err := s.Active(ctx, s.PX[0])
	must(err)
	victim, survivor := l.DB[0], l.DB[1]
	if a.Active == survivor.Name {
		victim, survivor = survivor, victim
	}
	load, err := s.StartLoad(ctx, lab.LoadConfig{Clients: 4, ReconnectEvery: 20, Direct: []*lab.Node{survivor}})
	must(err)
	must(load.WaitFlowing(ctx))
	load.Mark("end")
	victim.Kill9()
	must(load.WaitFlowing(ctx))
	lab.Sleep(ctx, time.Second)
	log := load.Snapshot()
	via, worst := log.Worst("end")
	floor, _ := log.Floor("end")
	t.Logf("nobody commits for %v (%s), straight to the survivor for %v", worst, via, floor)
	if worst > 1500*time.Millisecond {
		t.Errorf("%s could not commit for %v", via, worst)
	}
	// The arbitrator has learned the entry, and nobody can ask it.
	lab.Sleep(ctx, 5*time.Second)
	empty := func() {
		t.Helper()
		must(until(ctx, "an empty list on "+survivor.Name, func() (bool, string) {
			status, err := survivor.Status(ctx, "wsrep_evs_evict_list")
			if err != nil {
				return false, err.Error()
			}
			return status["wsrep_evs_evict_list"] == "", fmt.Sprint(status)
		}))
	}
	empty()
	load.Mark("back")
	must(victim.StartAtOnce())
	must(survivor.WaitClusterSize(ctx, 3))
	must(load.WaitFlowing(ctx))
	lab.Sleep(ctx, 2*time.Second)
	log = load.Stop()
	back, _ := log.Floor("back")
	t.Logf("it comes back: nobody commits for %v", back)
	// With the entry left on the arbitrator it was 7.0 s.
	if back > 4500*time.Millisecond {
		t.Errorf("when it came back nobody could commit for %v", back)
	}
	empty()
	must(victim.WaitSynced(ctx))
	lost, err := s.Lost(ctx, log)
	must(err)
	if len(lost) > 0 {
		t.Errorf("acknowledged commits are missing: %v", lost)
	}
}
