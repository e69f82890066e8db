package lab_test

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

// A host that got another address is reached there and nowhere else, and has its own one back after a reset.
func TestReaddress(t *testing.T) {
	_, l := newLab(t, lab.Config{NetworkOnly: true, Nodes: 1, Proxies: 2})
	h, own := l.PX[0].Host, l.PX[0].IP
	reach := func(address string) error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		conn, err := l.Client.Dial(ctx, "tcp", net.JoinHostPort(address, "5000"))
		if errors.Is(err, syscall.ECONNREFUSED) {
			return nil // it is there, and listens to nothing
		}
		if err == nil {
			_, _ = io.Copy(io.Discard, conn)
			return conn.Close()
		}
		return err
	}
	if err := reach(own); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		before := h.IP
		if err := h.Readdress(); err != nil {
			t.Fatal(err)
		}
		if h.IP == before || h.IP == own {
			t.Fatalf("address %s, before %s", h.IP, before)
		}
		if err := reach(h.IP); err != nil {
			t.Errorf("%s: %v", h.IP, err)
		}
		if err := reach(before); err == nil {
			t.Errorf("%s is still there", before)
		}
	}
	if err := l.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := reach(own); err != nil || h.IP != own {
		t.Errorf("after a reset: %v, at %s", err, h.IP)
	}
}
