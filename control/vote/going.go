package vote

import (
	"slices"
	"strings"
	"time"

	"github.com/haproxy-peers/haproxy-peers/configs"
	"github.com/haproxy-peers/haproxy-peers/control/galera"
	"github.com/haproxy-peers/haproxy-peers/control/kube"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// maintShutdown is the value that PXC gives pxc_maint_mode by itself when it is
// told to end; it then waits pxc_maint_transition_period before it does.
const maintShutdown = "SHUTDOWN"

// podOf is the pod of a server: the one of the server's name or, where the servers
// have names of their own, of the first label of its host.
func podOf(s *configs.Server, pods []kube.Pod) *kube.Pod {
	label, _, _ := strings.Cut(s.Host, ".")
	for _, name := range []string{s.Name, label} {
		if i := slices.IndexFunc(pods, func(p kube.Pod) bool { return p.Name == name }); i >= 0 {
			return &pods[i]
		}
	}
	return nil
}

// addGoing adds to this member's words on the nodes which of them are about to end.
func (v *Loop) addGoing(view *model.View, topo *configs.Topology, probes []galera.NodeStatus, now time.Time) {
	var pods []kube.Pod
	if v.cfg.Pods != nil {
		pods = v.cfg.Pods.Pods()
	}
	for i := range view.Nodes {
		n := &view.Nodes[i]
		going := model.Going{}
		for j := range probes {
			if p := &probes[j]; p.Node == n.Name && p.Verdict == galera.Healthy && p.MaintMode == maintShutdown {
				going.Shutdown = true
			}
		}
		for j := range topo.Sticky[0].Servers {
			s := &topo.Sticky[0].Servers[j]
			if s.Name != n.Name {
				continue
			}
			if p := podOf(s, pods); p != nil {
				n.Revision = p.Revision
				if p.Going {
					going.Pod, going.Until = p.UID, p.Until
					going.LeftMS = p.Deadline.Sub(now).Milliseconds()
				}
			}
		}
		if going != (model.Going{}) {
			n.Going = &going
		}
	}
}
