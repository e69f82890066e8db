package page

import (
	"bytes"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/serving"
)

const (
	// mostViewers is how many browsers are kept fresh at a time.
	mostViewers = 32
	// mostOfOne is how many of one address are.
	mostOfOne = 16
	// every is how often the page is looked at for who looks.
	every = time.Second
	// sentWithin is the time that a browser has to take what it is sent.
	sentWithin = 5 * time.Second
)

// frame is one rendering, for all viewers.
type frame struct {
	main []byte
	sum  [32]byte
	beat beat
}

// beat says that the daemon lives.
type beat struct {
	At    string `json:"at"`
	Title string `json:"title"`
}

// hub renders for all viewers, while there are any.
type hub struct {
	render func() (frame, error)

	mu      sync.Mutex            // guards what follows
	viewers map[chan frame]string // by where they are
	stop    chan struct{}         // ends the one that renders
	last    frame
	at      time.Time // it was rendered, or could not be
}

// join adds a viewer; nil where there are too many, or too many from there. What was rendered within the last second is
// what it gets first.
func (h *hub) join(from string) chan frame {
	h.mu.Lock()
	defer h.mu.Unlock()
	same := 0
	for _, other := range h.viewers {
		if other == from {
			same++
		}
	}
	if len(h.viewers) >= mostViewers || same >= mostOfOne {
		return nil
	}
	if h.viewers == nil {
		h.viewers = map[chan frame]string{}
	}
	c := make(chan frame, 1)
	h.viewers[c] = from
	if h.last.main != nil && time.Since(h.at) < every {
		c <- h.last
	}
	if len(h.viewers) == 1 {
		h.stop = make(chan struct{})
		go h.turn(h.stop)
	}
	return c
}

func (h *hub) leave(c chan frame) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.viewers, c)
	if len(h.viewers) == 0 {
		close(h.stop)
	}
}

// due is how long it is until the next rendering.
func (h *hub) due() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return every - time.Since(h.at)
}

// turn renders every second until stop, and not more often, whoever comes and goes.
func (h *hub) turn(stop chan struct{}) {
	t := time.NewTimer(h.due())
	defer t.Stop()
	for {
		select {
		case <-stop:
			return
		case <-t.C:
		}
		if f, err := h.render(); err == nil {
			h.send(f)
		} else {
			h.mu.Lock()
			h.at = time.Now()
			h.mu.Unlock()
		}
		t.Reset(max(h.due(), every/10))
	}
}

// send gives every viewer the newest frame: one that is slow misses those between.
func (h *hub) send(f frame) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last, h.at = f, time.Now()
	for c := range h.viewers {
		select {
		case <-c:
		default:
		}
		c <- f
	}
}

// live sends what changes for as long as the browser stays.
func (p *Page) live(w http.ResponseWriter, r *http.Request) {
	frames := p.hub.join(serving.Host(r.RemoteAddr))
	if frames == nil {
		w.Header().Set("Retry-After", "10")
		http.Error(w, "too many look at this page", http.StatusServiceUnavailable)
		return
	}
	defer p.hub.leave(frames)
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	var last [32]byte
	for {
		select {
		case <-r.Context().Done():
			return
		case <-p.done:
			return
		case f := <-frames:
			var b bytes.Buffer
			data, err := json.Marshal(f.beat)
			if err != nil {
				return
			}
			event(&b, "beat", data) // first: what follows is fresh
			if f.sum != last {
				last = f.sum
				event(&b, "main", f.main)
			}
			if out.SetWriteDeadline(time.Now().Add(sentWithin)) != nil {
				return
			}
			if _, err := w.Write(b.Bytes()); err != nil || out.Flush() != nil {
				return
			}
		}
	}
}

// event writes one server-sent event. A carriage return would end a line in the middle of somebody's text.
func event(b *bytes.Buffer, name string, data []byte) {
	b.WriteString("event: " + name + "\n")
	for line := range bytes.Lines(bytes.ReplaceAll(data, []byte("\r"), []byte(" "))) {
		b.WriteString("data: ")
		b.Write(bytes.TrimSuffix(line, []byte("\n")))
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
}
