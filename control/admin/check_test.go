package admin

import (
	"net/netip"
	"testing"

	"github.com/haproxy-peers/haproxy-peers/configs"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/published"
)

// A node is found by the address that HAProxy gives its check, however haproxy.cfg writes it.
func TestCheckFindsTheNode(t *testing.T) {
	a := &answer{Moment: published.Moment{
		Situation: &published.Situation{
			Probing: true, Own: &model.View{Nodes: []model.NodeView{{Name: "pxc-0", Verdict: model.Healthy}, {Name: "pxc-1", Verdict: model.Down}}},
			Topology: &configs.Topology{Backends: []configs.Backend{{Servers: []configs.Server{
				{Name: "pxc-0", Host: "pxc-0.ns.svc", Port: 3306}, {Name: "pxc-1", Host: "::1", Port: 3306}, {Name: "pxc-2", Host: "10.0.0.3", Port: 3306},
			}}}},
		},
		Look: &published.Look{Addresses: map[netip.AddrPort]string{
			netip.MustParseAddrPort("10.1.2.3:3306"): "pxc-0", netip.MustParseAddrPort("[::1]:3306"): "pxc-1",
		}},
	}}
	for address, want := range map[string]string{
		"10.1.2.3:3306": "pxc-0", "[::ffff:10.1.2.3]:3306": "pxc-0", "pxc-0.ns.svc:3306": "pxc-0",
		"[::1]:3306": "pxc-1", "[0:0:0:0:0:0:0:1]:3306": "pxc-1", "10.0.0.3:3306": "pxc-2",
		"10.1.2.3:3307": "", "10.1.2.4:3306": "", "pxc-0:3306": "",
	} {
		got, err := a.check(address)
		if got.Node != want || (err == nil) != (want != "") || got.Usable != (want == "pxc-0") {
			t.Errorf("%s: %+v, %v", address, got, err)
		}
	}
}
