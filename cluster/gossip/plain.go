package gossip

import (
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	// plainFor is how long a sender counts as sending plain packets after one.
	plainFor = 15 * time.Second
	// maxPlain bounds the addresses of plain senders that are remembered.
	maxPlain = 64
)

// tookPlain counts a packet that was taken although it was not encrypted, and
// notes who sent it. That may be this process: it may send to the process before
// it, that is a member still and had its address.
func (s *seal) tookPlain(from string, now time.Time) {
	s.mu.Lock()
	own := s.own
	s.mu.Unlock()
	if from != own {
		s.metrics.plain.Inc()
		s.plain.note(from, now)
	}
}

// unlabel returns what follows the label, and whether it is that one.
func unlabel(b []byte, label string) ([]byte, bool) {
	n := 2 + len(label)
	if len(b) < n || b[0] != typeLabel || int(b[1]) != len(label) || string(b[2:n]) != label {
		return nil, false
	}
	return b[n:], true
}

// plainSenders remembers who sent plain packets lately. The zero value is empty.
type plainSenders struct {
	mu   sync.Mutex // guards last
	last map[string]time.Time
}

func (p *plainSenders) note(address string, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.last[address]; !ok && len(p.last) >= maxPlain {
		p.trimLocked(now)
		if len(p.last) >= maxPlain {
			return // the count tells enough
		}
	}
	if p.last == nil {
		p.last = map[string]time.Time{}
	}
	p.last[address] = now
}

func (p *plainSenders) trimLocked(now time.Time) {
	maps.DeleteFunc(p.last, func(_ string, t time.Time) bool { return now.Sub(t) > plainFor })
}

// lately returns the addresses, ordered.
func (p *plainSenders) lately(now time.Time) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trimLocked(now)
	return slices.Sorted(maps.Keys(p.last))
}
