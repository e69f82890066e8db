package cluster

import (
	"net/netip"
	"testing"
)

func TestPlan(t *testing.T) {
	nodes, err := plan(maxNodes)
	if err != nil {
		t.Fatal(err)
	}
	pods := netip.MustParsePrefix(podNetwork)
	host := netip.MustParseAddr(hostAddress)
	link := netip.PrefixFrom(host, linkBits).Masked()
	for i, node := range nodes {
		if !pods.Contains(node.Pods.Addr()) || node.Pods.Bits() != linkBits {
			t.Errorf("%s: pods %s are not a part of %s", node.Name, node.Pods, pods)
		}
		if !link.Contains(node.Address) || node.Address == host || pods.Contains(node.Address) {
			t.Errorf("%s: address %s is not one of its own on %s", node.Name, node.Address, link)
		}
		// Names of links are cut at 15 bytes by the kernel.
		if len(node.Port) > 15 {
			t.Errorf("%s: the name of port %q is too long", node.Name, node.Port)
		}
		for _, other := range nodes[:i] {
			if other.Name == node.Name || other.Address == node.Address || other.Pods.Overlaps(node.Pods) || other.Cgroup == node.Cgroup {
				t.Errorf("%v and %v overlap", other, node)
			}
		}
	}
	for _, n := range []int{-1, 0, maxNodes + 1} {
		if _, err := plan(n); err == nil {
			t.Errorf("plan(%d) is taken", n)
		}
	}
}

func TestFoldersAreRemovedAsTheyWereMade(t *testing.T) {
	dir := t.TempDir()
	made, err := makeFolders([]string{dir, dir + "/a/b", dir + "/a/c"})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{dir + "/a", dir + "/a/b", dir + "/a/c"}; len(made) != 3 || made[0] != want[0] || made[1] != want[1] || made[2] != want[2] {
		t.Fatalf("made %v, want %v", made, want)
	}
	removeFolders(made)
	again, err := makeFolders([]string{dir + "/a"})
	if err != nil || len(again) != 1 {
		t.Errorf("after removal made %v, %v", again, err)
	}
}
