package gossip

import (
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"net"
	"slices"
	"sync"
	"time"
)

const (
	// mlVersion is the encryption version that all daemons write. Version 0 pads,
	// and memberlist panics on a padding that is wrong.
	mlVersion = 1
	// mlSealed is the length of an encrypted message of one byte; memberlist
	// panics on a stream whose message is empty.
	mlSealed = 1 + nonceSize + 1 + tagSize
)

const (
	// plainFor is how long a sender counts as sending plain packets after one.
	plainFor = 15 * time.Second
	// maxPlain bounds the addresses of plain senders that are remembered.
	maxPlain = 64
)

// errUnfit is what a stream ends with that memberlist must not see.
var errUnfit = errors.New("the seal refused this gossip stream")

// inspect reports whether memberlist may see a packet, and counts plain ones
// while they are taken. from is "" for one that came sealed.
func (s *seal) inspect(b []byte, from string) bool {
	body, ours := unlabel(b, s.label)
	if !ours || len(body) == 0 {
		return true // memberlist counts it
	}
	if s.mode == EncryptRequire {
		if body[0] != 0 {
			return true
		}
		// A plain ping, or encryption version 0.
		s.metrics.drop(ReasonKey)
		return false
	}
	if body[0] <= mlVersion {
		if _, ours := s.decrypt(nil, body, []byte(s.label)); ours {
			if body[0] == mlVersion {
				return true
			}
			s.metrics.drop(ReasonGarbage)
			return false
		}
	}
	if body[0] <= typeError && from != "" {
		s.metrics.plain.Inc()
		s.plain.note(from, time.Now())
	}
	return true
}

// unlabel returns what follows the label, and whether it is that one.
func unlabel(b []byte, label string) ([]byte, bool) {
	n := 2 + len(label)
	if len(b) < n || b[0] != typeLabel || int(b[1]) != len(label) || string(b[2:n]) != label {
		return nil, false
	}
	return b[n:], true
}

// decrypt opens an encrypted packet with one of our keys; see guard.decrypt.
func (s *seal) decrypt(dst, body, beside []byte) ([]byte, bool) {
	for _, k := range *s.keys.Load() {
		if plain, ok := opens(k.aead, dst, body, beside); ok {
			return plain, true
		}
	}
	return dst, false
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
	for a, t := range p.last {
		if now.Sub(t) > plainFor {
			delete(p.last, a)
		}
	}
}

// lately returns the addresses, ordered.
func (p *plainSenders) lately(now time.Time) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trimLocked(now)
	return slices.Sorted(maps.Keys(p.last))
}

// guardedConn is a stream whose beginning is looked at before memberlist reads it.
type guardedConn struct {
	net.Conn // writes
	seal     *seal
	reads    io.Reader
	labelled bool // a label comes first: the dialling side's words
	head     []byte
	err      error
	looked   bool
}

func (s *seal) guarded(conn net.Conn, reads io.Reader, labelled bool) net.Conn {
	return &guardedConn{Conn: conn, seal: s, reads: reads, labelled: labelled}
}

// Read reads the head at its first call.
func (c *guardedConn) Read(b []byte) (int, error) {
	if !c.looked {
		c.looked = true
		c.head, c.err = c.look()
	}
	if len(c.head) > 0 {
		n := copy(b, c.head)
		c.head = c.head[n:]
		return n, nil
	}
	if c.err != nil {
		return 0, c.err
	}
	return c.reads.Read(b)
}

// look reads as far as the encryption version, and refuses what memberlist
// would panic on. What it cannot judge it leaves to memberlist.
func (c *guardedConn) look() (head []byte, err error) {
	more := func(n int) []byte {
		if err != nil {
			return nil
		}
		b := make([]byte, n)
		var got int
		if got, err = io.ReadFull(c.reads, b); errors.Is(err, io.ErrUnexpectedEOF) {
			err = io.EOF
		}
		head = append(head, b[:got]...)
		return b
	}
	kind := more(1)
	if c.labelled {
		if err != nil || kind[0] != typeLabel {
			return head, err
		}
		if size := more(1); err == nil {
			more(int(size[0]))
		}
		if kind = more(1); err != nil {
			return head, err
		}
		if body, ours := unlabel(head, c.seal.label); !ours || len(body) != 1 {
			return head, nil
		}
	}
	if err != nil {
		return head, err
	}
	if kind[0] != typeEncrypt {
		if c.seal.mode != EncryptRequire {
			c.seal.metrics.plain.Inc()
		}
		return head, nil
	}
	rest := more(5)
	if err == nil && (rest[4] != mlVersion || binary.BigEndian.Uint32(rest) < mlSealed) {
		c.seal.metrics.drop(ReasonGarbage)
		return nil, errUnfit
	}
	return head, err
}
