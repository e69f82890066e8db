package suite

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

// chaosLength is how long TestRandom deletes pods: E2E_K8S_CHAOS, ten minutes by default.
func chaosLength(t *testing.T) time.Duration {
	text := os.Getenv("E2E_K8S_CHAOS")
	if text == "" {
		return 10 * time.Minute
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("E2E_K8S_CHAOS: %v", err)
	}
	return d
}

// steadyWithin is how soon after everything is ready every proxy must be as agreed.
const steadyWithin = 30 * time.Second

// Pods are deleted at random, the predecessor's own crash test: whenever all are ready again, every effective route is
// equal to the record on every proxy, and connections are on one node only.
func TestRandom(t *testing.T) {
	length := chaosLength(t)
	once(t, fmt.Sprintf("random deletes for %v", length), randomLimits, false, func(s *scenario) { s.random(length) })
}

// randomLimits: two pods may go at once, and the operator comes in between.
var randomLimits = limits{twoWriters: 2 * time.Second}

func (s *scenario) random(length time.Duration) {
	s.t.Helper()
	seed := uint64(time.Now().UnixNano())
	s.t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 0))
	checks, deletes := 0, map[string]int{}
	rounds := 0
	for end := time.Now().Add(length); time.Now().Before(end) && s.ctx.Err() == nil; rounds++ {
		if rounds%3 == 2 {
			s.call()
		}
		for range 1 + dice.IntN(3) {
			app := []string{pxcApp, haproxyApp}[dice.IntN(2)]
			if s.deleteOne(dice, app) {
				deletes[app]++
			}
			lab.Sleep(s.ctx, time.Duration(500+dice.IntN(4000))*time.Millisecond)
		}
		s.must(s.WaitReady(s.within(recoverWithin), pxcApp, 3))
		s.must(s.WaitReady(s.within(recoverWithin), haproxyApp, s.haproxies))
		record, err := s.WaitAgreed(s.within(steadyWithin), s.haproxies)
		s.must(err)
		for range 2 {
			lab.Sleep(s.ctx, time.Second)
			if now, wrong := s.stillAgreed(); wrong != "" && now.Epoch == record.Epoch && now.Move == nil {
				s.t.Errorf("it was as agreed, nothing was deleted, and it did not stay so: %s", wrong)
			}
			checks++
		}
		s.mark("as agreed")
	}
	s.t.Logf("deleted: %v; looked %d times when all was steady", deletes, checks)
}

// deleteOne deletes one random pod, every third time without its grace. A database pod only while all are there: with
// two away the cluster has no majority, and nothing in front of it can help. The same holds for the record of a
// DaemonSet, which is in the pods.
func (s *scenario) deleteOne(dice *rand.Rand, app string) bool {
	pods, err := s.Pods(s.ctx, app)
	s.must(err)
	switch {
	case app == pxcApp:
		if ok, _ := s.readyPods(s.ctx, app, 3); !ok {
			return false
		}
	case strings.HasPrefix(s.workload, daemonSet):
		if !s.allVote() {
			return false
		}
	}
	var grace *int64
	how := "delete"
	if dice.IntN(3) == 0 {
		grace, how = new(int64), "kill"
	}
	pod := pods[dice.IntN(len(pods))].Name
	s.fault("%s %s", how, pod)
	if _, err := s.Delete(s.ctx, pod, grace); err != nil && !apierrors.IsNotFound(err) {
		s.t.Error(err)
	}
	return true
}

// allVote tells whether every HAProxy's daemon is a voter and is there.
func (s *scenario) allVote() bool {
	s.t.Helper()
	status, err := s.Status(s.ctx, s.proxies()[0])
	if err != nil {
		return false
	}
	votes := 0
	for _, m := range status.Members {
		if m.Voter && m.State != "alive" {
			return false
		}
		if m.Voter {
			votes++
		}
	}
	return votes == s.haproxies
}
