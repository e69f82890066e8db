package decide

import (
	"fmt"
	"strings"

	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// Auto is how the sessions to the active end where the operator leaves that to the daemon, and
// why in a sentence: between transactions where those can be told on every proxy. Otherwise at
// once, as a failover by hand must not wait for a node that does not answer for its sessions, or,
// where the operator would rather stay than cut one (Keep), by themselves.
//
// Without an active there is nothing to end, so in must have a record.
func Auto(in *Input, req *Request) (drain, why string) {
	from := in.Record.Active
	t := Count(in, from)
	if t.Down >= in.Majority() {
		return model.DrainImmediate, fmt.Sprintf("%s is down for %d of %d voters", from, t.Down, len(in.Voters))
	}
	switch lacks := lacking(in, from); {
	case req.Force:
		why = "--force waits for nobody"
	case t.Healthy < in.Majority():
		why = fmt.Sprintf("%s is healthy for %d of %d voters only", from, t.Healthy, len(in.Voters))
	case len(lacks) > 0:
		why = fmt.Sprintf("it cannot be told which sessions are in a transaction on %s: %s", from, strings.Join(lacks, "; "))
	default:
		return model.DrainTransactions, fmt.Sprintf("every proxy can tell which sessions are in a transaction on %s", from)
	}
	if req.Keep {
		return model.DrainGraceful, why + "; none is closed, for --keep"
	}
	return model.DrainImmediate, why
}
