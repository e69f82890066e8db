package suite

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// Overlays of the predecessor's HAProxies, and of the sidecar base in their place.
const (
	predecessor = "testdata/predecessor"
	migration   = "testdata/migration"
)

// From the predecessor's configuration to the sidecar base, pod by pod and under load, and back. The writer is not where
// the files begin: what the HAProxies do is adopted.
func TestMigration(t *testing.T) {
	if env == nil {
		t.Skip("E2E_K8S=1 runs it, on a cluster that is made for it: make e2e-k8s")
	}
	t.Cleanup(func() { replaceProxies(t, predecessor, sidecar, statefulSet) })
	replaceProxies(t, sidecar, predecessor, statefulSet)

	in := t.Run("in", func(t *testing.T) {
		const name = "migration from the predecessor"
		s := newScenario(t, name, limits{twoWriters: strayCommits, path: 1})
		// A failover as the predecessor does it: to the first backup of its file.
		const active = "pxc-2"
		uid, err := s.Delete(s.ctx, "pxc-0", nil)
		s.must(err)
		s.must(s.waitReplaced("pxc-0", uid))
		s.must(s.waitNative(active))
		s.start(active)
		s.fault("apply the sidecar base")
		s.applyProxies(migration)
		s.finish(name)
		status, err := s.Status(s.ctx, s.proxies()[0])
		s.must(err)
		if a := status.Active; a.Active != active || a.Epoch > 1 {
			t.Errorf("%s at epoch %d (%s), want %s adopted", a.Active, a.Epoch, a.Reason, active)
		}
		t.Logf("the record: %s at epoch %d, %s", status.Active.Active, status.Active.Epoch, status.Active.Reason)
	})
	if !in {
		return
	}
	t.Run("out", func(t *testing.T) {
		const name = "migration back to the predecessor"
		s := newScenario(t, name, limits{twoWriters: strayCommits, path: 1})
		s.begin()
		// To the first node of the old file: there an old HAProxy goes that nobody has taught yet, and its id is the same
		// in both. Others are not: HAProxy numbers the servers of the old file by their place, and an id without a name,
		// which is what the daemons write, is another node for the old ones.
		const first = "pxc-0"
		_, err := s.Ctl(s.ctx, s.proxies()[0], "active", "set", first, "--drain", "transactions")
		s.must(err)
		_, err = s.WaitAgreed(s.within(time.Minute), s.haproxies)
		s.must(err)
		s.start(first)
		s.fault("apply the predecessor's")
		s.applyProxies(predecessor)
		s.must(s.tail.WaitFlowing(s.within(time.Minute), first))
		rolled := time.Since(s.last)
		s.must(s.waitNative(first))
		s.conclude(name, rolled)
	})
}

// applyProxies changes the StatefulSet of the HAProxies and waits until its pods are rolled.
func (s *scenario) applyProxies(overlay string) {
	s.t.Helper()
	_, err := s.Kubectl(s.ctx, "apply", "-k", overlay)
	s.must(err)
	s.must(s.WaitRolled(s.within(2*recoverWithin), s.workload))
}

// waitNative waits until the native tables of all HAProxies lead to this node.
func (s *scenario) waitNative(node string) error {
	nodes := []string{"pxc-0", "pxc-1", "pxc-2"}
	return Until(s.within(30*time.Second), "the native tables to lead to one node", 300*time.Millisecond, func() (bool, string) {
		seen := map[string]string{}
		for _, pod := range s.proxies() {
			table, err := s.tableNodes(s.ctx, pod, writers, nodes)
			if err != nil {
				return false, err.Error()
			}
			seen[pod] = table["1"]
		}
		for _, at := range seen {
			if at != node {
				return false, fmt.Sprint(seen)
			}
		}
		return true, ""
	})
}

// replaceProxies puts the HAProxies of one overlay in the place of another's.
func replaceProxies(t *testing.T, from, to, kind string) {
	t.Helper()
	ctx := context.WithoutCancel(env.ctx)
	workload := kind + "/" + haproxyApp
	n, err := env.ReplaceProxies(ctx, from, to, workload)
	if err != nil {
		t.Fatalf("%v (what there was: %v)", err, env.Dump(ctx, env.report.Dir+"/"+kind))
	}
	env.workload, env.haproxies = workload, n
}
