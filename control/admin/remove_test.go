package admin

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/api"
)

// What can be known before the voters are asked is refused with what to do.
func TestRemoveMember(t *testing.T) {
	three := []cluster.VoterInfo{{Name: "px0"}, {Name: "px1"}, {Name: "px2"}}
	two := []cluster.Member{{Name: "px0", State: cluster.MemberAlive}, {Name: "px1", State: cluster.MemberLeaving}, {Name: "px2", State: cluster.MemberGone}}
	for _, c := range []struct {
		what, name string
		stale      bool
		voters     []cluster.VoterInfo
		answer     error
		changed    bool
		code, says string
	}{
		{what: "a dead voter", name: "px2", voters: three, changed: true},
		{what: "again", name: "px2", voters: three[:2]},
		{what: "one that is alive", name: "px1", voters: three, code: api.CodeRefused, says: "px1 is alive, or was seconds ago: stop its daemon cleanly instead"},
		{what: "a slip", name: "px7", voters: three, code: api.CodeRefused, says: "px7 is no voter, and nobody knows it"},
		{what: "a voter that the gossip forgot", name: "px3", voters: append(three[:2:2], cluster.VoterInfo{Name: "px3"}), changed: true},
		{what: "no majority", name: "px2", stale: true, voters: three, code: api.CodeNoMajority, says: "haproxyctl register recover --voters"},
		{what: "no answer", name: "px2", voters: three, answer: context.DeadlineExceeded, code: api.CodeNoMajority, says: "register recover"},
		{what: "the leader hears it", name: "px2", voters: three, answer: cluster.ErrAlive, code: api.CodeRefused, says: "stop its daemon cleanly"},
		{what: "nobody", name: "", voters: three, code: api.CodeBadRequest, says: "which member?"},
	} {
		t.Run(c.what, func(t *testing.T) {
			d, f := newTestServer(t)
			f.Nearby, f.OnRemove = two, c.answer
			f.Ag.Voters, f.Ag.Fresh = c.voters, !c.stale
			res, err := d.removeMember(t.Context(), api.MemberRequest{Name: c.name})
			var e *api.Error
			switch {
			case c.code == "" && err != nil:
				t.Fatal(err)
			case c.code == "":
				if r := res.(api.RemoveResponse); r.Changed != c.changed || len(r.Register.Voters) != 2 {
					t.Errorf("%+v", r)
				}
			case !errors.As(err, &e) || e.Code != c.code || !strings.Contains(e.Message, c.says):
				t.Errorf("got %v, want %s with %q", err, c.code, c.says)
			}
		})
	}
}
