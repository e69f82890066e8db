package gossip

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net/netip"
	"sync"
	"time"
)

// The types of memberlist v0.7.0's messages (net.go).
const (
	typePing = iota
	typeIndirect
	typeAck
	typeSuspect
	typeAlive
	typeDead
	typePushPull
	typeCompound
	typeUser
	typeCompress
	typeEncrypt
	typeNack
	typeCRC
	typeError
	typeLabel = 244
)

// guard stands between the sockets and memberlist. It decides from the bytes
// alone what memberlist gets to see: its label, its key, its shape, and how much
// of it there is. What it drops has cost no allocation and no place in a queue.
type guard struct {
	label    string
	beside   []byte // the label, which is authenticated beside the content
	seal     *seal  // the keys and whether they are required; nil without keys
	drop     func(reason string)
	warn     func(reason, what string, err error) // logs, limited
	lines    *lines
	sources  *sources
	counters counters

	strangers, members, attempts, indirect bucket
}

// Errors of a message that is dropped; reasonOf says how it is counted.
var (
	errLabel = errors.New("the label of another installation, or none")
	errKey   = errors.New("none of the keys opens it, or it is not encrypted")
	errRate  = errors.New("more than is taken from there")
	errSize  = errors.New("larger than anything that members send")
	errLeap  = errors.New("a counter leaps further than members count")
)

// datagram reports whether memberlist may see b, which is not changed. plain is
// room for its content.
func (g *guard) datagram(b, plain []byte, from netip.AddrPort, now time.Time) bool {
	return g.verdict(g.checkDatagram(b, plain, from, now))
}

func (g *guard) verdict(err error) bool {
	if err != nil {
		g.refuse("a datagram", err)
	}
	return err == nil
}

// refuse counts, and logs within limits, what memberlist does not see.
func (g *guard) refuse(what string, err error) {
	reason := reasonOf(err)
	g.drop(reason)
	g.warn(reason, what, err)
}

func (g *guard) checkDatagram(b, plain []byte, from netip.AddrPort, now time.Time) error {
	if len(b) > maxDatagram {
		return errSize
	}
	sealed := g.seal != nil && len(b) > 0 && b[0] == sealMagic
	if body, ours := unlabel(b, g.label); !sealed && (!ours || len(body) == 0) {
		return errLabel
	}
	// Source addresses can be forged, so that of a member is a right to be tried
	// with the keys and nothing more.
	member := g.sources.datagram(from)
	if g.seal != nil && member == nil && !g.attempts.take(now, rateAttempts) {
		return errRate
	}
	if sealed {
		return nil // what it opens to comes back to opened
	}
	encrypted, err := g.checkOpened(b, plain, member, now)
	if err == nil && g.seal != nil && !encrypted {
		g.seal.tookPlain(from.String(), now)
	}
	return err
}

// opened reports whether memberlist may see what a sealed datagram held.
func (g *guard) opened(b []byte, from netip.AddrPort, now time.Time) bool {
	_, err := g.checkOpened(b, nil, g.sources.datagram(from), now)
	return g.verdict(err)
}

// checkOpened counts a datagram only after a key has opened it: a stranger who
// forges a member's address takes nothing from that member. encrypted says that a
// key did.
func (g *guard) checkOpened(b, plain []byte, member *neighbour, now time.Time) (encrypted bool, err error) {
	b, ours := unlabel(b, g.label)
	if !ours || len(b) == 0 {
		return false, errLabel
	}
	if g.seal != nil {
		plain, ok := g.seal.decrypt(plain[:0], b, g.beside)
		switch {
		case ok && b[0] == mlVersion:
			b, encrypted = plain, true
		case g.seal.mode == EncryptRequire:
			return false, errKey
		case ok:
			return false, errShape // memberlist would open it too
		}
	}
	if member == nil {
		if !g.strangers.take(now, rateStranger) {
			return false, errRate
		}
	} else if !member.take(now, rateMember) || !g.members.take(now, rateAll) {
		return false, errRate
	}
	return encrypted, g.packet(b, now)
}

// packet checks the content of a datagram: a message or a compound of them. One
// that is compressed is refused: no version of this program lets memberlist do
// that, and memberlist would unpack 40 MB from a datagram.
func (g *guard) packet(b []byte, now time.Time) error {
	if len(b) > 5 && b[0] == typeCRC {
		if crc32.ChecksumIEEE(b[5:]) != binary.BigEndian.Uint32(b[1:]) {
			return errShape
		}
		b = b[5:]
	}
	if len(b) < 2 {
		return errShape
	}
	if b[0] != typeCompound {
		return g.message(b, now)
	}
	n := int(b[1])
	if len(b) < 2+2*n {
		return errShape
	}
	lengths, rest := b[2:2+2*n], b[2+2*n:]
	for ; len(lengths) > 0; lengths = lengths[2:] {
		size := int(binary.BigEndian.Uint16(lengths))
		if size < 2 || size > len(rest) {
			return errShape
		}
		if err := g.message(rest[:size], now); err != nil {
			return err
		}
		rest = rest[size:]
	}
	if len(rest) > 0 {
		return errShape
	}
	return nil
}

// message checks one message of a datagram.
func (g *guard) message(b []byte, now time.Time) error {
	switch b[0] {
	case typeUser:
		return nil // an envelope of ours, which is checked where it is opened
	case typePing, typeAck, typeNack, typeAlive:
	case typeSuspect, typeDead:
	case typeIndirect:
		if !g.indirect.take(now, rateIndirect) {
			return errRate
		}
	default:
		return errShape
	}
	s := source{b: b[1:]}
	if err := g.state(&s, b[0] == typeAlive); err != nil {
		return err
	}
	if s.off < len(s.b) {
		return errShape
	}
	return nil
}

// state reads one message of memberlist, or one member of a push/pull, and
// checks what it counts. known is set where it makes the member known.
func (g *guard) state(s *source, known bool) error {
	var (
		name  [maxString]byte
		size  int
		count uint64
		said  bool
	)
	err := s.flat(func(n fieldName, v field) error {
		switch n {
		case fieldNode:
			if len(v.bytes) > maxString {
				return errShape
			}
			size = copy(name[:], v.bytes)
		case fieldIncarnation:
			count, said = v.number, true
		}
		return nil
	})
	if err == nil && said {
		err = g.counters.check(name[:size], count, known)
	}
	return err
}

// counters holds the incarnation that each process was last said to have. A
// member raises its own by one with every change of its metadata and every
// refutation, and the largest wins everywhere: one forged message with the
// largest of all would freeze a member's metadata for the life of its process.
type counters struct {
	mu   sync.Mutex // guards last
	last map[string]uint64
}

const (
	firstCount = 1 << 20 // the most that a process may be at when it is first heard of
	leapCount  = 1 << 12 // the most that it may have risen since it was last heard of
)

func (c *counters) check(name []byte, count uint64, known bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	last, ok := c.last[string(name)]
	switch {
	case !ok && count > firstCount, ok && count > last+leapCount:
		return errLeap
	case ok && count <= last, !ok && !known:
		return nil
	}
	if c.last == nil {
		c.last = map[string]uint64{}
	}
	if !ok && len(c.last) >= 2*stateNodes {
		forgetAny(c.last)
	}
	c.last[string(name)] = count
	return nil
}

const (
	nonceSize, tagSize = 12, 16
	// mlVersion is the encryption version that all daemons write. Version 0 pads,
	// and memberlist panics on a padding that is wrong.
	mlVersion = 1
)

// decrypt opens with one of our keys what memberlist wrote (security.go of v0.7.0):
// a byte of version, which the caller judges, a nonce and the sealed text. beside is
// authenticated with it. The result is appended to dst.
func (s *seal) decrypt(dst, b, beside []byte) ([]byte, bool) {
	if len(b) < 1+nonceSize+tagSize || b[0] > mlVersion {
		return nil, false
	}
	for _, k := range *s.keys.Load() {
		if plain, err := k.aead.Open(dst, b[1:1+nonceSize], b[1+nonceSize:], beside); err == nil {
			return plain, true
		}
	}
	return nil, false
}

// cipherOf is memberlist's cipher of a key.
func cipherOf(key []byte) cipher.AEAD {
	// parseKeys has checked the key's length, so there is no error.
	block, _ := aes.NewCipher(key)
	aead, _ := cipher.NewGCM(block)
	return aead
}
