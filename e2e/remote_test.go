package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/serving/certtest"
	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
	"github.com/haproxy-peers/haproxy-peers/e2e/stack"
)

// far is somebody on another machine with a certificate.
type far struct {
	s     *scenario
	flags []string
}

// ctl gives a command, and returns its exit status with what it printed.
func (f far) ctl(ctx context.Context, args ...string) (exit int, stdout, stderr string) {
	f.s.t.Helper()
	r, err := f.s.Client.Command(ctx, "", f.s.Haproxyctl(), append(args, f.flags...)...)
	f.s.must(err)
	return r.Exit, r.Stdout, r.Stderr
}

// Somebody on another machine sees and steers with a certificate, through whichever daemon there is; the order bears
// the certificate's name; a viewer steers nothing; a certificate that is replaced on the disk is the one that counts.
func TestFromAnywhere(t *testing.T) {
	dir := t.TempDir()
	ca, stranger := certtest.NewCA(t, dir, "ca"), certtest.NewCA(t, dir, "stranger")
	var hosts, endpoints []string
	for _, p := range theLab(t).PX {
		hosts, endpoints = append(hosts, p.IP), append(endpoints, "https://"+p.IP+":9104")
	}
	own := ca.Server("own", hosts...)
	s := begin(t, stack.Options{DaemonArgs: []string{"--admin-bind", "0.0.0.0:9104",
		"--admin-tls-cert", own.Cert, "--admin-tls-key", own.Key, "--admin-tls-client-ca", ca.File}})
	as := func(pair certtest.Pair) far {
		return far{s, []string{"--endpoint", strings.Join(endpoints, ","), "--tls-cert", pair.Cert, "--tls-key", pair.Key, "--tls-ca", ca.File}}
	}
	ana := as(ca.Client("ana", "ana", "haproxyd-operator"))
	viewer := as(ca.Client("vi", "vi", "haproxyd-viewer"))
	s.start(lab.LoadConfig{Clients: 2})

	exit, out, errs := viewer.ctl(s.ctx, "status", "--check")
	if exit != 0 || !strings.HasPrefix(out, "OK - db1 takes the writes on 3 of 3 proxies") {
		t.Errorf("a viewer's look: %d, %s, %s", exit, out, errs)
	}
	if exit, _, errs = viewer.ctl(s.ctx, "active", "set", "db2"); exit != 1 || !strings.Contains(errs, "vi may look and give no orders") {
		t.Errorf("a viewer's order: %d, %s", exit, errs)
	}
	other := as(stranger.Client("stranger-ana", "ana", "haproxyd-operator"))
	if exit, out, errs = other.ctl(s.ctx, "status"); exit != 1 || out != "" || strings.Count(errs, "refuses this certificate") != 3 {
		t.Errorf("a stranger: %d, %s, %s", exit, out, errs)
	}

	s.PX[0].Daemon.Kill9() // the first endpoint
	s.must(until(s.within(20*time.Second), "two voters", func() (bool, string) {
		a, err := s.Active(s.ctx, s.PX[1])
		return err == nil && a.Agreed, fmt.Sprint(a.Reason, err)
	}))
	if exit, out, errs = ana.ctl(s.ctx, "active", "set", "db2", "--reason", "from afar", "--force", "--wait=false"); exit != 0 {
		t.Fatalf("an operator's order: %d, %s, %s", exit, out, errs)
	}
	exit, out, errs = ana.ctl(s.ctx, "active", "show", "-o", "json")
	var a api.Active
	if err := json.Unmarshal([]byte(out), &a); exit != 0 || err != nil || a.Active != "db2" || a.OrderedBy != "ana (certificate, from "+s.Client.IP+")" {
		t.Errorf("%d, %s, %v: %s, %q", exit, errs, err, a.Active, a.OrderedBy)
	}
	s.must(s.PX[0].Daemon.StartAgain())
	s.must(s.WaitActive(s.within(20*time.Second), "db2", len(s.PX)))

	// The daemons' certificate is of another CA from now on, and then of the first one again.
	stranger.Server("own", hosts...)
	lab.Sleep(s.ctx, 1100*time.Millisecond)
	if exit, _, errs = ana.ctl(s.ctx, "status"); exit != 1 || strings.Count(errs, "is of a CA that is not known here") != 3 {
		t.Errorf("after the certificate was replaced: %d, %s", exit, errs)
	}
	ca.Server("own", hosts...)
	lab.Sleep(s.ctx, 1100*time.Millisecond)
	if exit, _, errs = ana.ctl(s.ctx, "status"); exit != 0 {
		t.Errorf("after it was put back: %d, %s", exit, errs)
	}
	log := s.load.Stop()
	s.nothingLost(log)
}
