package vote

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// Decisions are counted once each, also one that was missed; those of before the start are not.
func TestDecisionsAreCounted(t *testing.T) {
	d, f := newTestLoop(t)
	rec := (&model.Record{}).WithActive(model.Decision{Epoch: 1, Active: "pxc-0", Kind: model.KindAdopt})
	is := func(epoch uint64) {
		f.Set(func(ag *cluster.Agreement) {
			ag.Record.Value, ag.Record.Epoch = rec.Encode(), epoch
			ag.Record.Revision++
		})
		d.Turn(t.Context(), time.Now())
	}
	count := func(kind string) float64 { return testutil.ToFloat64(d.cfg.Metrics.Decisions.WithLabelValues(kind)) }
	is(1)
	rec = rec.WithActive(model.Decision{Epoch: 2, Active: "pxc-1", Kind: model.KindFailover})
	rec = rec.WithActive(model.Decision{Epoch: 3, Active: "pxc-2", Kind: model.KindFailover})
	rec = rec.WithActive(model.Decision{Epoch: 4, Active: "pxc-1", Kind: model.KindOperator})
	is(4)
	is(4)
	if count(model.KindAdopt) != 0 || count(model.KindFailover) != 2 || count(model.KindOperator) != 1 {
		t.Errorf("adopt %v, failover %v, operator %v", count(model.KindAdopt), count(model.KindFailover), count(model.KindOperator))
	}
}

// A move is counted when it has ended, once, by how it did.
func TestMovesAreCounted(t *testing.T) {
	d, f := newTestLoop(t)
	rec := (&model.Record{}).WithActive(model.Decision{Epoch: 1, Active: "pxc-0", Kind: model.KindAdopt})
	is := func(epoch uint64, rec *model.Record) {
		f.Set(func(ag *cluster.Agreement) {
			ag.Record.Value, ag.Record.Epoch = rec.Encode(), epoch
			ag.Record.Revision++
		})
		d.Turn(t.Context(), time.Now())
		d.Renew()
	}
	count := func(result string) uint64 {
		var m dto.Metric
		h := d.cfg.Metrics.MoveSeconds.WithLabelValues(result).(prometheus.Histogram) //nolint:forcetypeassert // it is one
		if err := h.Write(&m); err != nil {
			t.Fatal(err)
		}
		return m.GetHistogram().GetSampleCount()
	}
	is(1, rec)
	moving := rec.WithActive(model.Decision{Epoch: 2, Active: "pxc-1", From: "pxc-0", Kind: model.KindOperator})
	over := moving.Clone()
	moving.Move = &model.Move{From: "pxc-0", To: "pxc-1", Drain: model.DrainTransactions, TimeoutMS: 1000, Phase: model.PhaseDrain}
	is(2, moving)
	is(2, moving)
	if n := count(api.MoveDone); n != 0 {
		t.Errorf("it goes on, and %d are done", n)
	}
	is(2, over)
	is(2, over)
	if count(api.MoveDone) != 1 || count(api.MoveRolledBack)+count(api.MoveOvertaken) != 0 {
		t.Errorf("done %d, rolled back %d, overtaken %d", count(api.MoveDone), count(api.MoveRolledBack), count(api.MoveOvertaken))
	}
	next := moving.WithActive(model.Decision{Epoch: 3, Active: "pxc-2", From: "pxc-1", Kind: model.KindOperator})
	next.Move = &model.Move{From: "pxc-1", To: "pxc-2", Drain: model.DrainTransactions, TimeoutMS: 1000, Phase: model.PhaseDrain}
	after := next.WithActive(model.Decision{Epoch: 4, Active: "pxc-0", From: "pxc-2", Kind: model.KindOperator})
	after.Move = &model.Move{From: "pxc-2", To: "pxc-0", Drain: model.DrainTransactions, TimeoutMS: 1000, Phase: model.PhaseDrain}
	is(3, next)
	is(4, after)
	is(4, after)
	if count(api.MoveDone) != 1 || count(api.MoveOvertaken) != 1 {
		t.Errorf("one planned move after the other: done %d, overtaken %d", count(api.MoveDone), count(api.MoveOvertaken))
	}
}
