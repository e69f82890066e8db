package configs

import (
	"net"
	"strconv"
	"testing"
	"time"
)

// Where nodes have IPv6 addresses clients, and the probe of readiness, come in by either family.
func TestRenderedIPv6(t *testing.T) {
	for version, binary := range haproxies(t) {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			ports := map[string]string{}
			l := startLive(t, binary, func(in *RenderInput) {
				node := startNode(t, "pxc-six", "[::1]:0")
				_, port, err := net.SplitHostPort(node.addr)
				if err != nil {
					t.Fatal(err)
				}
				in.Nodes = append(in.Nodes, RenderNode{Name: "pxc-9", Host: "::1"})
				in.Active = "pxc-9"
				for i := range in.Services {
					s := &in.Services[i]
					s.NodePort, _ = strconv.Atoi(port)
					s.Bind = ":" + strconv.Itoa(freePort(t))
					ports[s.Backend] = s.Bind
				}
				in.HealthBind = ":" + strconv.Itoa(freePort(t))
				ports["health"] = in.HealthBind
			})
			l.until("the node is up", 5*time.Second, func() bool { return l.up("galera-nodes", "pxc-9") })
			for name, port := range ports {
				for _, host := range []string{"127.0.0.1", "[::1]"} {
					l.services[name] = host + port
					if name == "health" {
						c, err := net.DialTimeout("tcp", l.services[name], time.Second)
						if err != nil {
							t.Error(err)
							continue
						}
						_ = c.Close()
					} else if got := l.node(name); name != "galera-replica-nodes" && got != "pxc-six" {
						t.Errorf("%s by %s went to %q", name, host, got)
					}
				}
			}
			topo := l.load()
			for _, f := range topo.Frontends {
				for _, b := range f.Binds {
					if b.Host != "::" || b.Port == 0 {
						t.Errorf("%s is read as %+v", f.Name, b)
					}
				}
			}
		})
	}
}
