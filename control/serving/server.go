package serving

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Options are the bounds of a Server. The zero value of each field but MaxBody
// means its default.
type Options struct {
	// Conns is how many connections are served at once from this host, and how many
	// from others, some 15 KiB each. Twice as many wait for the end of their request's
	// header. Default 256, or less where this process may open few files.
	Conns int
	// MaxBody is the largest body of a request, in bytes. Default 0: a request with
	// a body is refused.
	MaxBody int64
	// ReadWithin is the time in which a request must have come whole. Default 2 s.
	ReadWithin time.Duration
	// TLS is how connections are encrypted; nil: not at all. What a handshake costs is bounded as Pace does.
	TLS *tls.Config
	// Log gets what goes wrong while serving. Default: nobody.
	Log *slog.Logger
}

const (
	// maxHeader is the largest header of a request, in bytes; net/http adds 4 KiB to it.
	maxHeader = 4 << 10
	// writeWithin is the time from the end of a request to that of its answer.
	writeWithin = 10 * time.Second
)

func (o Options) withDefaults() Options {
	if o.Conns == 0 {
		o.Conns = 256
		// Three for each of them, at two listeners, and a quarter for all else.
		var files unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err == nil && files.Cur < 8*256 {
			o.Conns = max(int(files.Cur/8), 8) //nolint:gosec // it is small
		}
	}
	o.ReadWithin = cmp.Or(o.ReadWithin, 2*time.Second)
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	return o
}

// Server is an http.Server within the bounds of its Options.
type Server struct {
	options Options
	crowd   crowd
	http    http.Server
}

// New returns a server that answers with h.
func New(h http.Handler, o Options) *Server {
	s := &Server{options: o.withDefaults()}
	s.crowd.max = s.options.Conns
	s.http = http.Server{
		Handler:           s.whole(h),
		ReadHeaderTimeout: s.options.ReadWithin,
		WriteTimeout:      writeWithin,
		MaxHeaderBytes:    maxHeader,
		ConnContext:       s.connContext,
		ErrorLog:          slog.NewLogLogger(says{s.options.Log.Handler()}, slog.LevelWarn),
	}
	// One request for each connection: over one that is kept, requests can come
	// without a pause, and nothing that waits for the processor would get its turn.
	s.http.SetKeepAlivesEnabled(false)
	return s
}

// says takes what net/http says into the log, under one message for all: each of its texts has a stranger's port in it, and
// as messages they would take the room of every other one. Whoever only fails to begin TLS is for who debugs.
type says struct{ slog.Handler }

// Handle takes one line.
func (s says) Handle(ctx context.Context, r slog.Record) error {
	level := r.Level
	if strings.Contains(r.Message, "TLS handshake error") {
		level = slog.LevelDebug
	}
	if !s.Enabled(ctx, level) {
		return nil
	}
	one := slog.NewRecord(r.Time, level, "a connection went wrong", r.PC)
	one.AddAttrs(slog.String("error", r.Message))
	return s.Handler.Handle(ctx, one)
}

// Serve answers what comes on l until Close or Shutdown, which end it with nil. It comes
// through a lobby where the listener can have one.
func (s *Server) Serve(l net.Listener) error {
	if s.options.TLS != nil { // nothing can be read before the handshake
		l = tls.NewListener(&door{Listener: Pace(l, handshakes), crowd: &s.crowd}, s.options.TLS)
	} else {
		if b, err := newLobby(l, &s.options); err == nil {
			l = b
		} else {
			s.options.Log.Debug("connections do not wait in a lobby", "error", err)
		}
		l = &door{Listener: l, crowd: &s.crowd}
	}
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Shutdown ends Serve, and waits until the requests that have come are answered or
// ctx is done.
func (s *Server) Shutdown(ctx context.Context) error { return s.http.Shutdown(ctx) }

// Close ends Serve and every connection.
func (s *Server) Close() error { return s.http.Close() }

type guestKey struct{}

func (s *Server) connContext(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	g := c.(*guest) //nolint:forcetypeassert // the door makes no others
	return context.WithValue(ctx, guestKey{}, g)
}

// whole lets a handler run once its request is there to the last byte: until then
// the connection can lose its place, from then on it cannot.
func (s *Server) whole(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.readBody(w, r) {
			return
		}
		g := r.Context().Value(guestKey{}).(*guest) //nolint:forcetypeassert // put there by connContext
		if !s.crowd.busy(g) {
			return // it has lost its place meanwhile
		}
		defer s.crowd.waits(g)
		h.ServeHTTP(w, r)
	})
}

// readBody puts the request's body into memory; false where it was refused, or did
// not come in time.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request) bool {
	if r.ContentLength == 0 {
		return true
	}
	refuse := func(status int, text string) bool {
		w.Header().Set("Connection", "close") // the rest is not waited for
		http.Error(w, text, status)
		return false
	}
	if r.ContentLength > s.options.MaxBody || s.options.MaxBody == 0 {
		return refuse(http.StatusRequestEntityTooLarge, "the request's body is too large")
	}
	// Not http.Server's ReadTimeout: when that is over while a handler runs, it ends
	// the context of a request that came in time.
	control := http.NewResponseController(w)
	if err := control.SetReadDeadline(time.Now().Add(s.options.ReadWithin)); err != nil {
		return refuse(http.StatusInternalServerError, "this connection has no deadlines")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.options.MaxBody))
	if err != nil {
		return refuse(http.StatusRequestEntityTooLarge, "the request's body is too large, or came too late")
	}
	if err := control.SetReadDeadline(time.Time{}); err != nil {
		return refuse(http.StatusInternalServerError, "this connection has no deadlines")
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return true
}
