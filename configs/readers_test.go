package configs

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func readersOf(top *Topology) []string {
	names := []string{}
	for _, b := range top.Readers() {
		names = append(names, b.Name)
	}
	return names
}

func TestReaders(t *testing.T) {
	for file, want := range map[string][]string{
		"examples/four-services.cfg": {"galera-replica-nodes"}, "examples/writers-only.cfg": {}, "testdata/design.cfg": {},
	} {
		if diff := cmp.Diff(want, readersOf(load(t, file))); diff != "" {
			t.Errorf("%s:\n%s", file, diff)
		}
	}
	// The predecessor's galera-replica-nodes is the operator's own; a backend with backups has one writer.
	if diff := cmp.Diff([]string{"galera-replica-nodes"}, readersOf(load(t, "testdata/percona-global.cfg", "testdata/predecessor-pxc.cfg"))); diff != "" {
		t.Errorf("the predecessor's:\n%s", diff)
	}
	top := load(t, write(t, `backend sticky
  stick-table type integer size 1k
  stick on int(1)
  server a h:1
  server b h:2
backend readers
  server a h:1
  server b h:2
backend web
  mode http
  server a h:1
  server b h:2
backend one
  server a h:1
  server z h:2
backend plain
  server a h:1
  server b h:2 backup
`))
	if diff := cmp.Diff([]string{"readers"}, readersOf(top)); diff != "" {
		t.Error(diff)
	}
}

func TestServerLimitsAndProxyProtocol(t *testing.T) {
	top := load(t, write(t, `backend x
  default-server maxconn 50 send-proxy-v2
  server a h:1
  server b h:1 maxconn 7 no-send-proxy-v2
  server c h:1 no-send-proxy-v2 send-proxy check
  server d h:1 no-send-proxy-v2 maxconn 0
`))
	want := map[string]struct {
		proxy bool
		limit string
	}{"a": {true, "50"}, "b": {false, "7"}, "c": {true, "50"}, "d": {false, "0"}}
	for _, s := range top.Backends[0].Servers {
		if w := want[s.Name]; s.SendProxy != w.proxy || s.opts["maxconn"] != w.limit {
			t.Errorf("server %s: send-proxy %t, maxconn %s, want %v", s.Name, s.SendProxy, s.opts["maxconn"], w)
		}
	}
}
