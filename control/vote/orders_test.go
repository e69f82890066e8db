package vote

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/clustertest"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/published"
)

// The other daemons tell of an order when it comes with the record, once, and not of
// those that were there when they started.
func TestEveryDaemonTells(t *testing.T) {
	log := &clustertest.Log{}
	d, f := newTestLoop(t, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(log, nil)) })
	add := func(reason string) {
		f.Set(func(ag *cluster.Agreement) {
			r, err := model.DecodeRecord(ag.Record.Value)
			if err != nil {
				t.Fatal(err)
			}
			r.Lowest = 2
			ag.Record.Value = published.Noted(r, model.Order{Kind: model.OrderFreeze, Reason: reason, OrderedBy: "ana (uid 1000)", By: "px1"}, ag).Encode()
			ag.Record.Revision++
		})
		for range 2 {
			d.Turn(t.Context(), time.Now())
		}
	}
	add("the first")
	if log.Has("the first") {
		t.Errorf("told at the start: %s", log.String())
	}
	add("the second")
	if n := strings.Count(log.String(), "the second"); n != 1 || log.Has("the first") {
		t.Errorf("told %d times: %s", n, log.String())
	}
	if e := d.cfg.Events.NewestFirst(); len(e) == 0 || !strings.Contains(e[0].Message, "freeze through px1, ordered by ana (uid 1000): the second") {
		t.Errorf("the events: %+v", e)
	}
}

// A daemon that cannot read the record, because a later version wrote it, says so and
// is not ended as one that hangs: its next life could not read it either.
func TestUnreadableRecordIsNoHang(t *testing.T) {
	d, f := newTestLoop(t)
	f.Set(func(ag *cluster.Agreement) {
		ag.Record.Value = fmt.Appendf(nil, `{"active":"pxc-0","lowest":%d}`, model.Protocol+1)
		ag.Record.Revision++
	})
	now := time.Now()
	d.Turn(t.Context(), now)
	if !d.TurnedWithin(time.Minute) {
		t.Error("it counts as hanging")
	}
	if s := d.Situation().Turn; !strings.Contains(s, "upgrade it") {
		t.Errorf("it says %q", s)
	}
}
