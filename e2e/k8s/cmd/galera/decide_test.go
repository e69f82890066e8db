package main

import (
	"context"
	"encoding/json"
	"net"
	"testing"
)

func TestChoose(t *testing.T) {
	empty := position{Empty: true}
	at := func(seqno int64) position { return position{UUID: "u", Seqno: seqno} }
	tests := map[string]struct {
		known map[int]position
		want  int
	}{
		"first start":                    {map[int]position{0: empty, 1: empty, 2: empty}, 0},
		"the most history":               {map[int]position{0: at(5), 1: at(9), 2: at(7)}, 1},
		"equal: the lowest ordinal":      {map[int]position{0: at(5), 1: at(9), 2: at(9)}, 1},
		"a lost disk never goes first":   {map[int]position{0: empty, 1: at(0), 2: empty}, 1},
		"unknown history before no disk": {map[int]position{0: empty, 1: empty, 2: at(-1)}, 2},
	}
	for name, test := range tests {
		// The order in which a map is walked is random: every member has to come to the same choice.
		for range 50 {
			if got := choose(test.known); got != test.want {
				t.Errorf("%s: %d, want %d", name, got, test.want)
				break
			}
		}
	}
}

func TestTell(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	own := position{UUID: "u", Seqno: 42}
	go tell(listener, own)
	for range 2 {
		conn, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		var got position
		if err := json.NewDecoder(conn).Decode(&got); err != nil || got != own {
			t.Errorf("told %+v, %v", got, err)
		}
		_ = conn.Close()
	}
}
