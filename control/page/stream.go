package page

import (
	"bytes"
	"encoding/json"
	"net/http"
	"sync"
	"time"
)

const (
	// mostViewers is how many browsers are kept fresh at a time.
	mostViewers = 32
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

	mu      sync.Mutex // guards what follows
	viewers map[chan frame]bool
	stop    chan struct{} // ends the one that renders
}

// join adds a viewer; nil where there are too many.
func (h *hub) join() chan frame {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.viewers) >= mostViewers {
		return nil
	}
	if h.viewers == nil {
		h.viewers = map[chan frame]bool{}
	}
	c := make(chan frame, 1)
	h.viewers[c] = true
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

// turn renders at once and then every second until stop.
func (h *hub) turn(stop chan struct{}) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		if f, err := h.render(); err == nil {
			h.send(f)
		}
		select {
		case <-stop:
			return
		case <-t.C:
		}
	}
}

// send gives every viewer the newest frame: one that is slow misses those between.
func (h *hub) send(f frame) {
	h.mu.Lock()
	defer h.mu.Unlock()
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
	frames := p.hub.join()
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
