package vote

import (
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/clustertest"
)

// told is what a meter was told last of each proxy.
type told map[string]map[string]int

func (m told) Sessions(_ time.Time, proxy string, byNode map[string]int) { m[proxy] = byNode }

// A member that is forgotten is told of a last time, without sessions: until then what
// anybody writes on its node counts as written through a proxy. A voter that does not
// answer may have sessions anywhere, because its HAProxy goes on.
func TestMembersThatAreGoneHaveNoSessions(t *testing.T) {
	d, f := newTestLoop(t)
	if err := d.cfg.Files.Refresh(time.Now()); err != nil {
		t.Fatal(err)
	}
	s := d.joined.Load()
	v := clustertest.HealthyView()
	v.Nodes[0].Sessions = 5
	for _, name := range []string{"px1", "px2", "px3"} {
		f.Say(name, 0, v)
	}
	f.Nearby = []cluster.Member{{Name: "px0", Self: true}, {Name: "px1"}, {Name: "px2"}, {Name: "px3"}}
	m, heard := told{}, map[string]bool{}
	d.sampleSessions(m, s, time.Now(), heard)
	if m["px1"]["pxc-0"] != 5 || m["px2"]["pxc-0"] != 5 || m["px1"]["pxc-2"] != 0 {
		t.Fatalf("told %v", m)
	}
	f.Say("px1", time.Minute, v)
	f.Say("px3", time.Minute, v)
	f.Nearby = []cluster.Member{{Name: "px0", Self: true}, {Name: "px1", State: cluster.MemberGone}, {Name: "px2"}}
	d.sampleSessions(m, s, time.Now(), heard)
	if m["px1"]["pxc-0"] == 0 || m["px1"]["pxc-2"] == 0 {
		t.Errorf("px1 is a voter that does not answer, and its HAProxy may write anywhere: %v", m["px1"])
	}
	if m["px2"]["pxc-0"] != 5 || m["px2"]["pxc-2"] != 0 {
		t.Errorf("px2 answers: %v", m["px2"])
	}
	if m["px3"]["pxc-0"] != 0 {
		t.Error("px3 is forgotten and has sessions for ever")
	}
}
