package evict

import (
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// What is read while an eviction is under way, or was before it was over, is not taken for a node's own; what was known before stays.
func TestPeriods(t *testing.T) {
	var p Periods
	t0 := time.Now()
	at := func(s int) time.Time { return t0.Add(time.Duration(s) * time.Second) }
	calm, evicting := &model.Record{}, &model.Record{Evict: &model.Eviction{}}
	for i, c := range []struct {
		rec    *model.Record
		now    int
		uuid   string
		readAt int
		read   string
		want   string
		listed bool
	}{
		{nil, 1, "a", 1, "PT1S", "PT1S", false},
		{evicting, 10, "a", 1, "PT1S", "PT1S", false},
		{evicting, 11, "a", 11, "PT0.1S", "PT1S", false},
		{calm, 12, "a", 11, "PT0.1S", "PT1S", false},
		{calm, 13, "a", 13, "PT2S", "PT2S", false}, // an operator's
		{evicting, 20, "b", 20, "PT0.1S", "", false},
		{calm, 21, "b", 20, "PT0.1S", "", false}, // another process, whose own nobody knows yet
		{calm, 80, "b", 80, "PT1S", "PT1S", false},
		{calm, 81, "b", 81, "PT0.1S", "PT1S", true}, // by an eviction of which this member does not know
		{calm, 82, "c", 82, "PT3S", "PT3S", true},   // which has joined with an entry that was left
		{calm, 83, "", 0, "", "", false},
	} {
		g := &model.Group{UUID: c.uuid, Retrans: c.read, RetransMS: int64(len(c.read)), OptionsAt: at(c.readAt), OptionsListed: c.listed}
		p.Note(&model.View{Nodes: []model.NodeView{{Name: "pxc-0", Group: g}, {Name: "pxc-1"}}}, c.rec, at(c.now))
		if g.Retrans != c.want || g.RetransMS != int64(len(c.want)) {
			t.Errorf("%d: %q (%d ms), want %q", i, g.Retrans, g.RetransMS, c.want)
		}
	}
}
