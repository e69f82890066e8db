package admin

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/haproxycfg"
	"github.com/haproxy-peers/haproxy-peers/control/journal"
	"github.com/haproxy-peers/haproxy-peers/control/published"
	"github.com/haproxy-peers/haproxy-peers/control/serving"
	"github.com/haproxy-peers/haproxy-peers/control/vote"
)

// Config is what a Server is made of. Without a Gatherer there is no /metrics; everything
// else is needed.
type Config struct {
	// Name is this member's, Version its build's, and DataDir where its record lies.
	Name, Version, DataDir string
	// Socket is the path of the admin API's unix socket, HTTPBind ADDR:PORT of what
	// strangers may ask.
	Socket, HTTPBind string
	// AdminBind is ADDR:PORT of the admin API for who has a certificate, "" for none, and AdminCerts its files.
	AdminBind  string
	AdminCerts serving.Certificates
	// Observe: this daemon never writes. Witness: it has no HAProxy.
	Observe, Witness bool
	// InitialVoters are those of the command line, none where haproxy.cfg names them.
	InitialVoters []string
	// Warnings are sentences on how this daemon is set up, for status.
	Warnings []string
	Gatherer prometheus.Gatherer

	// Moment is what questions are answered from.
	Moment func() published.Moment
	// Beacon is the answer of /beacon, Turning that of /healthz.
	Beacon, Turning func() bool
	// Vote is the loop that orders go to, and Wake has HAProxy looked at after one.
	Vote *vote.Loop
	Wake func()
	// InTransaction counts the sessions of a node that are in a transaction, as the node's
	// own list has them.
	InTransaction func(ctx context.Context, node string) (int, error)
	// Files are haproxy.cfg's, which name the nodes.
	Files *haproxycfg.Files

	// Now is time.Now.
	Now    func() time.Time
	Events *journal.Journal
	Log    *slog.Logger
}

// Server answers questions and takes orders.
type Server struct {
	cfg    Config
	public []net.Listener
	remote []net.Listener
	bounds serving.Options // of remote
	socket net.Listener
}

// New returns a server that listens nowhere yet.
func New(cfg Config) *Server { return &Server{cfg: cfg} }

// Status is everything, as it is told to who asks for it.
func (s *Server) Status() api.Status { return s.asked().status() }

// Overview is all answers of this moment.
func (s *Server) Overview() api.Overview {
	a := s.asked()
	return api.Overview{Status: a.status(), Explanation: a.explain(), History: a.history(s.cfg.Events.NewestFirst()), Move: a.move()}
}

// Listen opens the admin socket and the ports. Where one cannot be had none is kept.
func (s *Server) Listen(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			for _, l := range append(s.public, s.remote...) {
				_ = l.Close()
			}
		}
	}()
	if s.public, err = serving.Listen(ctx, s.cfg.HTTPBind); err != nil {
		return fmt.Errorf("http-bind %s: %w", s.cfg.HTTPBind, err)
	}
	if s.cfg.AdminBind != "" {
		if s.bounds, err = s.remoteBounds(); err != nil {
			return fmt.Errorf("admin-tls: %w", err)
		}
		if s.remote, err = serving.Listen(ctx, s.cfg.AdminBind); err != nil {
			return fmt.Errorf("admin-bind %s: %w", s.cfg.AdminBind, err)
		}
	}
	s.socket, err = listenAdmin(s.cfg.Socket)
	return err
}

// Run answers where Listen has listened until ctx is done.
func (s *Server) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	public := s.Public()
	for _, l := range s.public {
		g.Go(func() error { return serve(ctx, l, public, serving.Options{Log: s.cfg.Log}) })
	}
	remote := s.Remote()
	for _, l := range s.remote {
		g.Go(func() error { return serve(ctx, l, remote, s.bounds) })
	}
	g.Go(func() error { return serve(ctx, s.socket, s.Private(), adminBounds(s.cfg.Log)) })
	return g.Wait()
}

// answer is what one question is answered from.
type answer struct {
	cfg *Config
	published.Moment
}

// asked is the present, for one answer.
func (s *Server) asked() *answer { return &answer{cfg: &s.cfg, Moment: s.cfg.Moment()} }

// unstarted says why nothing can be ordered yet.
func (s *Server) unstarted() *api.Error {
	return &api.Error{Code: api.CodeUnavailable, Message: "the daemon has not started: " + cmp.Or(s.cfg.Files.Problem(), "haproxy.cfg is not read yet")}
}
