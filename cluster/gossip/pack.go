package gossip

import (
	"bytes"
	"compress/flate"
	"errors"
	"io"
	"sync"
)

// Data of views and records is text, often of some kilobytes, and a datagram
// holds little more than one. So data above packAbove bytes is compressed, once,
// by its publisher; relays pass it on as it is. memberlist's own compression
// would run again for every packet, heartbeats among them.
const packAbove = 512

// unpackLimit bounds what a small message can make us allocate.
const unpackLimit = 1 << 20

var errTooLarge = errors.New("packed data is too large")

const (
	packPlain = iota
	packFlate
)

// packer holds the compressor's state, which is large and worth keeping.
type packer struct {
	mu  sync.Mutex // guards both
	out *flate.Writer
	in  io.ReadCloser
}

// pack returns data with a byte in front that says how it is packed.
func (p *packer) pack(data []byte) []byte {
	if len(data) > packAbove {
		p.mu.Lock()
		defer p.mu.Unlock()
		b := bytes.NewBuffer(make([]byte, 0, len(data)/2))
		b.WriteByte(packFlate)
		if p.out == nil {
			// The level is valid, so there is no error.
			p.out, _ = flate.NewWriter(b, flate.BestSpeed)
		} else {
			p.out.Reset(b)
		}
		// Writing to a buffer never fails.
		_, _ = p.out.Write(data)
		_ = p.out.Close()
		if b.Len() < len(data) {
			return b.Bytes()
		}
	}
	return append([]byte{packPlain}, data...)
}

// unpack returns a new slice with the data, nil if it is empty, of at most limit bytes.
func (p *packer) unpack(packed []byte, limit int) ([]byte, error) {
	if len(packed) == 0 {
		return nil, errTruncated
	}
	if len(packed) > limit+limit/8 {
		return nil, errTooLarge // packing makes nothing that much larger
	}
	switch body := packed[1:]; packed[0] {
	case packPlain:
		return bytes.Clone(body), nil
	case packFlate:
		p.mu.Lock()
		defer p.mu.Unlock()
		src := bytes.NewReader(body)
		if p.in == nil {
			p.in = flate.NewReader(src)
		} else if err := p.in.(flate.Resetter).Reset(src, nil); err != nil {
			return nil, err
		}
		data, err := io.ReadAll(io.LimitReader(p.in, int64(limit)+1))
		if err != nil {
			return nil, err
		}
		if len(data) > limit {
			return nil, errTooLarge
		}
		if src.Len() > 0 {
			return nil, errTrailing
		}
		return data, nil
	}
	return nil, errField
}
