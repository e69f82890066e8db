package suite

import (
	"testing"

	"github.com/haproxy-peers/haproxy-peers/e2e/k8s/cluster"
)

// overlay of the DaemonSet base.
const daemonSetOverlay = "testdata/daemonset"

// The same with HAProxy and daemon on every node. Its pods have no ordinal and no volume: a member is named after its
// pod's address, so a new pod is a new member, and when all end at once their record ends with them.
func TestDaemonSet(t *testing.T) {
	if env == nil {
		t.Skip("E2E_K8S=1 runs it, on a cluster that is made for it: make e2e-k8s")
	}
	t.Cleanup(func() { replaceProxies(t, daemonSetOverlay, sidecar, statefulSet) })
	replaceProxies(t, sidecar, daemonSetOverlay, daemonSet)
	stray := limits{twoWriters: strayCommits}
	stays := limits{twoWriters: strayCommits, path: 1}
	moves := limits{twoWriters: strayCommits, path: 2}
	tested := func(l limits) limits { l.tested = true; return l }

	each(t, "DaemonSet: delete the active's pod", tested(moves), (*scenario).deleteActive)
	each(t, "DaemonSet: drain the active's node", tested(moves), (*scenario).drain)
	each(t, "DaemonSet: rolling update of the HAProxies", stays, func(s *scenario) { s.roll(s.workload) })
	once(t, "DaemonSet: rolling update of the database", tested(stray), false, func(s *scenario) { s.roll(database) })
	once(t, "DaemonSet: delete all HAProxy pods", stray, false, (*scenario).deleteAllHAProxies)
	if env.cluster.Supports(cluster.Kill) {
		each(t, "DaemonSet: kill -9 all daemons, 3 times", unnoticed, func(s *scenario) { s.killDaemons(3, s.proxies()...) })
		once(t, "DaemonSet: kill -9 a HAProxy", stays, false, func(s *scenario) { s.kill("haproxy", "haproxy", s.proxies()[1]) })
	}
	if env.cluster.Supports(cluster.Cut) {
		each(t, "DaemonSet: cut the active's node off", moves, (*scenario).cut)
	}
	if env.cluster.Supports(cluster.Freeze) {
		once(t, "DaemonSet: freeze the active's node", moves, false, (*scenario).freeze)
	}
	once(t, "DaemonSet: random deletes", randomLimits, false, func(s *scenario) { s.random(chaosLength(t) / 4) })
}
