package suite

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/e2e/k8s/cluster"
)

// Scaling the HAProxies changes the voters, step by step, and moves nothing. From three to five and back the list of
// proxies changes with the replicas, so that old and new pods have different haproxy.cfg files meanwhile; to one and back
// it stays.
func TestScale(t *testing.T) {
	each(t, "scale 3, 5, 3, 1, 3", limits{twoWriters: strayCommits, path: 1}, func(s *scenario) {
		apply := func(overlay string) func() error {
			return func() error { _, err := s.Kubectl(s.ctx, "apply", "-k", overlay); return err }
		}
		scale := func(n int) func() error { return func() error { return s.Scale(s.ctx, haproxyApp, n) } }
		s.t.Cleanup(func() {
			// Volumes of pods that were scaled away are offered again.
			if err := s.cluster.RecycleVolumes(context.WithoutCancel(s.ctx)); err != nil {
				s.t.Error(err)
			}
		})
		for _, step := range []struct {
			n  int
			do func() error
		}{{5, apply("testdata/scale5")}, {3, apply("testdata/sidecar")}, {1, scale(1)}, {3, scale(3)}} {
			s.fault("scale to %d", step.n)
			s.must(step.do())
			s.must(s.WaitRolled(s.within(2*recoverWithin), s.workload))
			s.must(s.WaitReady(s.within(recoverWithin), haproxyApp, step.n))
			_, err := s.WaitAgreed(s.within(recoverWithin), step.n)
			s.must(err)
			s.must(s.waitVoters(step.n))
		}
	})
}

// A HAProxy that goes without a word, and in whose place no other comes, stays a voter: nobody can know that it will not be
// back, but a person who says so. When it does come back, it is a new voter.
func TestMembersRemove(t *testing.T) {
	needs(t, cluster.Kill)
	each(t, "a HAProxy is gone for good, members remove", limits{twoWriters: strayCommits, path: 1}, func(s *scenario) {
		s.t.Cleanup(func() {
			if err := s.cluster.RecycleVolumes(context.WithoutCancel(s.ctx)); err != nil {
				s.t.Error(err)
			}
		})
		s.freezeDaemons("haproxy-2")
		s.fault("haproxy-2 goes without a word")
		s.must(s.Scale(s.ctx, haproxyApp, 2))
		_, err := s.Delete(s.ctx, "haproxy-2", new(int64))
		s.must(err)
		s.must(s.WaitReady(s.within(recoverWithin), haproxyApp, 2))
		s.must(Until(s.within(time.Minute), "haproxy-2 to be known as gone", 500*time.Millisecond, func() (bool, string) {
			status, err := s.Status(s.ctx, "haproxy-0")
			if err != nil {
				return false, err.Error()
			}
			i := slices.IndexFunc(status.Members, func(m api.Member) bool { return m.Name == "haproxy-2" })
			return i >= 0 && status.Members[i].State == "gone" && status.Members[i].Voter, fmt.Sprintf("%+v", status.Members)
		}))
		out, err := s.Ctl(s.ctx, "haproxy-0", "members", "remove", "haproxy-2")
		s.t.Logf("members remove: %s", strings.TrimSpace(out))
		s.must(err)
		s.must(s.waitVoters(2))
		s.fault("scale to 3")
		s.must(s.Scale(s.ctx, haproxyApp, 3))
		s.must(s.WaitReady(s.within(recoverWithin), haproxyApp, 3))
		s.must(s.waitVoters(3))
	})
}

// waitVoters waits until just the pods that there are vote.
func (s *scenario) waitVoters(n int) error {
	var want []string
	for i := range n {
		want = append(want, fmt.Sprintf("haproxy-%d", i))
	}
	return Until(s.within(recoverWithin), fmt.Sprintf("the voters to be %v", want), 500*time.Millisecond, func() (bool, string) {
		status, err := s.Status(s.ctx, "haproxy-0")
		if err != nil {
			return false, err.Error()
		}
		var voters []string
		for _, v := range status.Register.Voters {
			voters = append(voters, v.Name)
		}
		slices.Sort(voters)
		return slices.Equal(voters, want), fmt.Sprintf("%v: %s", voters, status.Register.Membership)
	})
}
