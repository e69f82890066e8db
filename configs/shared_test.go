package configs

import "testing"

// What HAProxy 2.6 did with 200 connections to 127.0.0.1 where two frontends had these lines: shared, they were split in
// half; else all went to one.
func TestSharedWith(t *testing.T) {
	for _, c := range []struct {
		a, b   Bind
		shared bool
	}{
		{Bind{Port: 3306}, Bind{Host: "*", Port: 3306}, true},
		{Bind{Host: "*", Port: 3306}, Bind{Host: "0.0.0.0", Port: 3306}, true},
		{Bind{Host: "127.0.0.1", Port: 3306}, Bind{Host: "*", Port: 3306}, false},
		{Bind{Host: "::", Port: 3306}, Bind{Host: "*", Port: 3306}, false},
		{Bind{Host: "::1", Port: 3306}, Bind{Host: "::", Port: 3306}, false},
		{Bind{Host: "::1", Port: 3306}, Bind{Host: "0:0::1", Port: 3306}, true},
		{Bind{Host: "db", Port: 3306}, Bind{Host: "db", Port: 3306}, true},
		{Bind{Host: "*", Port: 3306}, Bind{Host: "*", Port: 3307}, false},
		{Bind{Host: "/run/a", Unix: true}, Bind{Host: "/run/a", Unix: true}, false},
	} {
		for _, p := range [][2]Bind{{c.a, c.b}, {c.b, c.a}} {
			if got := p[0].sharedWith(p[1]); got != c.shared {
				t.Errorf("%v with %v: shared %v, want %v", p[0], p[1], got, c.shared)
			}
		}
	}
}
