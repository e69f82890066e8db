package vote

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// Propose asks the register to replace the record of that version by next, with a new
// epoch or without one. A record that has changed meanwhile is a [cluster.RefusedError].
func (v *Loop) Propose(ctx context.Context, expect cluster.Version, next *model.Record, newEpoch bool) (cluster.Record, error) {
	kind := kindOf(next, newEpoch)
	done, err := v.joined.Load().cluster.Propose(ctx, cluster.Command{ID: v.commandID(), Expect: expect, NewEpoch: newEpoch, Value: next.Encode()})
	result := "committed"
	var refused *cluster.RefusedError
	switch {
	case errors.As(err, &refused):
		result = "refused"
	case err != nil:
		result = "failed"
	}
	v.cfg.Metrics.Proposals.WithLabelValues(kind, result).Inc()
	return done, err
}

// propose does so for what this leader has decided, beside the loop; one at a time.
func (v *Loop) propose(ctx context.Context, ag *cluster.Agreement, out decide.Outcome) {
	v.mu.Lock()
	if v.proposing {
		v.mu.Unlock()
		return
	}
	v.proposing = true
	v.mu.Unlock()
	expect, kind := ag.Record.Version, kindOf(out.Propose, out.NewEpoch)
	v.cfg.Log.Info("proposing", "kind", kind, "active", out.Propose.Active, "expect", expect.String(), "reason", out.Reason)
	go func() {
		pctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		_, err := v.Propose(pctx, expect, out.Propose, out.NewEpoch)
		var refused *cluster.RefusedError
		if err != nil && !errors.As(err, &refused) {
			v.cfg.Log.Warn("proposal without an answer", "kind", kind, "error", err)
		}
		v.mu.Lock()
		v.proposing = false
		v.mu.Unlock()
		v.Wake()
	}()
}

// kindOf is the decision's kind.
func kindOf(next *model.Record, newEpoch bool) string {
	if !newEpoch {
		return "settings"
	}
	return next.Last().Kind
}

// commandID is unique, and names the member for whoever reads a record.
func (v *Loop) commandID() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return v.cfg.Name + "-" + hex.EncodeToString(b[:])
}
