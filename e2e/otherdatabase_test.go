package e2e

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
	"github.com/haproxy-peers/haproxy-peers/e2e/stack"
)

// otherCluster replaces the database on a node's address by a cluster of its own: Primary, synced, with the same users
// and tables, and another state UUID. It ends with the scenario; the node's own data stay as they are.
func (s *scenario) otherCluster(n *lab.Node) {
	s.t.Helper()
	line, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(n.Process().Pid), "cmdline"))
	s.must(err)
	s.must(n.Stop())
	dir := n.DataDir + ".other"
	out, err := exec.CommandContext(s.ctx, "cp", "-a", "--sparse=always", filepath.Join(s.Dir, "template"), dir).CombinedOutput()
	if err != nil {
		s.t.Fatalf("copy the template: %v: %s", err, out)
	}
	// Without its state file the data belong to no history: the new cluster makes one.
	s.must(os.Remove(filepath.Join(dir, "grastate.dat")))
	var args []string
	for _, arg := range strings.Split(strings.TrimRight(string(line), "\x00"), "\x00") {
		switch {
		case strings.HasPrefix(arg, "--datadir="):
			arg = "--datadir=" + dir
		case strings.HasPrefix(arg, "--wsrep-cluster-address="):
			arg = "--wsrep-cluster-address=gcomm://"
		case strings.HasPrefix(arg, "--wsrep-start-position="):
			continue
		}
		args = append(args, arg)
	}
	account, err := user.Lookup("mysql") // rsync's state transfer does not work as root; the lab's databases run as it
	s.must(err)
	uid, err := strconv.ParseUint(account.Uid, 10, 32)
	s.must(err)
	gid, err := strconv.ParseUint(account.Gid, 10, 32)
	s.must(err)
	proc, err := n.Host.Start(lab.Spec{
		Name: "other-mariadbd", Args: append(args, "--wsrep-new-cluster"), Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)},
	})
	s.must(err)
	s.t.Cleanup(func() {
		proc.Kill9()
		_ = os.RemoveAll(dir)
	})
	s.must(until(s.within(30*time.Second), "the other cluster", func() (bool, string) {
		if !proc.Running() {
			s.t.Fatalf("it has ended: %s", proc.LogTail(2000))
		}
		st, err := n.Status(s.ctx, "wsrep_%")
		return err == nil && st["wsrep_cluster_status"] == "Primary" && st["wsrep_ready"] == "ON" && st["wsrep_cluster_size"] == "1", st["wsrep_local_state_comment"]
	}))
}

// On db2's address there is another database, healthy in itself. It is never chosen: not by an operator with --force,
// and not when every other node is gone. The proxies, whose own checks call it up, serve nobody rather than write to it.
func TestAnotherDatabaseIsNeverChosen(t *testing.T) {
	full(t)
	s := begin(t, stack.Options{})
	s.otherCluster(s.DB[2])
	// Not only refused, as it was while the one ended and the other began.
	s.must(s.waitNode("db2", "another database for all", func(n apiNode) bool {
		other := func(o api.Opinion) bool { return o.Verdict == "down" && strings.Contains(o.Reason, "state UUID") }
		return len(n.Opinions) == len(s.PX) && !slices.ContainsFunc(n.Opinions, func(o api.Opinion) bool { return !other(o) })
	}))
	s.waitServerUp("db2", s.PX...)
	s.start(lab.LoadConfig{ReconnectEvery: 5})
	before := s.active(s.PX[0])
	for _, args := range [][]string{nil, {"--force"}} {
		_, err := s.Set(s.ctx, s.PX[0], "db2", args...)
		no := s.refused(err)
		t.Log(no)
		if !strings.Contains(no, "another database") || !strings.Contains(no, "state UUID") {
			t.Errorf("refused with %q", no)
		}
	}
	s.unchanged(before)
	// In order, so that the other one stays primary.
	s.must(s.DB[1].Stop())
	s.must(s.WaitActive(s.within(20*time.Second), "db0", len(s.PX)))
	s.must(s.load.WaitNode(s.within(20*time.Second), "db0"))
	s.load.Mark("alone")
	s.must(s.DB[0].Stop())
	leader, _ := s.leader()
	t.Log(s.waitProblem(leader, 10*time.Second, "db0 is down for 3 of 3 voters", "it stays the active"))
	wait(s.ctx, 4*time.Second) // HAProxy's own checks have noticed by now, too
	for _, p := range s.PX {
		if a := s.active(p); a.Active != "db0" {
			t.Errorf("%s: %+v", p.Name, a)
		}
		if code := s.ready(p); code != 503 {
			t.Errorf("%s is ready: %d", p.Name, code)
		}
	}
	for _, c := range s.load.Stop().Commits {
		if c.Node == "db2" {
			t.Fatalf("a transaction reached the other database: %+v", c)
		}
	}
}
