package register

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/haproxy-peers/haproxy-peers/cluster/register/state"
)

// testNet connects nodes in one process.
type testNet struct {
	mu    sync.Mutex
	nodes map[string]*Node
	hooks hooks
}

type testPort struct {
	net  *testNet
	from string
}

func (p testPort) Send(name string, _ uint64, data []byte) {
	p.net.mu.Lock()
	n := p.net.nodes[name]
	alive := p.net.nodes[p.from] != nil
	p.net.mu.Unlock()
	if n != nil && alive {
		n.Receive(data)
	}
}

// testNode is a running Node that can be killed and started again.
type testNode struct {
	*Node
	stop func()
}

func (tn *testNet) start(t *testing.T, name, dir string, initial []string) *testNode {
	t.Helper()
	n, err := New(Config{
		Name: name, Dir: dir, InitialVoters: initial, Transport: testPort{tn, name},
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)).With("node", name),
	})
	if err != nil {
		t.Fatal(err)
	}
	n.core.cfg.hooks = withReads(tn.hooks)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	tn.mu.Lock()
	tn.nodes[name] = n
	tn.mu.Unlock()
	go func() {
		defer close(done)
		if err := n.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	tn.gossip()
	stop := sync.OnceFunc(func() {
		tn.mu.Lock()
		delete(tn.nodes, name)
		tn.mu.Unlock()
		cancel()
		<-done
		tn.gossip()
	})
	t.Cleanup(stop)
	return &testNode{n, stop}
}

// gossip tells everybody about everybody.
func (tn *testNet) gossip() {
	tn.mu.Lock()
	nodes := make([]*Node, 0, len(tn.nodes))
	for _, n := range tn.nodes {
		nodes = append(nodes, n)
	}
	tn.mu.Unlock()
	var members []Member
	for _, n := range nodes {
		members = append(members, n.Self())
	}
	for _, n := range nodes {
		n.SetMembers(members)
	}
}

// until waits for a condition, spreading the gossip meanwhile.
func (tn *testNet) until(t *testing.T, what string, ok func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for !ok() {
		if time.Since(began) > 20*time.Second {
			t.Fatalf("%s: not within 20 s", what)
		}
		tn.gossip()
		time.Sleep(2 * time.Millisecond)
	}
	return time.Since(began)
}

func allFresh(nodes ...*testNode) func() bool {
	return func() bool {
		return !slices.ContainsFunc(nodes, func(n *testNode) bool { return !n.Status().Fresh })
	}
}

func TestNodes(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	tn := &testNet{nodes: make(map[string]*Node)}
	names := []string{"px0", "px1", "px2"}
	dirs := make(map[string]string)
	nodes := make(map[string]*testNode)
	for _, n := range names {
		dirs[n] = filepath.Join(t.TempDir(), n)
		nodes[n] = tn.start(t, n, dirs[n], names)
	}
	all := func() []*testNode { return []*testNode{nodes["px0"], nodes["px1"], nodes["px2"]} }
	t.Logf("first start: %s", tn.until(t, "first start", allFresh(all()...)))
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()

	// A command on every member, and how long until the others know.
	version := Version{}
	for i, n := range all() {
		began := time.Now()
		r, err := n.Propose(ctx, Command{ID: fmt.Sprintf("c%d", i), Expect: version, NewEpoch: true, Value: []byte("pxc-1")})
		if err != nil {
			t.Fatal(err)
		}
		version = r.Version
		took := time.Since(began)
		known := tn.until(t, "everybody knows", func() bool {
			return !slices.ContainsFunc(all(), func(n *testNode) bool { return n.Status().Record.Version != version })
		})
		t.Logf("command: %s, everybody %s later", took, known)
		if known > 80*time.Millisecond {
			t.Logf("waited for a heartbeat")
		}
	}
	_, err := nodes["px1"].Propose(ctx, Command{ID: "late", Value: []byte("pxc-2")})
	var refused *RefusedError
	if !errors.As(err, &refused) || refused.Current.CommandID != "c2" {
		t.Fatalf("an old command: %v", err)
	}
	if r, err := nodes["px1"].Read(ctx); err != nil || r.Version != version {
		t.Fatalf("read %v, %v", r, err)
	}

	// The leader dies.
	leader := nodes["px0"].Status().Leader
	nodes[leader].stop()
	rest := slices.DeleteFunc(all(), func(n *testNode) bool { return n == nodes[leader] })
	took := tn.until(t, "another leader", func() bool {
		l := rest[0].Status().Leader
		return l != "" && l != leader && rest[1].Status().Leader == l
	})
	t.Logf("another leader after %s", took)
	if r, err := rest[0].Propose(ctx, Command{ID: "after", Expect: version, Value: []byte("pxc-2")}); err != nil {
		t.Fatal(err)
	} else {
		version = r.Version
	}

	// It returns with half of its file: a new disk, admitted in place of the old.
	file := filepath.Join(dirs[leader], state.FileName)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data[:len(data)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	nodes[leader] = tn.start(t, leader, dirs[leader], names)
	t.Logf("admitted after %s", tn.until(t, "admission", func() bool { return nodes[leader].Status().Voting }))
	if lost, _ := filepath.Glob(file + state.LostInfix + "*"); len(lost) != 1 {
		t.Errorf("the damaged file was not kept aside: %v", lost)
	}

	// A clean leave, then everybody stops and two start again.
	if err := nodes["px2"].Leave(ctx); err != nil {
		t.Fatal(err)
	}
	tn.until(t, "two voters", func() bool { return len(nodes["px0"].Status().Voters) == 2 })
	for _, n := range all() {
		n.stop()
	}
	nodes["px0"], nodes["px1"] = tn.start(t, "px0", dirs["px0"], names), tn.start(t, "px1", dirs["px1"], names)
	t.Logf("all restarted: %s", tn.until(t, "restart", allFresh(nodes["px0"], nodes["px1"])))
	if r, err := nodes["px1"].Read(ctx); err != nil || r.Version != version {
		t.Fatalf("read %v, %v", r, err)
	}
	for _, n := range []string{"px0", "px1"} {
		nodes[n].stop()
	}
}

// A copy of an older state file, put back while the process was down, is a
// lost disk; so is a directory that was copied.
func TestRestoredFile(t *testing.T) {
	tn := &testNet{nodes: make(map[string]*Node)}
	names := []string{"px0", "px1", "px2"}
	dirs := make(map[string]string)
	nodes := make(map[string]*testNode)
	for _, n := range names {
		dirs[n] = filepath.Join(t.TempDir(), n)
		nodes[n] = tn.start(t, n, dirs[n], names)
	}
	tn.until(t, "first start", allFresh(nodes["px0"], nodes["px1"], nodes["px2"]))
	file := filepath.Join(dirs["px2"], state.FileName)
	old, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if _, err := nodes["px0"].Propose(ctx, Command{ID: "c", Value: []byte("pxc-1")}); err != nil {
		t.Fatal(err)
	}
	disk := nodes["px2"].Status().Disk
	tn.until(t, "px2 knows", func() bool { return nodes["px2"].Status().Record.Revision == 1 })
	nodes["px2"].stop()
	if err := os.WriteFile(file, old, 0o600); err != nil {
		t.Fatal(err)
	}
	nodes["px2"] = tn.start(t, "px2", dirs["px2"], names)
	tn.until(t, "admission", func() bool { return nodes["px2"].Status().Voting && nodes["px2"].Status().Disk != disk })
	if s := nodes["px2"].Status(); s.Counters.LostDisks != 1 {
		t.Errorf("%d lost disks", s.Counters.LostDisks)
	}
	if lost, _ := filepath.Glob(file + state.LostInfix + "*"); len(lost) != 1 {
		t.Errorf("the restored file was not kept aside: %v", lost)
	}
}
