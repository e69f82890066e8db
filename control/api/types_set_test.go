package api

import "testing"

func TestClosedAtOnce(t *testing.T) {
	for _, c := range []struct {
		r    SetResponse
		n    int
		want string
	}{
		{SetResponse{From: "a", Open: &Open{InTransaction: 2}}, 3, "3 sessions to a were closed at once; 2 of that node's sessions were in a transaction when it was asked for"},
		{SetResponse{From: "a", Open: &Open{InTransaction: -1, Unknown: "why"}}, 1, "1 session to a was closed at once; how many are in a transaction is not known: why"},
		{SetResponse{From: "a", DryRun: true, Open: &Open{}}, 1, "1 session to a would be closed at once; 0 of that node's sessions are in a transaction"},
	} {
		if got := c.r.ClosedAtOnce(c.n); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
