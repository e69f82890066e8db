package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/haproxycfg"
	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/published"
	"github.com/haproxy-peers/haproxy-peers/control/serving"
)

// proposeWithin bounds an operator's command: a majority that is there answers
// within milliseconds, an election takes less than two seconds.
const proposeWithin = 5 * time.Second

// Reading serves the half of the admin API that changes nothing, to whoever comes.
func (s *Server) Reading() http.Handler {
	mux := http.NewServeMux()
	s.reading(mux)
	mux.HandleFunc("/", s.unknown)
	return serving.ThrottleElse(mux, dear, func(w http.ResponseWriter, _ *http.Request) {
		writeError(w, &api.Error{Code: api.CodeUnavailable, Message: "asked too often: try again in a second"})
	})
}

func (s *Server) reading(mux *http.ServeMux) {
	for path, f := range s.questions() {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, f()) })
	}
	mux.HandleFunc("GET "+api.PathCheck, s.handleCheck)
	mux.HandleFunc("GET "+api.PathOpenAPI, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/yaml")
		_, _ = w.Write(api.OpenAPI) // the client is gone: nobody to tell
	})
}

// questions are those that need nothing but a path.
func (s *Server) questions() map[string]func() any {
	return map[string]func() any{
		api.PathStatus:   func() any { return s.Status() },
		api.PathActive:   func() any { return s.asked().judged() },
		api.PathHistory:  func() any { return s.asked().history(s.cfg.Events.NewestFirst()) },
		api.PathNodes:    func() any { return s.asked().nodes() },
		api.PathMembers:  func() any { return s.asked().members() },
		api.PathRegister: func() any { return s.asked().register() },
		api.PathMove:     func() any { return s.asked().move() },
		api.PathExplain:  func() any { return s.asked().explain() },
		api.PathOverview: func() any { return s.Overview() },
	}
}

// Private serves the admin API, for who may open its socket.
func (s *Server) Private() http.Handler {
	mux := http.NewServeMux()
	s.reading(mux)
	mux.HandleFunc("POST "+api.PathActive, handle(s.setActive))
	mux.HandleFunc("POST "+api.PathMoveCancel, handle(s.cancelMove))
	mux.HandleFunc("POST "+api.PathExclude, handle(func(ctx context.Context, r api.NodeRequest) (any, error) {
		return s.exclude(ctx, r.Node, true)
	}))
	mux.HandleFunc("POST "+api.PathInclude, handle(func(ctx context.Context, r api.NodeRequest) (any, error) {
		return s.exclude(ctx, r.Node, false)
	}))
	mux.HandleFunc("POST "+api.PathFreeze, handle(func(ctx context.Context, r api.Reasoned) (any, error) {
		return s.freeze(ctx, true, r.Reason)
	}))
	mux.HandleFunc("POST "+api.PathUnfreeze, handle(func(ctx context.Context, r api.Reasoned) (any, error) {
		return s.freeze(ctx, false, r.Reason)
	}))
	mux.HandleFunc("POST "+api.PathRegisterInit, handle(s.registerInit))
	mux.HandleFunc("POST "+api.PathRegisterRecover, handle(s.registerRecover))
	mux.HandleFunc("POST "+api.PathRegisterLower, handle(s.lowerVersion))
	mux.HandleFunc("POST "+api.PathRegisterRaise, handle(s.raiseVersion))
	mux.HandleFunc("POST "+api.PathMembersRemove, handle(s.removeMember))
	mux.HandleFunc("/", s.unknown)
	return mux
}

func (s *Server) unknown(w http.ResponseWriter, r *http.Request) {
	writeError(w, &api.Error{Code: api.CodeNotFound, Message: fmt.Sprintf("this daemon has no %s %s: its version is %s", r.Method, r.URL.Path, s.cfg.Version)})
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
func (s *Server) present() (*published.Situation, *api.Error) {
	sit := s.cfg.Vote.Renew()
	if sit == nil {
		return nil, s.unstarted()
	}
	switch ag := &sit.Agreement; {
	case !ag.Fresh:
		return nil, &api.Error{Code: api.CodeNoMajority, Message: "no majority, nothing can be decided: " + ag.Reason}
	case sit.Unread != nil:
		return nil, &api.Error{Code: api.CodeInternal, Message: sit.Unread.Error()}
	case sit.Record == nil:
		return nil, &api.Error{Code: api.CodeUnavailable, Message: "nothing is decided yet, so nothing can be changed; see `haproxyctl status`"}
	}
	return sit, nil
}

// change proposes what make returns, again when the record changed meanwhile
// without a new epoch (somebody froze or excluded), never over another decision.
func (s *Server) change(ctx context.Context, build func(*published.Situation) (*model.Record, bool, error)) error {
	var epoch *model.Epoch
	for {
		sit, apiErr := s.present()
		if apiErr != nil {
			return apiErr
		}
		of := sit.Epoch()
		if epoch != nil && of != *epoch {
			return s.lost(sit)
		}
		epoch = &of
		next, newEpoch, err := build(sit)
		if err != nil || next == nil {
			return err
		}
		done, err := s.cfg.Vote.Propose(ctx, sit.Agreement.Record.Version, next, newEpoch)
		var ref *cluster.RefusedError
		switch {
		case err == nil:
			if err = s.caughtUp(ctx, done.Version); err == nil {
				s.cfg.Vote.Renew() // the answer tells of it
			}
			return err
		case errors.As(err, &ref):
			if cur := ref.Current; mandate.EpochOf(cur.Version) != of {
				winner, derr := model.DecodeRecord(cur.Value)
				if derr != nil {
					return derr
				}
				now := *sit
				now.Agreement.Record, now.Record = cur, winner
				return s.lost(&now)
			}
			if err := s.caughtUp(ctx, ref.Current.Version); err != nil {
				return err
			}
		case errors.Is(err, context.DeadlineExceeded), errors.Is(err, cluster.ErrNoMajority):
			return &api.Error{Code: api.CodeUnknown, Message: "no answer from a majority in time: it may or may not have been decided; see `haproxyctl active show`"}
		default:
			return err
		}
	}
}

// caughtUp waits until this member knows at least that version.
func (s *Server) caughtUp(ctx context.Context, v cluster.Version) error {
	t := time.NewTicker(time.Millisecond)
	defer t.Stop()
	for {
		if ag := s.cfg.Vote.Cluster().Agreement(); ag.Record.Version.Compare(v) >= 0 {
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
func (s *Server) lost(sit *published.Situation) *api.Error {
	winner := (&answer{cfg: &s.cfg, Moment: published.Moment{Situation: sit}}).active()
	last := sit.Record.Last()
	e := refused("another decision came first: epoch %d, the active is %s (%s, by %s); look, and ask again if you still want it",
		winner.Epoch, winner.Active, last.Reason, last.By)
	e.Winner = &winner
	return e
}

func (s *Server) exclude(ctx context.Context, node string, excluded bool) (any, error) {
	kind := model.OrderInclude
	if excluded {
		kind = model.OrderExclude
	}
	topo := s.cfg.Files.Topology()
	if topo == nil || !slices.Contains(haproxycfg.Order(topo), node) {
		return nil, refused("%q is not a node of this configuration", node)
	}
	err := s.changeBy(ctx, s.order(ctx, kind, node), func(rec *model.Record) (*model.Record, error) {
		next, err := decide.Exclude(rec, node, excluded)
		if err != nil {
			return nil, refused("%v", err)
		}
		return next, nil
	})
	if err != nil {
		return nil, err
	}
	return s.asked().active(), nil
}

// freeze stops the automatic changes, or lets them go on. Frozen already, it takes
// another reason instead of the one that stands there.
func (s *Server) freeze(ctx context.Context, frozen bool, reason string) (any, error) {
	kind := model.OrderUnfreeze
	if frozen {
		kind = model.OrderFreeze
	}
	err := s.changeBy(ctx, s.order(ctx, kind, ""), func(rec *model.Record) (*model.Record, error) {
		return decide.Freeze(rec, frozen, reason, "by an operator through "+s.cfg.Name), nil
	})
	if err != nil {
		return nil, err
	}
	return s.asked().active(), nil
}
