// Package scrape serves the metrics on a listener of their own, encrypted and for who knows a password, as a web
// configuration says (exporter-toolkit, the file that Prometheus and its exporters have). The port of HAProxy's checks
// stays plain beside it: HAProxy's checks of /beacon are plain HTTP, and every proxy would fall back to its own stickiness.
package scrape

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/exporter-toolkit/web"
	"golang.org/x/sync/errgroup"

	"github.com/haproxy-peers/haproxy-peers/control/serving"
)

// Config is what a Server is made of.
type Config struct {
	// Bind is ADDR:PORT.
	Bind string
	// WebConfig is the file; it is read again for every connection, and for every request. "": plain, for everybody.
	WebConfig string
	Gatherer  prometheus.Gatherer
	Log       *slog.Logger
}

// Validate tells what is wrong with the configuration.
func (c Config) Validate() error {
	if c.Bind == "" {
		if c.WebConfig != "" {
			return errors.New("metrics-web-config: it is for metrics-bind, which is not given")
		}
		return nil
	}
	if _, _, err := net.SplitHostPort(c.Bind); err != nil {
		return fmt.Errorf("metrics-bind %q: give ADDR:PORT", c.Bind)
	}
	if err := web.Validate(c.WebConfig); err != nil {
		return fmt.Errorf("metrics-web-config %s: %w", c.WebConfig, err)
	}
	return nil
}

// What strangers may take: a password costs a tenth of a second of the processor to check, and one is checked at a time.
var pace = serving.Rate{All: 6, Each: 3}

const (
	maxConns  = 32
	maxHeader = 8 << 10
	readTime  = 5 * time.Second
	writeTime = 10 * time.Second
)

// Server serves /metrics.
type Server struct {
	cfg       Config
	listeners []net.Listener
}

// New returns a server that listens nowhere yet.
func New(c Config) *Server { return &Server{cfg: c} }

// Listen opens the port.
func (s *Server) Listen(ctx context.Context) error {
	all, err := serving.Listen(ctx, s.cfg.Bind)
	if err != nil {
		return fmt.Errorf("metrics-bind %s: %w", s.cfg.Bind, err)
	}
	for _, l := range all {
		s.listeners = append(s.listeners, serving.Bound(serving.Pace(l, pace), maxConns))
	}
	return nil
}

// Run answers until ctx is done.
func (s *Server) Run(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.cfg.Gatherer, promhttp.HandlerOpts{MaxRequestsInFlight: 2}))
	g, ctx := errgroup.WithContext(ctx)
	for _, l := range s.listeners {
		g.Go(func() error { return s.serve(ctx, l, mux) })
	}
	return g.Wait()
}

// serve is Run for one listener: the toolkit changes the server that it is given.
func (s *Server) serve(ctx context.Context, l net.Listener, h http.Handler) error {
	// The pace is one of connections: one request for each.
	one := &http.Protocols{}
	one.SetHTTP1(true)
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: readTime, ReadTimeout: readTime, WriteTimeout: writeTime, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelDebug), Protocols: one,
	}
	srv.SetKeepAlivesEnabled(false)
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := web.Serve(l, srv, &web.FlagConfig{WebConfigFile: &s.cfg.WebConfig}, quiet(s.cfg.Log)); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", s.cfg.Bind, err)
	}
	return nil
}

// quiet keeps the toolkit's greetings for who debugs.
func quiet(log *slog.Logger) *slog.Logger { return slog.New(&lower{log.Handler()}) }

type lower struct{ slog.Handler }

// Handle takes what is only told for a thing of debugging.
func (l *lower) Handle(ctx context.Context, r slog.Record) error {
	if r.Level == slog.LevelInfo {
		r.Level = slog.LevelDebug
		if !l.Enabled(ctx, r.Level) {
			return nil
		}
	}
	return l.Handler.Handle(ctx, r)
}
