package gossip

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// logBridge is memberlist's log output: it passes the lines on as slog records
// and counts those that say that something was dropped. memberlist has no other
// way to tell of a packet with a wrong key or label; the test
// TestForeignPacketsAreDroppedAndCounted fails when a new version words it
// differently.
type logBridge struct {
	logger *slog.Logger
	drop   func(reason string)
	lines  *lines
}

// lines keeps whoever sends to us from filling our log: what others can cause is
// logged a few times of each kind, and so many times in all.
type lines struct {
	mu    sync.Mutex // guards kinds and what they hold
	kinds map[string]*kindLines
	all   bucket
}

type kindLines struct {
	bucket
	missed int // not logged since the last that was
}

// maxKinds bounds the kinds that are told apart; others can invent names that
// stand in memberlist's lines.
const maxKinds = 64

var (
	rateKind  = rate{0.1, 1} // lines a second of one kind
	rateNoted = rate{0.2, 4} // of one kind of memberlist's that may name members
	rateLines = rate{2, 5}   // of all kinds
)

// due reports whether a line of that kind, of which limit are logged, may be
// logged now and, if so, how many of the kind were not since the last one.
func (l *lines) due(kind string, now time.Time, limit rate) (missed int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.kinds[kind]
	if k == nil && len(l.kinds) >= maxKinds {
		kind = "other"
		if k = l.kinds[kind]; k == nil {
			l.kinds = nil // a day of honest lines comes here too
		}
	}
	if k == nil {
		if l.kinds == nil {
			l.kinds = map[string]*kindLines{}
		}
		k = &kindLines{}
		l.kinds[kind] = k
	}
	if !k.take(now, limit) || !l.all.take(now, rateLines) {
		k.missed++
		return 0, false
	}
	missed, k.missed = k.missed, 0
	return missed, true
}

// warn logs what others have caused, within the limits. kind is constant text.
func (l *lines) warn(logger *slog.Logger, kind, text string, args ...any) {
	if missed, ok := l.due(kind, time.Now(), rateKind); ok {
		if missed > 0 {
			args = append(args, "not_logged", missed)
		}
		logger.Warn(text, args...) //nolint:sloglint // the callers' are constants
	}
}

// kindOf returns the constant beginning of a line of memberlist's: its variables
// are numbers, quoted, or follow a colon or a bracket.
func kindOf(text string) string {
	if i := strings.IndexAny(text, "0123456789'\"`:([%"); i >= 0 {
		text = text[:i]
	}
	return cut(text, 48)
}

// droppedTexts maps memberlist's texts (net.go of v0.7.0) to reasons; the first
// match wins.
var droppedTexts = []struct{ text, reason string }{
	{"unacceptable label", ReasonLabel},
	{"no installed keys could decrypt", ReasonKey},
	{"encryption is configured but remote state is not encrypted", ReasonKey},
	{"remote state is encrypted and encryption is not configured", ReasonKey},
	{"unsupported encryption version", ReasonKey},
	{"handler queue full", ReasonFull},
	{"too small to decrypt", ReasonGarbage},
	{"cannot decrypt empty payload", ReasonGarbage},
	{"label header", ReasonGarbage},
	{"cannot decode label", ReasonGarbage},
	{"invalid checksum", ReasonGarbage},
	{"missing message type", ReasonGarbage},
	{"not supported", ReasonGarbage},
	{"invalid msgType", ReasonGarbage},
	{"Failed to decode", ReasonGarbage},
	{"Failed to decompress", ReasonGarbage},
	{"failed to receive", ReasonGarbage},
	{"exceeds limit", ReasonGarbage},
}

// Write takes one line; log.Logger writes a line at a time.
func (l *logBridge) Write(line []byte) (int, error) {
	text := string(bytes.TrimSpace(line))
	debug := strings.HasPrefix(text, "[DEBUG] ")
	if _, rest, ok := strings.Cut(text, "] "); ok && text[0] == '[' {
		text = rest
	}
	text = strings.TrimPrefix(text, "memberlist: ")
	if debug {
		l.logger.Debug("memberlist", "text", text)
		return len(line), nil
	}
	for _, d := range droppedTexts {
		if strings.Contains(text, d.text) {
			l.drop(d.reason)
			l.lines.warn(l.logger, d.reason, "dropped a gossip message", "reason", d.reason, "memberlist", cut(text, maxLine))
			return len(line), nil
		}
	}
	// What memberlist calls an error is a lost packet or a member that is gone:
	// nothing that an operator has to act on.
	if missed, ok := l.lines.due(kindOf(text), time.Now(), rateNoted); ok {
		args := []any{"text", cut(text, maxLine)}
		if missed > 0 {
			args = append(args, "not_logged", missed)
		}
		l.logger.Info("memberlist", args...)
	}
	return len(line), nil
}

// maxLine bounds a line of memberlist's: names and metadata stand in some, twice.
const maxLine = 512
