package configs

import (
	"bufio"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A client comes through the load balancer's port, HAProxy is reloaded, and only then the client announces its address:
// the process before the reload serves it, and that one has emptied its tables about a second after it was told to end,
// where it has taught them to the new one (2.6 always, later versions sometimes). The client must reach the active node
// all the same, because it holds the private entry since it came.
func TestRenderedLateAnnouncement(t *testing.T) {
	for version, binary := range haproxies(t) {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			bind := "127.0.0.1:" + strconv.Itoa(freePort(t))
			l := startLive(t, binary, func(in *RenderInput) { in.Services[0].ProxyBind = bind })
			l.do("set table haproxyd-steer key 1 data.server_id 3")
			l.expect(3, "pxc-2", heldBackend)

			c, err := net.Dial("tcp", bind)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			l.until("a client holds the entry", 2*time.Second, func() bool {
				return strings.Contains(l.try("show table haproxyd-steer"), "key=1 use=1 ")
			})
			l.do("set table haproxyd-steer key 1 data.server_id 2")
			l.do("set table haproxyd-steer key 1 data.server_id 3") // a held entry can be written
			l.start()
			time.Sleep(2500 * time.Millisecond) // that second, on a machine that is busy
			_ = c.SetDeadline(time.Now().Add(5 * time.Second))
			if _, err := fmt.Fprint(c, "PROXY TCP4 192.0.2.1 192.0.2.2 4000 3306\r\n"); err != nil {
				t.Fatal(err)
			}
			name, err := bufio.NewReader(c).ReadString('\n')
			if got := strings.TrimSpace(name); got != "pxc-2" {
				t.Errorf("it reached %q, want the active, pxc-2, which is not the first of the file (%v)", got, err)
			}
		})
	}
}
