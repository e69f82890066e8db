package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/cluster/nudge"
	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/haproxycfg"
	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/published"
)

// proposeWithin bounds an operator's command: a majority that is there answers
// within milliseconds, an election takes less than two seconds.
const proposeWithin = 5 * time.Second

// adminHandler serves the admin API.
func (d *Daemon) adminHandler() http.Handler {
	mux := http.NewServeMux()
	get := func(path string, f func() any) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, f()) })
	}
	get(api.PathStatus, func() any { return d.asked().status() })
	get(api.PathActive, func() any { return d.asked().active() })
	get(api.PathHistory, func() any { return d.asked().history(d.events.NewestFirst()) })
	get(api.PathNodes, func() any { return d.asked().nodes() })
	get(api.PathMembers, func() any { return d.asked().members() })
	get(api.PathRegister, func() any { return d.asked().register() })
	mux.HandleFunc("GET "+api.PathCheck, d.handleCheck)
	get(api.PathMove, func() any { return d.asked().move() })
	get(api.PathExplain, func() any { return d.asked().explain() })
	mux.HandleFunc("POST "+api.PathActive, handle(d.setActive))
	mux.HandleFunc("POST "+api.PathMoveCancel, handle(d.cancelMove))
	mux.HandleFunc("POST "+api.PathExclude, handle(func(ctx context.Context, r api.NodeRequest) (any, error) {
		return d.exclude(ctx, r.Node, true)
	}))
	mux.HandleFunc("POST "+api.PathInclude, handle(func(ctx context.Context, r api.NodeRequest) (any, error) {
		return d.exclude(ctx, r.Node, false)
	}))
	mux.HandleFunc("POST "+api.PathFreeze, handle(func(ctx context.Context, r api.FreezeRequest) (any, error) {
		return d.freeze(ctx, true, r.Reason)
	}))
	mux.HandleFunc("POST "+api.PathUnfreeze, handle(func(ctx context.Context, r api.FreezeRequest) (any, error) {
		return d.freeze(ctx, false, r.Reason)
	}))
	mux.HandleFunc("POST "+api.PathRegisterInit, handle(d.registerInit))
	mux.HandleFunc("POST "+api.PathRegisterRecover, handle(d.registerRecover))
	mux.HandleFunc("POST "+api.PathRegisterLower, handle(d.lowerVersion))
	mux.HandleFunc("POST "+api.PathRegisterRaise, handle(d.raiseVersion))
	mux.HandleFunc("POST "+api.PathMembersRemove, handle(d.removeMember))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, &api.Error{Code: api.CodeNotFound, Message: fmt.Sprintf("this daemon has no %s %s: its version is %s", r.Method, r.URL.Path, d.cfg.Version)})
	})
	return mux
}

// handle decodes the request strictly and writes the answer or the error.
func handle[Req any](f func(context.Context, Req) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var req Req
		dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&req); err != nil && !errors.Is(err, io.EOF) {
			writeError(w, &api.Error{Code: api.CodeBadRequest, Message: "the request's body: " + err.Error()})
			return
		}
		ctx, err := withOrder(r, &req)
		if err != nil {
			writeError(w, &api.Error{Code: api.CodeBadRequest, Message: err.Error()})
			return
		}
		ctx, cancel := context.WithTimeout(ctx, proposeWithin)
		defer cancel()
		res, err := f(ctx, req)
		if err == nil {
			writeJSON(w, http.StatusOK, res)
			return
		}
		var e *api.Error
		if !errors.As(err, &e) {
			e = &api.Error{Code: api.CodeInternal, Message: err.Error()}
		}
		writeError(w, e)
	}
}

func refused(format string, args ...any) *api.Error {
	return &api.Error{Code: api.CodeRefused, Message: fmt.Sprintf(format, args...)}
}

// present returns what an operator's command is validated against.
func (d *Daemon) present() (*started, *published.Situation, *api.Error) {
	s := d.started.Load()
	if s == nil {
		return nil, nil, &api.Error{Code: api.CodeUnavailable, Message: "the daemon has not started: " + cmp.Or(d.files.Problem(), "haproxy.cfg is not read yet")}
	}
	sit := d.renew(s)
	switch ag := &sit.Agreement; {
	case !ag.Fresh:
		return nil, nil, &api.Error{Code: api.CodeNoMajority, Message: "no majority, nothing can be decided: " + ag.Reason}
	case sit.Unread != nil:
		return nil, nil, &api.Error{Code: api.CodeInternal, Message: sit.Unread.Error()}
	case sit.Record == nil:
		return nil, nil, &api.Error{Code: api.CodeUnavailable, Message: "nothing is decided yet, so nothing can be changed; see `haproxyctl status`"}
	}
	return s, sit, nil
}

// change proposes what make returns, again when the record changed meanwhile
// without a new epoch (somebody froze or excluded), never over another decision.
func (d *Daemon) change(ctx context.Context, build func(*published.Situation) (*model.Record, bool, error)) error {
	var epoch *model.Epoch
	for {
		s, sit, apiErr := d.present()
		if apiErr != nil {
			return apiErr
		}
		of := sit.Epoch()
		if epoch != nil && of != *epoch {
			return d.lost(sit)
		}
		epoch = &of
		next, newEpoch, err := build(sit)
		if err != nil || next == nil {
			return err
		}
		kind := "settings"
		if newEpoch {
			kind = next.Last().Kind
		}
		done, err := s.cluster.Propose(ctx, cluster.Command{ID: d.commandID(), Expect: sit.Agreement.Record.Version, NewEpoch: newEpoch, Value: next.Encode()})
		var ref *cluster.RefusedError
		switch {
		case err == nil:
			d.m.proposals.WithLabelValues(kind, "committed").Inc()
			nudge.Send(d.wakeV)
			if err = d.caughtUp(ctx, s, done.Version); err == nil {
				d.renew(s) // the answer tells of it
			}
			return err
		case errors.As(err, &ref):
			d.m.proposals.WithLabelValues(kind, "refused").Inc()
			if cur := ref.Current; mandate.EpochOf(cur.Version) != of {
				winner, derr := model.DecodeRecord(cur.Value)
				if derr != nil {
					return derr
				}
				return d.lost(d.gather(s, &mandate.Facts{Agreement: cluster.Agreement{Known: true, Record: cur, Fresh: true}, Record: winner}, d.clock.now()))
			}
			if err := d.caughtUp(ctx, s, ref.Current.Version); err != nil {
				return err
			}
		case errors.Is(err, context.DeadlineExceeded), errors.Is(err, cluster.ErrNoMajority):
			d.m.proposals.WithLabelValues(kind, "failed").Inc()
			return &api.Error{Code: api.CodeUnknown, Message: "no answer from a majority in time: it may or may not have been decided; see `haproxyctl active show`"}
		default:
			d.m.proposals.WithLabelValues(kind, "failed").Inc()
			return err
		}
	}
}

// caughtUp waits until this member knows at least that version.
func (d *Daemon) caughtUp(ctx context.Context, s *started, v cluster.Version) error {
	t := time.NewTicker(time.Millisecond)
	defer t.Stop()
	for {
		if ag := s.cluster.Agreement(); ag.Record.Version.Compare(v) >= 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return &api.Error{Code: api.CodeUnknown, Message: "this member lags behind the record; try again"}
		case <-t.C:
		}
	}
}

// lost names the decision that came first.
func (d *Daemon) lost(sit *published.Situation) *api.Error {
	winner := (&answer{cfg: &d.cfg, Situation: sit}).active()
	last := sit.Record.Last()
	e := refused("another decision came first: epoch %d, the active is %s (%s, by %s); look, and ask again if you still want it",
		winner.Epoch, winner.Active, last.Reason, last.By)
	e.Winner = &winner
	return e
}

func (d *Daemon) exclude(ctx context.Context, node string, excluded bool) (any, error) {
	kind := model.OrderInclude
	if excluded {
		kind = model.OrderExclude
	}
	topo := d.files.Topology()
	if topo == nil || !slices.Contains(haproxycfg.Order(topo), node) {
		return nil, refused("%q is not a node of this configuration", node)
	}
	err := d.changeBy(ctx, d.order(ctx, kind, node), func(rec *model.Record) (*model.Record, error) {
		next, err := decide.Exclude(rec, node, excluded)
		if err != nil {
			return nil, refused("%v", err)
		}
		return next, nil
	})
	if err != nil {
		return nil, err
	}
	return d.asked().active(), nil
}

// freeze stops the automatic changes, or lets them go on. Frozen already, it takes
// another reason instead of the one that stands there.
func (d *Daemon) freeze(ctx context.Context, frozen bool, reason string) (any, error) {
	kind := model.OrderUnfreeze
	if frozen {
		kind = model.OrderFreeze
	}
	err := d.changeBy(ctx, d.order(ctx, kind, ""), func(rec *model.Record) (*model.Record, error) {
		return decide.Freeze(rec, frozen, reason, "by an operator through "+d.cfg.Name), nil
	})
	if err != nil {
		return nil, err
	}
	return d.asked().active(), nil
}
