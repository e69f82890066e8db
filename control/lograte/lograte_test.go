package lograte

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// world is a handler whose lines the test reads. It is to be made in a synctest bubble, whose clock the test turns.
type world struct {
	*Handler
	log *slog.Logger

	mu  sync.Mutex // guards out, which the line that tells comes to by itself
	out bytes.Buffer
}

func newWorld(level slog.Level) *world {
	w := &world{}
	w.Handler = New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}), prometheus.NewRegistry())
	w.log = slog.New(w.Handler)
	return w
}

// Write takes a line.
func (w *world) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.Write(b)
}

// pass lets time go by.
func (w *world) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// lines returns what was logged since the last call.
func (w *world) lines() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := strings.TrimSpace(w.out.String())
	w.out.Reset()
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// Whatever is logged, and by whomever, there are at most ten lines in any second.
func TestTenLinesASecond(t *testing.T) {
	for _, messages := range []int{1, 3, 20, 1000} {
		bubble := func(t *testing.T) {
			w := newWorld(slog.LevelInfo)
			w.pass(settling + time.Second)
			logs := []*slog.Logger{w.log, w.log.With("node", "a"), w.log.WithGroup("g")}
			var last []int // lines of each of the last hundred hundredths
			for i := range 3000 {
				for j := range 50 {
					logs[j%3].Warn(fmt.Sprintf("message %d", (i*50+j)%messages), "i", i)
				}
				last = append(last, len(w.lines()))
				sum := 0
				for _, n := range last[max(0, len(last)-100):] {
					sum += n
				}
				if sum > total+1 {
					t.Fatalf("%d lines within a second", sum)
				}
				w.pass(10 * time.Millisecond)
			}
			if n := len(w.rate.messages); n > maxMessages+1 {
				t.Errorf("%d messages are remembered", n)
			}
		}
		t.Run(fmt.Sprint(messages), func(t *testing.T) { synctest.Test(t, bubble) })
	}
}

// Repetitions of one message leave room for the others, and what is left out is told.
func TestOthersAreHeard(t *testing.T) { synctest.Test(t, testOthersAreHeard) }

func testOthersAreHeard(t *testing.T) {
	w := newWorld(slog.LevelInfo)
	w.pass(settling + time.Second)
	told := 0
	for second := range 30 {
		for range 100 {
			w.log.Warn("dropped")
			w.pass(10 * time.Millisecond)
		}
		w.log.Error("another")
		other := false
		for _, l := range w.lines() {
			other = other || strings.Contains(l, "msg=another")
			if strings.Contains(l, "left out") {
				told++
				if !strings.Contains(l, "most_of=dropped") {
					t.Errorf("it says %s", l)
				}
			}
		}
		if !other {
			t.Fatalf("in second %d the other message was not logged", second)
		}
	}
	if told < 2 || told > 3 {
		t.Errorf("told %d times in half a minute", told)
	}
	w.log.Warn("dropped")
	w.log.Warn("dropped")
	w.Flush()
	if l := w.lines(); len(l) == 0 || !strings.Contains(l[len(l)-1], "left out") {
		t.Errorf("at the end it says %q", l)
	}
	if n := testutil.ToFloat64(w.rate.dropped); n < 2900 || n > 3002 {
		t.Errorf("%v lines counted", n)
	}
}

// A start says much at once; decisions are always logged, and so is what debug asks for.
func TestNotBounded(t *testing.T) { synctest.Test(t, testNotBounded) }

func testNotBounded(t *testing.T) {
	w := newWorld(slog.LevelDebug)
	for i := range 50 {
		w.log.Info(fmt.Sprintf("found %d", i))
	}
	if n := len(w.lines()); n != 50 {
		t.Errorf("%d lines of 50 at the start", n)
	}
	w.pass(settling + time.Second)
	for range 100 {
		Always(w.log.With("a", 1)).Info("active node")
		w.log.Debug("detail")
	}
	if n := len(w.lines()); n != 200 {
		t.Errorf("%d lines of 200", n)
	}
	if l := slog.New(slog.DiscardHandler); Always(l) != l {
		t.Error("a logger without bounds is another one")
	}
}
