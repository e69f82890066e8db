package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/serving"
)

// serve answers requests on l until ctx is done.
func serve(ctx context.Context, l net.Listener, h http.Handler, o serving.Options) error {
	srv := serving.New(h, o)
	stop := context.AfterFunc(ctx, func() {
		sctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = srv.Shutdown(sctx)
	})
	defer stop()
	if err := srv.Serve(l); err != nil {
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	}
	return nil
}

// maxAdminConns is how many connections the admin socket holds: an operator's
// commands, and haproxyctl's waiting, ask one after the other.
const maxAdminConns = 64

// adminBounds are those of the admin API: its requests have a body.
func adminBounds(log *slog.Logger) serving.Options {
	return serving.Options{Log: log, Conns: maxAdminConns, MaxBody: 64 << 10}
}

// dear is how often strangers are answered what takes the processor for a while:
// a scrape takes some milliseconds of it, which the loops need.
var dear = serving.Rate{All: 40, Each: 20}

// Public serves what HAProxy, the kubelet and Prometheus ask. Nothing
// there changes anything.
func (s *Server) Public() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /beacon", func(w http.ResponseWriter, _ *http.Request) {
		if s.cfg.Beacon() {
			writeText(w, http.StatusOK, "steering")
			return
		}
		writeText(w, http.StatusServiceUnavailable, "not steering")
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if s.cfg.Turning() {
			writeText(w, http.StatusOK, "turning")
			return
		}
		writeText(w, http.StatusServiceUnavailable, "not turning")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if ok, why := s.asked().ready(); !ok {
			writeText(w, http.StatusServiceUnavailable, why)
			return
		}
		writeText(w, http.StatusOK, "ready")
	})
	mux.Handle("GET /active", serving.Throttle(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, s.asked().active())
	}), dear))
	if s.cfg.Gatherer != nil {
		mux.Handle("GET /metrics", serving.Throttle(promhttp.HandlerFor(s.cfg.Gatherer, promhttp.HandlerOpts{}), dear))
	}
	return mux
}

func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = fmt.Fprintln(w, text)
}

// ready is /readyz: this proxy routes to the agreed active, or works natively
// with a usable server.
func (a *answer) ready() (bool, string) {
	l := a.Look
	switch {
	case a.cfg.Witness:
		return true, ""
	case l.At.IsZero():
		return false, cmp.Or(a.FileProblem, "HAProxy was not looked at yet")
	case !l.Reachable:
		return false, l.Problem
	case l.Fenced != "":
		return false, "fenced: " + l.Fenced
	case l.Want.MayWrite && !l.Result.Converged:
		return false, l.Result.Reason
	case l.Effective != "":
		return true, ""
	}
	for _, n := range l.Nodes {
		if n.State == "up" {
			return true, ""
		}
	}
	return false, "no usable server"
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(api.WithLists(v)) // the client is gone: nobody to tell
}

func writeError(w http.ResponseWriter, e *api.Error) {
	status := map[string]int{
		api.CodeBadRequest: http.StatusBadRequest, api.CodeRefused: http.StatusConflict, api.CodeForbidden: http.StatusForbidden,
		api.CodeNoMajority:  http.StatusServiceUnavailable,
		api.CodeUnavailable: http.StatusServiceUnavailable, api.CodeNotFound: http.StatusNotFound,
		api.CodeUnknown: http.StatusGatewayTimeout,
	}[e.Code]
	status = cmp.Or(status, http.StatusInternalServerError)
	writeJSON(w, status, e)
}
