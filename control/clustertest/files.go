package clustertest

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/configs"
	"github.com/haproxy-peers/haproxy-peers/control/haproxycfg"
)

// Files is px0's haproxy.cfg with the text given, read.
func Files(t *testing.T, config string, log *slog.Logger) *haproxycfg.Files {
	t.Helper()
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	files := &haproxycfg.Files{Paths: []string{file}, Reading: configs.Reading{LocalPeer: "px0"}, Log: log}
	if err := files.Refresh(time.Now()); err != nil {
		t.Fatal(err)
	}
	return files
}

// Log keeps what is written to it, and may be read meanwhile.
type Log struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String is what was written.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Has tells whether text was written.
func (l *Log) Has(text string) bool { return strings.Contains(l.String(), text) }
