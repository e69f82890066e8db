package gossip

import (
	"bytes"
	"context"
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

	mu   sync.Mutex
	last map[string]time.Time // reason -> last time that it was logged
}

// quiet is how long a reason for dropping is not logged again: who sends to us
// must not be able to fill our log.
const quiet = 10 * time.Second

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
	level, text := splitLevel(text)
	text = strings.TrimPrefix(text, "memberlist: ")
	if strings.Contains(text, errUnfit.Error()) {
		return len(line), nil // counted where it was refused
	}
	if level > slog.LevelDebug {
		for _, d := range droppedTexts {
			if strings.Contains(text, d.text) {
				l.drop(d.reason)
				if l.due(d.reason) {
					l.logger.Warn("dropped a gossip message", "reason", d.reason, "memberlist", text)
				}
				return len(line), nil
			}
		}
	}
	// What memberlist calls an error is a lost packet or a member that is gone:
	// nothing that an operator has to act on.
	if level > slog.LevelInfo {
		level = slog.LevelInfo
	}
	l.logger.Log(context.Background(), level, "memberlist", "text", text)
	return len(line), nil
}

// due reports whether reason was not logged for a while, and notes that it now is.
func (l *logBridge) due(reason string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if t, ok := l.last[reason]; ok && now.Sub(t) < quiet {
		return false
	}
	if l.last == nil {
		l.last = map[string]time.Time{}
	}
	l.last[reason] = now
	return true
}

func splitLevel(text string) (slog.Level, string) {
	tag, rest, ok := strings.Cut(text, " ")
	if !ok {
		return slog.LevelInfo, text
	}
	switch tag {
	case "[DEBUG]":
		return slog.LevelDebug, rest
	case "[INFO]":
		return slog.LevelInfo, rest
	case "[WARN]":
		return slog.LevelWarn, rest
	case "[ERR]", "[ERROR]":
		return slog.LevelError, rest
	}
	return slog.LevelInfo, text
}
