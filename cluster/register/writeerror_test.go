package register

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A full disk on all at once, for a moment: nobody has to restart them.
func TestWriteErrorsEverywherePass(t *testing.T) {
	s := quietSim(t, 1, 3)
	if r := s.propose(s.hosts[0], "first"); r == nil || r.Err != nil {
		t.Fatalf("%+v", r)
	}
	s.run(s.now+time.Second, nil)
	for _, h := range s.hosts {
		h.do(h.life, func() {
			h.core.startWrite("", func() {})
			h.core.Written(h.clock(), h.core.writeSeq, errors.New("no space left on device"))
		})
		h.flight = nil
	}
	s.run(s.now+20*time.Second, nil)
	for _, h := range s.hosts {
		st := h.core.Status(h.clock())
		if st.State != StateStopped || st.Fresh || !strings.Contains(st.Membership, "no space left on device") {
			t.Errorf("%s: %s, fresh %v, %q", h.name, st.State, st.Fresh, st.Membership)
		}
		if !st.Known || st.Record.CommandID != "first" {
			t.Errorf("%s knows %v %q", h.name, st.Known, st.Record.CommandID)
		}
		if err := h.core.Recover(h.clock(), []string{h.name}); !errors.Is(err, ErrStopped) {
			t.Errorf("%s recovers: %v", h.name, err)
		}
	}
	for _, h := range s.hosts {
		h.revive(h.life)
	}
	t.Logf("everybody works %s after they can write", s.untilWorks(t, 3*time.Second))
	if r := s.propose(s.hosts[1], "second"); r == nil || r.Err != nil || r.Record.Revision != 2 {
		t.Errorf("a command afterwards: %+v", r)
	}
}

// A member whose directory fails goes on following and, when writing works
// again, votes again with its disk, in the same process.
func TestWriteErrorPasses(t *testing.T) {
	tn := &testNet{nodes: make(map[string]*Node), hooks: hooks{probe: 100 * time.Millisecond}}
	names := []string{"px0", "px1", "px2"}
	nodes := make(map[string]*testNode)
	dir := filepath.Join(t.TempDir(), "px2")
	for _, n := range names {
		d := dir
		if n != "px2" {
			d = filepath.Join(t.TempDir(), n)
		}
		nodes[n] = tn.start(t, n, d, names)
	}
	tn.until(t, "first start", allFresh(nodes["px0"], nodes["px1"], nodes["px2"]))
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	disk := nodes["px2"].Status().Disk

	// Root may write anywhere, so the directory goes away.
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	r, err := nodes["px0"].Propose(ctx, Command{ID: "c0", Value: []byte("pxc-1")})
	if err != nil {
		t.Fatal(err)
	}
	tn.until(t, "px2 is out of the vote", func() bool { return nodes["px2"].Status().State == StateStopped })
	if s := nodes["px2"].Status(); !strings.Contains(s.Membership, "cannot be written") || nodes["px2"].Self().Willing {
		t.Errorf("out of the vote: %q", s.Membership)
	}
	if r, err = nodes["px2"].Propose(ctx, Command{ID: "c1", Expect: r.Version, Value: []byte("pxc-2")}); err != nil {
		t.Fatalf("a command on it: %v", err)
	}
	tn.until(t, "px2 follows", func() bool { return nodes["px2"].Status().Record.Version == r.Version })

	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	back := tn.until(t, "px2 votes", func() bool {
		s := nodes["px2"].Status()
		if s.Known && s.Record.Compare(r.Version) < 0 {
			t.Fatalf("it knew %s, now %s", r.Version, s.Record.Version)
		}
		return s.Voting && s.Fresh
	})
	t.Logf("votes again after %s", back)
	if s := nodes["px2"].Status(); s.Disk != disk || s.Record.Version != r.Version {
		t.Errorf("disk %x, was %x; record %s, was %s", s.Disk, disk, s.Record.Version, r.Version)
	}
	nodes["px0"].stop()
	if _, err := nodes["px2"].Propose(ctx, Command{ID: "c2", Expect: r.Version, Value: []byte("pxc-1")}); err != nil {
		t.Errorf("with px1 alone: %v", err)
	}
}
