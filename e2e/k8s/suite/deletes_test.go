package suite

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// strayCommits bounds the two-writer time of a move on a machine whose processors are shared by everything: between the
// first proxy's turn and the last one's.
const strayCommits = time.Second

// The active's pod is deleted: the writes go to one other node and stay there when the pod is back.
func TestDeleteActive(t *testing.T) {
	each(t, "delete the active's pod", limits{twoWriters: strayCommits, path: 2, tested: true}, (*scenario).deleteActive)
}

func (s *scenario) deleteActive() {
	s.t.Helper()
	s.fault("delete %s", s.active)
	uid, err := s.Delete(s.ctx, s.active, nil)
	s.must(err)
	s.must(s.waitReplaced(s.active, uid))
	s.mark("%s is back", s.active)
}

// waitReplaced waits until a pod of that name is ready that is not the one with the UID.
func (s *scenario) waitReplaced(pod, uid string) error {
	return Until(s.within(recoverWithin), pod+" to be back", 200*time.Millisecond, func() (bool, string) {
		p, err := s.Pod(s.ctx, pod)
		if err != nil {
			return false, err.Error()
		}
		return string(p.UID) != uid && Ready(p), fmt.Sprintf("it is %s, deleted: %v", p.Status.Phase, p.DeletionTimestamp)
	})
}

// All HAProxies are deleted at once: no record is lost, and nothing moves.
func TestDeleteAllHAProxies(t *testing.T) {
	each(t, "delete all HAProxy pods", limits{twoWriters: strayCommits, path: 1}, (*scenario).deleteAllHAProxies)
}

func (s *scenario) deleteAllHAProxies() {
	s.t.Helper()
	pods, err := s.Pods(s.ctx, haproxyApp)
	s.must(err)
	s.fault("delete all HAProxies")
	old := map[types.UID]bool{}
	for _, p := range pods {
		old[p.UID] = true
		_, err = s.Delete(s.ctx, p.Name, nil)
		s.must(err)
	}
	s.must(Until(s.within(recoverWithin), "new HAProxies", 200*time.Millisecond, func() (bool, string) {
		pods, err := s.Pods(s.ctx, haproxyApp)
		if err != nil {
			return false, err.Error()
		}
		fresh := 0
		for _, p := range pods {
			if !old[p.UID] && Ready(&p) {
				fresh++
			}
		}
		return fresh == s.haproxies, fmt.Sprintf("%d of %d are ready", fresh, s.haproxies)
	}))
	s.mark("all are back")
}

// Rolling updates are ordinary life: the HAProxies one by one move nothing, the database pods one by one at most once
// each.
func TestRollHAProxies(t *testing.T) {
	each(t, "rolling update of the HAProxies", limits{twoWriters: strayCommits, path: 1}, func(s *scenario) { s.roll(s.workload) })
}

func TestRollDatabase(t *testing.T) {
	each(t, "rolling update of the database", limits{twoWriters: strayCommits, tested: true}, func(s *scenario) { s.roll(database) })
}

func (s *scenario) roll(workload string) {
	s.t.Helper()
	s.fault("roll %s", workload)
	s.must(s.Annotate(s.ctx, workload, time.Now().Format(time.RFC3339Nano)))
	s.must(s.WaitRolled(s.within(2*recoverWithin), workload))
	s.fault("%s is rolled", workload)
}

// A node is drained: what is on it goes, the active's pod first moved away from; then it is let in again.
func TestDrain(t *testing.T) {
	each(t, "drain the active's node", limits{twoWriters: strayCommits, path: 2, tested: true}, (*scenario).drain)
}

func (s *scenario) drain() {
	s.t.Helper()
	node := s.nodeOf(s.active)
	s.t.Cleanup(func() {
		if err := s.Cordon(context.WithoutCancel(s.ctx), node, false); err != nil {
			s.t.Error(err)
		}
	})
	s.fault("drain %s", node)
	out, err := s.Kubectl(s.within(recoverWithin), "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=180s")
	if err != nil {
		s.t.Fatalf("%v: %s", err, out)
	}
	s.mark("it is drained")
	s.must(s.tail.WaitFlowing(s.within(time.Minute), ""))
	s.fault("uncordon %s", node)
	s.must(s.Cordon(s.ctx, node, false))
}

func (s *scenario) nodeOf(pod string) string {
	s.t.Helper()
	p, err := s.Pod(s.ctx, pod)
	s.must(err)
	if p.Spec.NodeName == "" {
		s.must(errors.New(pod + " is on no node"))
	}
	return p.Spec.NodeName
}
