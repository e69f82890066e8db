package vote

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/haproxy-peers/haproxy-peers/cluster"
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
