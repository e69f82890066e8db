package gossip

import "slices"

// check reads the message from s.
func (v *stream) check(s *source) error {
	g := v.guard
	if !v.answer { // answers have no label
		head, err := s.take(2)
		if err != nil {
			return err
		}
		if head[0] != typeLabel || int(head[1]) != len(g.label) {
			return errLabel
		}
		label, err := s.take(len(g.label))
		if err != nil {
			return err
		}
		if string(label) != g.label {
			return errLabel
		}
	}
	start := s.off
	t, err := s.byte()
	if err != nil {
		return err
	}
	if t != typeEncrypt {
		if g.seal != nil {
			if g.seal.mode == EncryptRequire {
				return errKey
			}
			g.seal.metrics.plain.Inc()
		}
		s.off = start
		return v.content(s)
	}
	if g.seal == nil {
		return errKey
	}
	n, err := s.number(4)
	if err != nil {
		return err
	}
	if n > uint64(v.pool.size) {
		return errSize
	}
	if _, err = s.take(int(n)); err != nil {
		return err
	}
	beside := append(slices.Clone(s.b[start:start+5]), g.label...)
	body := s.b[start+5 : s.off]
	if len(body) > 0 && body[0] != mlVersion {
		return errShape
	}
	plain, ok := g.seal.decrypt(nil, body, beside)
	if !ok {
		return errKey
	}
	inner := source{b: plain}
	if err := v.content(&inner); err != nil {
		return err
	}
	if inner.off < len(inner.b) {
		return errShape
	}
	return nil
}

// content checks what memberlist would decode. What is compressed is refused; see guard.packet.
func (v *stream) content(s *source) error {
	t, err := s.byte()
	if err != nil {
		return err
	}
	ignore := func(fieldName, field) error { return nil }
	switch {
	case t == typePushPull:
		return v.pushPull(s)
	case t == typeUser && !v.answer:
		size := uint64(0)
		if err := s.flat(func(name fieldName, f field) error {
			if name == fieldUserMsgLen {
				size = f.number
			}
			return nil
		}); err != nil {
			return err
		}
		if size > userLimit {
			return errSize
		}
		_, err := s.take(int(size))
		return err
	case t == typePing && !v.answer, (t == typeAck || t == typeError) && v.answer:
		return s.flat(ignore)
	}
	return errShape
}

// pushPull checks a complete state.
func (v *stream) pushPull(s *source) error {
	var nodes, size uint64
	if err := s.flat(func(name fieldName, f field) error {
		switch name {
		case fieldNodes:
			nodes = f.number
		case fieldUserStateLen:
			size = f.number
		}
		return nil
	}); err != nil {
		return err
	}
	if nodes > stateNodes || size > uint64(v.pool.size) {
		return errSize
	}
	for range nodes {
		if err := v.guard.state(s, true); err != nil {
			return err
		}
	}
	if _, err := s.take(int(size)); err != nil {
		return err
	}
	v.state = !v.answer
	return nil
}
