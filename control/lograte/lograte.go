// Package lograte bounds how many lines a process logs, so that nobody who can make
// it log something can fill its disk, hide what matters among repetitions, or take
// its processor. What is left out is counted and told: a line names how many lines
// it was, and of which message most.
package lograte

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Bounds of the lines of all loggers that share a Handler.
const (
	// total is how many lines there are within any second, the one that tells of
	// those left out not counted.
	total = 9
	// burst is how many lines of one message there are at once, and every how much
	// later there may be one more.
	burst = 5
	every = time.Second
	// settling is how long after the start only the bound of each message holds: a
	// start says once what it has found, and is nobody's attack.
	settling = 10 * time.Second
	// tellAfter is the time from the first line left out to the line that tells.
	tellAfter = 10 * time.Second
	// maxMessages is how many messages are told apart; those of this program are fewer.
	maxMessages = 256
)

// Handler is a slog.Handler that passes on to another one what is within the
// bounds. Debug lines are not bounded: who asks for them wants all.
type Handler struct {
	next slog.Handler
	rate *rate
}

// rate is what the handlers made by With and WithGroup share.
type rate struct {
	tell    slog.Handler
	dropped prometheus.Counter

	mu       sync.Mutex // guards what follows
	start    time.Time
	recent   [total]time.Time // of the last lines, as a ring
	oldest   int
	messages map[string]*message
	pending  bool // somebody is going to tell
}

// message is what is known of the lines of one message.
type message struct {
	level float64
	at    time.Time
	out   int // left out and not told
}

// New returns a handler in front of next, with its counter of lines left out.
func New(next slog.Handler, r prometheus.Registerer) *Handler {
	return &Handler{next: next, rate: &rate{
		tell: next, start: time.Now(), messages: map[string]*message{},
		dropped: promauto.With(r).NewCounter(prometheus.CounterOpts{
			Name: "haproxyd_log_lines_dropped_total", Help: "Lines that were not logged because there were too many of them.",
		}),
	}}
}

// Always returns the logger without the bounds, for what is rare and must be found
// in the log whatever else happens: decisions, and an operator's orders.
func Always(l *slog.Logger) *slog.Logger {
	if h, ok := l.Handler().(*Handler); ok {
		return slog.New(h.next)
	}
	return l
}

// Enabled is the next handler's.
func (h *Handler) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

// WithAttrs returns a handler within the same bounds.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &Handler{next: h.next.WithAttrs(attrs), rate: h.rate}
}

// WithGroup returns a handler within the same bounds.
func (h *Handler) WithGroup(name string) slog.Handler {
	return &Handler{next: h.next.WithGroup(name), rate: h.rate}
}

// Handle passes a line on, or counts it.
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level > slog.LevelDebug && !h.rate.pass(r.Message) {
		return nil
	}
	return h.next.Handle(ctx, r)
}

// Flush tells of what was left out until now, before the process ends.
func (h *Handler) Flush() { h.rate.summary() }

// pass tells whether a line of this message is within the bounds.
func (r *rate) pass(text string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	m := r.messages[text]
	if m == nil {
		if len(r.messages) >= maxMessages {
			text = "" // all that are new share one
		}
		if m = r.messages[text]; m == nil {
			m = &message{level: burst, at: now}
			r.messages[text] = m
		}
	}
	m.level = min(burst, m.level+float64(now.Sub(m.at))/float64(every))
	m.at = now
	full := now.Sub(r.start) > settling && !r.recent[r.oldest].IsZero() && now.Sub(r.recent[r.oldest]) < time.Second
	if m.level >= 1 && !full {
		m.level--
		r.recent[r.oldest] = now
		r.oldest = (r.oldest + 1) % total
		return true
	}
	m.out++
	r.dropped.Inc()
	if !r.pending {
		r.pending = true
		time.AfterFunc(tellAfter, r.summary)
	}
	return false
}

// summary logs one line on those that were left out since the last one.
func (r *rate) summary() {
	r.mu.Lock()
	lines, most, mostText := 0, 0, ""
	for text, m := range r.messages {
		lines += m.out
		if m.out > most {
			most, mostText = m.out, text
		}
		m.out = 0
	}
	r.pending = false
	r.mu.Unlock()
	if lines == 0 {
		return
	}
	line := slog.NewRecord(time.Now(), slog.LevelWarn, "log lines were left out: there were too many", 0)
	line.AddAttrs(slog.Int("lines", lines), slog.String("most_of", mostText), slog.Int("of_these", most))
	_ = r.tell.Handle(context.Background(), line) // where the log cannot be written, nobody can be told
}
