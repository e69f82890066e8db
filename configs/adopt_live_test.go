package configs

import (
	"fmt"
	"net"
	"strconv"
	"testing"
	"time"
)

// Defaults that would keep any check from reaching the daemon do not reach the sections that are added; the private table
// leads while the beacon is up, the native one when it is down, the fence refuses; and all of it is gone after the way back.
func TestAdoptedSteers(t *testing.T) {
	for version, binary := range haproxies(t) {
		t.Run(version, func(t *testing.T) {
			l := newLive(t, binary)
			l.daemon = startDaemon(t)
			port := freePort(t)
			bind := "127.0.0.1:" + strconv.Itoa(freePort(t))
			l.services["db"] = bind
			servers := ""
			for i, name := range []string{"oak", "elm", "fir"} {
				address := net.JoinHostPort(fmt.Sprintf("127.0.0.%d", 21+i), strconv.Itoa(port))
				l.nodes[name] = startNode(t, name, address)
				servers += fmt.Sprintf("    server %s %s inter 200%s\n", name, address, []string{"", " backup"}[min(i, 1)])
			}
			old := fmt.Sprintf(`global
    stats socket %s mode 600 level admin expose-fd listeners
defaults shop
    mode http
    timeout connect 1s
    timeout client 1m
    timeout server 1m
    option httpchk GET /shop
    http-check send hdr Host shop
    http-check expect string hello
    default-server check ssl verify none send-proxy send-proxy-v2 check-ssl check-send-proxy backup agent-check agent-port 1 port 1 addr 127.0.0.9
    option allbackups
    option persist
listen db
    mode tcp
    bind %s
    option tcp-check
    no option persist
    default-server no-ssl no-check-ssl no-send-proxy no-send-proxy-v2 no-check-send-proxy no-agent-check no-backup addr 127.0.0.1 port %d
%s`, l.input.StatsSocket, bind, port, servers)
			l.nodes["check"] = startNode(t, "check", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
			l.write(old)
			l.start()
			l.expect(3, "oak", "db")

			got, err := Adopt(AdoptInput{
				Reading: Reading{LocalPeer: "px0"}, Daemon: l.daemon.addr,
				Proxies: []RenderProxy{{Name: "px0", Host: "127.0.0.1", Port: freePort(t)}},
			}, l.cfg)
			if err != nil {
				t.Fatal(err)
			}
			l.write(got.Files[0].New)
			l.start()
			l.until("the beacon is up", 5*time.Second, func() bool { return l.up("haproxyd", "local") && l.up("haproxyd-alive", "local") })
			l.expect(3, "oak", "db")
			l.do("set table haproxyd-steer key 1 data.server_id 3")
			l.expect(3, "fir", "db")
			l.do("set table haproxyd-steer key 2 data.server_id 3")
			l.expect(1, "", "db")
			l.do("clear table haproxyd-steer key 2")
			l.expect(3, "fir", "db")
			l.daemon.beacon.Store(false)
			l.until("the beacon is down", 5*time.Second, func() bool { return !l.up("haproxyd", "local") })
			l.expect(3, "oak", "db")

			back, err := Revert(l.cfg)
			if err != nil {
				t.Fatal(err)
			}
			if back.Files[0].New != old || back.Main != "oak" {
				t.Errorf("not the same again (main %s):\n%s", back.Main, back.Files[0].Diff)
			}
			l.write(back.Files[0].New)
			l.start()
			l.expect(3, "oak", "db")
		})
	}
}
