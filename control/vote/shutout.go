package vote

import (
	"fmt"

	"github.com/haproxy-peers/haproxy-peers/control/galera"
)

// shutOut says in a sentence that the probe is let into no node at all, and what
// would help; "" if it is let into one, or where it is something else that keeps it
// from telling. Such a daemon has no word on any node, and moves nothing.
func shutOut(probes []galera.NodeStatus) string {
	if len(probes) == 0 {
		return ""
	}
	for i := range probes {
		if p := &probes[i]; p.Verdict != galera.Unknown || !p.Class.WantsAccess() {
			return ""
		}
	}
	return fmt.Sprintf("the probe is let into no database node, so this daemon cannot tell whether any is usable: %s (and so on for all %d)",
		probes[0].Node+": "+probes[0].Reason, len(probes))
}
