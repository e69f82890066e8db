package gossip

import (
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// sealMagic starts every frame of the seal. It is neither memberlist's label
// (244) nor one of its message types or encryption versions (0 to 13 in v0.7.0),
// so that both kinds of packet are told apart by their first byte; a daemon
// without the seal drops a frame as a packet without a label.
const sealMagic = 0xA7

// sealFormat is the version of the frames.
const sealFormat = 1

// sealTag is the length of a frame's tag: HMAC-SHA256, cut to 128 bits.
const sealTag = 16

// sealOverhead is what the seal adds to a packet.
const sealOverhead = 3 + 3*8 + sealTag

// maxSealAddress bounds the addresses in a frame: ADDR:PORT.
const maxSealAddress = 64

// maxPreface bounds the frame that opens a sealed stream.
const maxPreface = 256

// sealKind says what a frame is.
type sealKind byte

const (
	sealHello  sealKind = iota + 1 // "which token do you take packets under?"
	sealAnswer                     // the token
	sealData                       // a packet of memberlist
	sealStale                      // "your packet was made for another life of mine: ask again"
	sealOpen                       // opens a stream
	sealOpened                     // the accepting side's answer to it
	sealKinds
)

// errTag is what openFrame returns for a frame that none of our keys made.
var errTag = errors.New("no gossip key made this frame")

// frame is one frame of the seal. Which fields it carries depends on its kind.
type frame struct {
	kind sealKind
	// nonce of the question: hello and answer; with token, 128 random bits of
	// either side: open and opened.
	nonce uint64
	// token of the receiver (data), of the sender (hello, answer).
	token uint64
	// session and counter number the packet: data; session: stale.
	session, counter uint64
	// to is the address that was dialled or sent to, from the sender's own
	// advertised one: hello and open.
	to, from string
	payload  []byte // data
}

// encode returns the frame with its tag under key.
func (f frame) encode(key []byte) []byte {
	w := writer{b: make([]byte, 0, sealOverhead+len(f.payload)+len(f.to)+len(f.from))}
	w.byte(sealMagic)
	w.byte(sealFormat)
	w.byte(byte(f.kind))
	switch f.kind {
	case sealHello, sealOpen:
		w.fixed(f.nonce)
		w.fixed(f.token)
		w.string(f.to)
		w.string(f.from)
	case sealAnswer, sealOpened:
		w.fixed(f.nonce)
		w.fixed(f.token)
	case sealData:
		w.fixed(f.token)
		w.fixed(f.session)
		w.fixed(f.counter)
		w.b = append(w.b, f.payload...)
	case sealStale:
		w.fixed(f.session)
	}
	return append(w.b, sealSum(key, w.b)[:sealTag]...)
}

// decodeFrame reads a frame without looking at its tag. payload is a slice of b.
func decodeFrame(b []byte) (frame, error) {
	if len(b) < 3+sealTag || b[0] != sealMagic || b[1] == 0 {
		return frame{}, errGarbage
	}
	if b[1] > sealFormat {
		return frame{}, fmt.Errorf("%w: format %d of the seal, this build reads %d", ErrNewer, b[1], sealFormat)
	}
	f := frame{kind: sealKind(b[2])}
	if f.kind == 0 || f.kind >= sealKinds {
		return frame{}, errGarbage
	}
	r := reader{b: b[3 : len(b)-sealTag]}
	switch f.kind {
	case sealHello, sealOpen:
		f.nonce, f.token = r.fixed(), r.fixed()
		f.to, f.from = r.string(maxSealAddress), r.string(maxSealAddress)
	case sealAnswer, sealOpened:
		f.nonce, f.token = r.fixed(), r.fixed()
	case sealData:
		f.token, f.session, f.counter = r.fixed(), r.fixed(), r.fixed()
		f.payload, r.b = r.b, nil
	case sealStale:
		f.session = r.fixed()
	}
	return f, r.end()
}

// openFrame returns the frame and the key of keys that made it: errTag if none did.
func openFrame(b []byte, keys []sealKey) (frame, sealKey, error) {
	f, err := decodeFrame(b)
	if err != nil {
		return frame{}, sealKey{}, err
	}
	body, tag := b[:len(b)-sealTag], b[len(b)-sealTag:]
	for _, k := range keys {
		if hmac.Equal(sealSum(k.mac, body)[:sealTag], tag) {
			return f, k, nil
		}
	}
	return frame{}, sealKey{}, errTag
}

// sealKey is what is derived from one key of the key file.
type sealKey struct {
	aead cipher.AEAD // memberlist's own encryption by it
	mac  []byte
}

// sealKeys derives the keys of the frames. They depend on the label, as
// memberlist's own authentication does, so that two installations that share a
// key do not hear each other.
func sealKeys(label string, ring [][]byte) []sealKey {
	out := make([]sealKey, 0, len(ring))
	for _, k := range ring {
		out = append(out, sealKey{aead: cipherOf(k), mac: sealSum(k, []byte("haproxyd gossip seal 1\x00"), []byte(label))})
	}
	return out
}

// sealSum returns HMAC-SHA256 of the parts, one after the other.
func sealSum(key []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// token returns a random number that is not 0.
func token() uint64 {
	var b [8]byte
	for {
		// crypto/rand.Read never fails since Go 1.24; it ends the program instead.
		_, _ = rand.Read(b[:])
		if t := binary.BigEndian.Uint64(b[:]); t != 0 {
			return t
		}
	}
}
