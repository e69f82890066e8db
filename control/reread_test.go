package control

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/configs"
	"github.com/haproxy-peers/haproxy-peers/control/clustertest"
	"github.com/haproxy-peers/haproxy-peers/control/haproxycfg"
)

// What was asked for is read at once, though the files were looked at just now and
// nothing about them but their text has changed; what cannot be used changes nothing.
func TestReread(t *testing.T) {
	d, _ := newTestDaemon(t)
	path := d.files.Paths[0]
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, st.ModTime(), st.ModTime()); err != nil {
			t.Fatal(err)
		}
	}
	servers := func() string { return strings.Join(haproxycfg.Order(d.files.Topology()), " ") }
	write(strings.ReplaceAll(clustertest.Config, "pxc-2", "pxc-9"))
	if _ = d.files.Refresh(time.Now()); servers() != "pxc-0 pxc-1 pxc-2" {
		t.Fatalf("the stamp of the file is the same, and it was read: %s", servers())
	}
	d.Reread()
	if err := d.files.Refresh(time.Now()); err != nil || servers() != "pxc-0 pxc-1 pxc-9" {
		t.Errorf("not read again: %s, %v", servers(), err)
	}
	write("no such word\n")
	d.Reread()
	if err := d.files.Refresh(time.Now()); err == nil || servers() != "pxc-0 pxc-1 pxc-9" {
		t.Errorf("what cannot be used is in force: %s, %v", servers(), err)
	}
}

// A haproxy.cfg that is reread says nothing of the first voters where they were named on the command line.
func TestInitialVotersAreTheFilesOnlyByDefault(t *testing.T) {
	peers := &configs.Topology{
		Peers:  []configs.PeersSection{{Name: "mypeers", Peers: []configs.Peer{{Name: "px0"}}}},
		Sticky: []configs.StickyBackend{{PeersSection: "mypeers"}},
	}
	for _, named := range [][]string{nil, {"px0", "px1", "px2"}} {
		d, f := newTestDaemon(t)
		d.cfg.InitialVoters = named
		d.topologyChanged(peers)
		if told := len(f.Initial) > 0; told != (named == nil) {
			t.Errorf("--initial-voters %v: the cluster was told %v", named, f.Initial)
		}
	}
}
