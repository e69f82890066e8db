package gossip

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
)

// liar takes a member's name and tells it to stop.
type liar struct {
	ml    atomic.Pointer[memberlist.Memberlist]
	name  string
	heard atomic.Int64
}

func (d *liar) NodeMeta(int) []byte {
	return Meta{Name: d.name, Settled: true, Disk: 1}.encode()
}

func (d *liar) NotifyMsg(b []byte) {
	k, r, err := open(b)
	if err != nil || k != kindChallenge {
		return
	}
	c, err := decodeChallenge(r)
	ml := d.ml.Load()
	if err != nil || ml == nil {
		return
	}
	d.heard.Add(1)
	out := answer{From: ml.LocalNode().Name, Nonce: c.Nonce, Stop: true}.encode()
	go func() {
		for _, n := range ml.Members() {
			if n.Name == c.From {
				_ = ml.SendBestEffort(n, out)
			}
		}
	}()
}

func (*liar) GetBroadcasts(int, int) [][]byte { return nil }
func (*liar) LocalState(bool) []byte          { return nil }
func (*liar) MergeRemoteState([]byte, bool)   {}

func startLiar(t *testing.T, name, bind, join string) *liar {
	t.Helper()
	d := &liar{name: name}
	c := memberlist.DefaultLANConfig()
	c.EnableCompression = false // or the guard refuses it at once
	c.Name, c.Label, c.Delegate = name+"-00000000", "test", d
	c.ProbeInterval = 500 * time.Millisecond
	c.LogOutput = floodLog{&atomic.Int64{}}
	host, port, _ := splitHostPort(bind)
	c.BindAddr, c.BindPort = host, port
	ml, err := memberlist.Create(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ml.Shutdown() })
	d.ml.Store(ml)
	if _, err := ml.Join([]string{join}); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestSettledProcessDoesNotStopForAStranger: neither one answer nor many of one
// sender end a settled process, unless its owner finds the other in the right.
func TestSettledProcessDoesNotStopForAStranger(t *testing.T) {
	for _, right := range []bool{false, true} {
		t.Run(fmt.Sprint(right), func(t *testing.T) {
			w := newWorld(t)
			addrs := addresses(2)
			var asked atomic.Int64
			m := w.start("px1", addrs[0], func(c *Config) {
				c.Confirm = func(rival Member) bool {
					asked.Add(1)
					return right && rival.Disk == 1 && rival.Address == addrs[1]
				}
			})
			w.eventually(3*time.Second, "settled", m.isSettledNow)
			d := startLiar(t, "px1", addrs[1], addrs[0])
			begin := time.Now()
			w.eventually(20*time.Second, "the owner to be asked", func() bool { return asked.Load() > 0 })
			if d.heard.Load() < insistSettled || time.Since(begin) < insistFor-time.Second {
				t.Errorf("asked after %d answers", d.heard.Load())
			}
			if right {
				w.eventually(10*time.Second, "it to stop", func() bool { return len(m.done) > 0 })
				var taken *NameTakenError
				if err := <-m.done; !errors.As(err, &taken) {
					t.Errorf("it ended with %v", err)
				}
				return
			}
			w.eventually(20*time.Second, "it to be asked again", func() bool { return asked.Load() > 1 })
			select {
			case err := <-m.done:
				t.Errorf("it stopped: %v", err)
			default:
			}
		})
	}
}

// TestRivalsAreBounded, however many are invented.
func TestRivalsAreBounded(t *testing.T) {
	live := map[string]string{}
	for i := range 1000 {
		live[fmt.Sprintf("px0-%08x", i)] = "192.0.2.1:1"
	}
	r := rivals{self: "px0-ffffffff"}
	r.sync(time.Unix(0, 0), live, "192.0.2.2:1", false)
	if len(r.known) > maxRivals {
		t.Errorf("%d are asked", len(r.known))
	}
}

// TestOneAnswerIsNotEnough for a process that has just started either.
func TestOneAnswerIsNotEnough(t *testing.T) {
	r := rivals{self: "px0-ffffffff"}
	now := time.Unix(0, 0)
	serial := uint64(0)
	ask := func() uint64 {
		now = now.Add(askEvery)
		for _, c := range r.tick(now, func() uint64 { serial += 2; return serial }) {
			return c.Nonce
		}
		t.Fatal("not asked")
		return 0
	}
	r.sync(now, map[string]string{"px0-aaaaaaaa": "192.0.2.1:1"}, "192.0.2.2:1", false)
	first := ask()
	if !r.answered(answer{From: "px0-aaaaaaaa", Nonce: first, Stop: true}) || r.insists(now, "px0-aaaaaaaa", false) {
		t.Fatal("one answer decided")
	}
	if r.answered(answer{From: "px0-aaaaaaaa", Nonce: first, Stop: true}) {
		t.Fatal("the same answer counted twice")
	}
	second := ask()
	if second == first || !r.answered(answer{From: "px0-aaaaaaaa", Nonce: second, Stop: true}) || !r.insists(now, "px0-aaaaaaaa", false) {
		t.Fatal("a second fresh answer did not decide")
	}
}
