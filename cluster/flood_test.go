package cluster

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// TestAgreementUnderAFlood floods one of three daemons, as fast as this machine
// sends, with datagrams that no key opens, and prints what they say of the
// agreement meanwhile. How much of a processor they get differs from machine to
// machine; so it fails only when the two that are not flooded lose it for most of
// the time, which they do when the flooded one does not answer any more.
func TestAgreementUnderAFlood(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	all := startProcesses(t)
	time.Sleep(time.Second) // until the members have sockets of their own
	conn, err := net.Dial("udp", fmt.Sprintf("127.%d.254.1:17946", 64+os.Getpid()%128))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for name, packet := range map[string]string{
		"of the right shape": "\xf4\x08haproxyd\x01" + strings.Repeat("a", 60),
		"garbage":            "garbage",
	} {
		for _, p := range all {
			for len(p.lines) > 0 {
				<-p.lines
			}
		}
		before, sent := cpuOf(t, all[0].cmd.Process.Pid), 0
		for end := time.Now().Add(3 * time.Second); time.Now().Before(end); sent++ {
			_, _ = conn.Write([]byte(packet)) // an error is a full buffer
		}
		cpu := cpuOf(t, all[0].cmd.Process.Pid) - before
		var fresh, looked [3]int
		for i, p := range all {
			for len(p.lines) > 0 {
				if strings.Contains(<-p.lines, "fresh=true") {
					fresh[i]++
				}
				looked[i]++
			}
		}
		t.Logf("%s: %d datagrams; fresh at %v of %v looks, the flooded one first; it took %s of a core", name, sent, fresh, looked, cpu)
		for i := 1; i < len(all); i++ {
			if fresh[i] < looked[i]/2 {
				t.Errorf("%s: px%d was fresh at %d of %d looks", name, i, fresh[i], looked[i])
			}
		}
	}
	for _, p := range all {
		p.until(t, "fresh=true")
	}
}
