package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// resolves replaces the resolver by one that gives each answer once, and the last for ever.
func resolves(t *testing.T, answers ...string) {
	t.Helper()
	before := lookupHost
	t.Cleanup(func() { lookupHost = before })
	lookupHost = func(_ context.Context, network, host string) ([]netip.Addr, error) {
		if network != "ip" || host != "haproxy-peers" {
			return nil, errors.New("asked for " + network + " " + host)
		}
		answer := answers[0]
		if len(answers) > 1 {
			answers = answers[1:]
		}
		var out []netip.Addr
		for a := range strings.FieldsSeq(answer) {
			out = append(out, netip.MustParseAddr(a))
		}
		if len(out) == 0 {
			return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		}
		return out, nil
	}
}

func renderText(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	a := &app{stdout: &out, stderr: &errs, getenv: func(string) string { return "" }, now: time.Now}
	code = a.run(t.Context(), append([]string{"config", "render", "--nodes", "pxc-0=10.0.0.11", "--haproxy", "nothing-here"}, args...))
	return code, out.String(), errs.String()
}

func peerLines(text string) string {
	_, section, _ := strings.Cut(text, "\npeers mypeers\n")
	section, _, _ = strings.Cut(section, "\n\n")
	return strings.Join(strings.Fields(section), " ")
}

func TestProxiesFromDNS(t *testing.T) {
	tests := []struct {
		name, answer string
		args         []string
		want         string
	}{
		{"sorted, once each", "10.0.0.12 10.0.0.5 10.0.0.12", nil, "peer 10-0-0-5 10.0.0.5:10000 peer 10-0-0-12 10.0.0.12:10000"},
		{"mapped addresses are IPv4", "::ffff:10.0.0.5", nil, "peer 10-0-0-5 10.0.0.5:10000"},
		{"IPv6", "fd00::10 fd00::5", []string{"--local", "fd00:0::5"}, "peer fd00--5 [fd00::5]:10000 peer fd00--10 [fd00::10]:10000"},
		{"only the local family", "10.0.0.5 fd00::5 10.0.0.6 fd00::6", []string{"--local", "10.0.0.6"}, "peer 10-0-0-5 10.0.0.5:10000 peer 10-0-0-6 10.0.0.6:10000"},
		{"both families without a local one", "fd00::5 10.0.0.5", nil, "peer 10-0-0-5 10.0.0.5:10000 peer fd00--5 [fd00::5]:10000"},
		{"the local name", "10.0.0.5", []string{"--local", "10-0-0-5", "--peers-bind", "0.0.0.0"}, "peer 10-0-0-5 0.0.0.0:10000"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			resolves(t, tt.answer)
			code, out, stderr := renderText(t, append([]string{"--proxies", "dns:haproxy-peers"}, tt.args...)...)
			if code != exitDone || peerLines(out) != tt.want {
				t.Errorf("exit %d, %s, got %q, want %q", code, stderr, peerLines(out), tt.want)
			}
		})
	}
	resolves(t, "10.0.0.5")
	if _, out, _ := renderText(t, "--proxies", "dns:haproxy-peers:10007", "--local", "10.0.0.5"); peerLines(out) != "peer 10-0-0-5 10.0.0.5:10007" ||
		!strings.Contains(out, "\n  localpeer 10-0-0-5\n") {
		t.Errorf("the port or the local name is lost: %s", out)
	}
}

// A pod's own address comes into the name after the pod has started.
func TestProxiesFromDNSAreWaitedFor(t *testing.T) {
	resolves(t, "", "10.0.0.6", "10.0.0.6 10.0.0.5")
	code, out, stderr := renderText(t, "--proxies", "dns:haproxy-peers", "--local", "10.0.0.5", "--wait", "1m")
	if want := "peer 10-0-0-5 10.0.0.5:10000 peer 10-0-0-6 10.0.0.6:10000"; code != exitDone || peerLines(out) != want {
		t.Errorf("exit %d, %s, got %q, want %q", code, stderr, peerLines(out), want)
	}
	for answer, want := range map[string]string{
		"":         "waited for 300ms; the name has no address: no such host\n",
		"10.0.0.6": "the name has 10-0-0-6, and the local HAProxy's (10-0-0-5) is not among them",
		"fd00::6":  `none of the local HAProxy's family ("10.0.0.5")`,
	} {
		resolves(t, answer)
		code, out, stderr := renderText(t, "--proxies", "dns:haproxy-peers", "--local", "10.0.0.5", "--wait", "300ms")
		if code != exitFailed || out != "" || !strings.Contains(stderr, want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%q: exit %d, printed %q, said %q, want %q", answer, code, out, stderr, want)
		}
	}
}
