package lab

import (
	"context"
	"net"
	"testing"
	"time"
)

// A host that is far away answers later, and as soon as before once that is undone.
func TestFar(t *testing.T) {
	if err := Requirements(Config{NetworkOnly: true}); err != nil {
		t.Skip(err)
	}
	l, err := New(context.Background(), Config{NetworkOnly: true, Nodes: 2, Proxies: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	a, b := l.DB[0].Host, l.DB[1].Host
	var listener net.Listener
	err = a.Do(func() (err error) {
		listener, err = net.Listen("tcp", a.IP+":4000")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	took := func() time.Duration {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		begun := time.Now()
		c, err := b.Dial(ctx, "tcp", a.IP+":4000")
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
		return time.Since(begun)
	}
	before := took()
	f, err := l.Far(context.Background(), a, 80*time.Millisecond, b)
	if err != nil {
		t.Fatal(err)
	}
	far := took()
	if err := f.Undo(context.Background()); err != nil {
		t.Fatal(err)
	}
	after := took()
	t.Log(before, far, after)
	if before > 40*time.Millisecond || far < 80*time.Millisecond || after > 40*time.Millisecond {
		t.Errorf("%v, far away %v, back %v", before, far, after)
	}
}
