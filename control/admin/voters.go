package admin

import "fmt"

// voterWarnings say what one death means where the voters are two: HAProxies without a witness.
func (a *answer) voterWarnings() []string {
	v := a.Agreement.Voters
	if len(v) != 2 {
		return nil
	}
	return []string{fmt.Sprintf("%s and %s are the only voters: when one of them dies no majority is left, nothing is decided, and HAProxy goes on by its own checks and stickiness; "+
		"a third voter on another host ends that: haproxyd --witness --name NAME --haproxy-cfg COPY, with a copy of one's haproxy.cfg, the same gossip key and the same probe account", v[0].Name, v[1].Name)}
}
