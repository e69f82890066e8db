package notify

import (
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
)

// What stays so for a second is told, and its end; what another member sees of itself is its own to tell.
func TestNoticed(t *testing.T) {
	n := Noticed{member: "px0"}
	down := api.Problem{Code: api.ProblemNodeDown, Node: "db1", Text: "db1 is down for 3 s"}
	mine := api.Problem{Code: api.ProblemFenced, Member: "px0", Text: "fenced"}
	other := api.Problem{Code: api.ProblemFenced, Member: "px1", Text: "fenced"}
	lost := api.Problem{Code: api.ProblemNoMajority, Text: "no majority"}
	for i, c := range []struct {
		after time.Duration
		known bool
		all   []api.Problem
		want  string
	}{
		{0, true, []api.Problem{down, other}, ""},
		{500 * time.Millisecond, true, []api.Problem{down, lost}, ""},
		{time.Second, true, []api.Problem{{Code: api.ProblemNodeDown, Node: "db1", Text: "db1 is down for 4 s"}}, "node-down db1"}, // and the election is over
		{2 * time.Second, true, []api.Problem{down, mine}, "fenced px0"},
		{2100 * time.Millisecond, false, nil, ""}, // nothing is known: nothing ends
		{4 * time.Second, true, []api.Problem{down}, "unfenced px0"},
		{5 * time.Second, true, nil, ""},
		{5500 * time.Millisecond, true, []api.Problem{down}, ""}, // it was back for a moment
		{9 * time.Second, true, nil, ""},
		{10 * time.Second, true, nil, "node-back db1"},
		{20 * time.Second, true, nil, ""},
	} {
		var got []string
		for _, x := range n.Note(c.all, c.known, now.Add(c.after)) {
			got = append(got, x.Kind+" "+x.Subject)
			if x.Leader != strings.HasPrefix(x.Kind, "node") {
				t.Errorf("%+v", x)
			}
		}
		if is := strings.Join(got, ", "); is != c.want {
			t.Errorf("%d, after %v: %q, want %q", i, c.after, is, c.want)
		}
	}
	if len(n.all) != 0 {
		t.Errorf("left: %+v", n.all[0])
	}
}
