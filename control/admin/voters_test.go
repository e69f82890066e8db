package admin

import (
	"slices"
	"strings"
	"testing"

	"github.com/haproxy-peers/haproxy-peers/cluster"
)

// Two voters are told what one death means, and how a witness is started; with the witness, and with any other number, they
// are not.
func TestTwoVotersAreTold(t *testing.T) {
	d, f := newTestServer(t)
	all := []cluster.VoterInfo{{Name: "px0"}, {Name: "px1"}, {Name: "witness"}, {Name: "px2"}}
	for n := 1; n <= len(all); n++ {
		f.Ag.Voters = all[:n]
		told := slices.IndexFunc(turned(d).status().Warnings, func(w string) bool {
			return strings.HasPrefix(w, "px0 and px1 are the only voters: when one of them dies no majority is left") && strings.Contains(w, "haproxyd --witness")
		}) >= 0
		if told != (n == 2) {
			t.Errorf("%d voters: told %v", n, told)
		}
	}
}
