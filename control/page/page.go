package page

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/serving"
)

//go:embed assets
var assets embed.FS

// Config is what a Page is made of; everything is needed.
type Config struct {
	// Bind is ADDR:PORT.
	Bind string
	// Overview is what is shown, API answers below /v1/, at a rate of its own.
	Overview func() api.Overview
	API      http.Handler
	Now      func() time.Time
	Log      *slog.Logger
}

// Page serves the page.
type Page struct {
	cfg   Config
	hub   hub
	again time.Duration // after which a port that cannot be had is tried again
	done  chan struct{} // Run ends
}

// New returns a page that nobody can see yet.
func New(cfg Config) *Page {
	p := &Page{cfg: cfg, again: again, done: make(chan struct{})}
	p.hub.render = p.rendered
	return p
}

// again is how long after it could not listen the page tries once more.
const again = 10 * time.Second

// Run serves until ctx is done. A port that another process has is no reason for a daemon to end: it is tried again.
func (p *Page) Run(ctx context.Context) error {
	defer close(p.done)
	for last := ""; ; {
		listeners, err := serving.Listen(ctx, p.cfg.Bind)
		if err == nil {
			if err = p.serve(ctx, listeners); err == nil {
				return nil // ctx is done
			}
		}
		if err.Error() != last {
			last = err.Error()
			p.cfg.Log.Warn("the page cannot be served, it is tried again: give --ui-bind another address, or off", "ui_bind", p.cfg.Bind, "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(p.again):
		}
	}
}

func (p *Page) serve(ctx context.Context, listeners []net.Listener) error {
	// Who looks holds a connection, and twice as many more may wait.
	srv := serving.New(p.Handler(), serving.Options{Log: p.cfg.Log, Conns: 2 * mostViewers})
	ended := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() { ended <- srv.Serve(l) }()
	}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	var first error
	for range listeners {
		if err := <-ended; err != nil && first == nil {
			first = fmt.Errorf("serve the page at %s: %w", p.cfg.Bind, err)
			_ = srv.Close()
		}
	}
	return first
}

// dear is how often the page is rendered for who asks for it whole.
var dear = serving.Rate{All: 20, Each: 10}

// Handler answers everything.
func (p *Page) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", serving.Throttle(http.HandlerFunc(p.whole), dear))
	mux.HandleFunc("GET /live", p.live)
	mux.Handle("GET /v1/", p.cfg.API)
	files, err := fs.Sub(assets, "assets")
	if err != nil {
		panic(err) // the folder is embedded
	}
	for _, name := range []string{"page.css", "page.js"} {
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, files, name) })
	}
	return p.guarded(mux)
}

// policy lets the page load what this daemon serves and nothing else, and nobody put it into a frame.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// guarded sets what a browser is to hold by. On loopback it answers to addresses and to localhost alone: a name that
// somebody else's DNS gives this address is how a page from elsewhere would read this one.
func (p *Page) guarded(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", policy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cache-Control", "no-store")
		if a, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && onLoopback(a) && !literal(r.Host) {
			http.Error(w, "this page answers to localhost and to addresses only: ask for it by one, or have your proxy set the Host header to one", http.StatusMisdirectedRequest)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func onLoopback(a net.Addr) bool {
	at, err := netip.ParseAddrPort(a.String())
	return err == nil && at.Addr().Unmap().IsLoopback()
}

// literal tells whether a Host header is an address or localhost.
func literal(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if n := len(host); n > 1 && host[0] == '[' && host[n-1] == ']' {
		host = host[1 : n-1]
	}
	_, err := netip.ParseAddr(host)
	return err == nil || host == "localhost"
}

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"stamp":  func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"clock":  func(t time.Time) string { return t.UTC().Format(time.TimeOnly) },
	"moment": func(t time.Time) string { return t.UTC().Format("Jan 2 15:04:05") },
	"bad":    func(text string) mark { return mark{"bad", text} },
}).ParseFS(assets, "assets/page.html"))

// shown is one rendering.
type shown struct {
	View view
	At   time.Time
}

func (p *Page) see() shown {
	now := p.cfg.Now().UTC()
	return shown{View: see(p.cfg.Overview(), now), At: now}
}

func (p *Page) whole(w http.ResponseWriter, _ *http.Request) {
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, "page", p.see()); err != nil {
		p.cfg.Log.Error("the page cannot be rendered", "error", err)
		http.Error(w, "this page cannot be rendered: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(b.Bytes()) // the reader is gone: nobody to tell
}

// rendered is what viewers get now. Whatever goes wrong in it is the page's trouble, and not that of a daemon that steers.
func (p *Page) rendered() (f frame, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
		if err != nil {
			p.cfg.Log.Error("the page cannot be rendered", "error", err)
		}
	}()
	s := p.see()
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, "main", s.View); err != nil {
		return frame{}, err
	}
	return frame{
		main: b.Bytes(), sum: sha256.Sum256(b.Bytes()),
		beat: beat{At: s.At.Format(time.RFC3339), Title: s.View.State.Text + " · " + s.View.Taker + " · " + s.View.Status.Member},
	}, nil
}
