package suite

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/k8s/load"
	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

const (
	loadPod = "load"
	logFile = "/data/log.jsonl"
)

// Tail reads the load's log while it grows. All methods may be called from several goroutines.
type Tail struct {
	kube *Kube
	skew time.Duration // the pod's clock minus ours
	end  context.CancelFunc
	done chan struct{}

	mu   sync.Mutex
	book load.Book
	read int64 // bytes of whole lines
	rest []byte
	err  error
}

// StartTail begins to follow the load pod's log. Stop ends it.
func StartTail(ctx context.Context, kube *Kube) (*Tail, error) {
	t := &Tail{kube: kube, done: make(chan struct{})}
	if err := t.readSkew(ctx); err != nil {
		return nil, err
	}
	ctx, t.end = context.WithCancel(ctx)
	go t.follow(ctx)
	return t, nil
}

// readSkew compares the clocks: marks are made by ours. On a cluster of this machine there is one clock.
func (t *Tail) readSkew(ctx context.Context) error {
	before := time.Now()
	out, err := t.kube.Exec(ctx, loadPod, "load", "/load", "now")
	if err != nil {
		return err
	}
	after := time.Now()
	n, err := strconv.ParseInt(strings.TrimSpace(out), 10, 64)
	if err != nil {
		return fmt.Errorf("the load's clock: %w", err)
	}
	theirs := time.Unix(0, n)
	// One that is within the time of the question may be ours.
	if theirs.Before(before) || theirs.After(after) {
		t.skew = theirs.Sub(before.Add(after.Sub(before) / 2))
	}
	return nil
}

// follow reads on from the last whole line whenever a stream breaks.
func (t *Tail) follow(ctx context.Context) {
	defer close(t.done)
	for ctx.Err() == nil && t.Err() == nil {
		t.mu.Lock()
		t.rest = nil
		from := t.read
		t.mu.Unlock()
		_ = t.kube.Stream(ctx, loadPod, "load", t, "/load", "follow", logFile, "--from", strconv.FormatInt(from, 10))
		lab.Sleep(ctx, 200*time.Millisecond)
	}
}

// Write takes what the stream brings.
func (t *Tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rest = append(t.rest, p...)
	for {
		i := bytes.IndexByte(t.rest, '\n')
		if i < 0 {
			return len(p), nil
		}
		if err := t.book.Add(t.rest[:i]); err != nil {
			t.err = err
			return 0, err
		}
		t.read += int64(i + 1)
		t.rest = t.rest[i+1:]
	}
}

// Err is what makes the log worthless, nil while it is good.
func (t *Tail) Err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// Stop ends the reading.
func (t *Tail) Stop() {
	t.end()
	<-t.done
}

// Run is the load's name for its rows.
func (t *Tail) Run() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.book.Header.Run
}

// Now is this moment on the log's clock.
func (t *Tail) Now() time.Duration { return t.At(time.Now()) }

// At is a moment on the log's clock.
func (t *Tail) At(moment time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return moment.Add(t.skew).Sub(t.book.Header.Begin)
}

// Cut is the log between two moments.
func (t *Tail) Cut(from, to time.Duration, marks []lab.Mark) *lab.Log {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.book.Cut(from, to, marks)
}

// WaitFlowing waits until each kind of client has had a commit acknowledged that was begun after the call, by this node
// ("": any).
func (t *Tail) WaitFlowing(ctx context.Context, node string) error {
	after := t.Now()
	return Until(ctx, "commits of all clients on "+node, 50*time.Millisecond, func() (bool, string) {
		if err := t.Err(); err != nil {
			return false, err.Error()
		}
		return t.flowing(after, node)
	})
}

func (t *Tail) flowing(after time.Duration, node string) (bool, string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	seen := map[string]bool{}
	var last lab.Commit
	commits := t.book.Commits()
	for i := len(commits) - 1; i >= 0; i-- {
		c := commits[i]
		if c.Ack < after {
			break
		}
		if last.Via == "" {
			last = c
		}
		if c.Acked() && c.Start >= after && (node == "" || c.Node == node) {
			seen[c.Via] = true
		}
	}
	return seen[load.ViaConnections] && seen[load.ViaPool], fmt.Sprintf("seen of %v; the last was %+v", seen, last)
}

// CaughtUp waits until the log has been read up to a moment of its clock.
func (t *Tail) CaughtUp(ctx context.Context, to time.Duration) error {
	return Until(ctx, "the load's log", 50*time.Millisecond, func() (bool, string) {
		t.mu.Lock()
		defer t.mu.Unlock()
		commits := t.book.Commits()
		if len(commits) == 0 {
			return false, "it is empty"
		}
		last := commits[len(commits)-1].Ack
		return last >= to, fmt.Sprintf("read up to %v of %v", last, to)
	})
}

// Lost returns the acknowledged commits of the whole run that a database pod does not have.
func (t *Tail) Lost(ctx context.Context, kube *Kube, pod string) ([]lab.Commit, error) {
	t.mu.Lock()
	log := t.book.Cut(0, time.Duration(1<<62), nil) // before the rows are read: later commits are no matter
	t.mu.Unlock()
	out, err := kube.Exec(ctx, loadPod, "load", "/load", "rows", "--address", pod+".pxc:3306", "--run", log.Run)
	if err != nil {
		return nil, err
	}
	rows := map[lab.Key]bool{}
	for line := range strings.Lines(out) {
		var key lab.Key
		if _, err := fmt.Sscan(line, &key.Via, &key.Client, &key.Seq); err != nil {
			return nil, fmt.Errorf("rows of %s: %q: %w", pod, line, err)
		}
		rows[key] = true
	}
	return load.Lost(log, rows), nil
}
