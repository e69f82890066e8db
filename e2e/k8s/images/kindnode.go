package images

import (
	"context"
	_ "embed" // the node's files
	"fmt"
	"os"
	"path/filepath"
)

var (
	//go:embed kindnode/entrypoint.sh
	nodeEntrypoint []byte
	//go:embed kindnode/kubelet.service
	nodeKubelet []byte
	//go:embed kindnode/containerd.service
	nodeContainerd []byte
	//go:embed kindnode/preload.service
	nodePreload []byte
	//go:embed kindnode/containerd.toml
	nodeContainerdConfig []byte
)

// nodeStorage is a class that no claim asks for: kind wants to apply one.
const nodeStorage = `apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: none}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
`

// nodeDebian is a root with systemd and what a node runs.
var nodeDebian = debian{
	name: "kindnode",
	packages: []string{
		"systemd", "systemd-sysv", "containerd", "runc", "containernetworking-plugins", "iproute2", "iptables", "nftables",
		"conntrack", "kmod", "procps", "mount", "ethtool", "socat",
	},
}

// kindImages go along in the node, for there is no registry.
var kindImages = []string{"pause", "kube", "coredns"}

// KindNode is the name of the node image: it has its content in it, so that an engine is known to have the right one.
func (m *Maker) KindNode(ctx context.Context) (string, error) {
	stamp, err := kindInput(ctx, m)
	if err != nil {
		return "", err
	}
	return "localhost/kindnode:" + stamp[:12], nil
}

func kindInput(ctx context.Context, m *Maker) (string, error) {
	parts := []string{
		nodeDebian.stamp(), string(nodeEntrypoint), string(nodeKubelet), string(nodeContainerd), string(nodePreload),
		string(nodeContainerdConfig),
	}
	for _, name := range kindImages {
		if _, err := m.Make(ctx, name); err != nil {
			return "", err
		}
		stamp, err := os.ReadFile(m.Path(name) + ".stamp")
		if err != nil {
			return "", err
		}
		parts = append(parts, string(stamp))
	}
	return stampOf(parts...), nil
}

func makeKindNode(ctx context.Context, m *Maker, work, out string) error {
	version, err := m.KubernetesVersion()
	if err != nil {
		return err
	}
	tag, err := m.KindNode(ctx)
	if err != nil {
		return err
	}
	packages, err := m.debianLayer(ctx, nodeDebian, work)
	if err != nil {
		return err
	}
	const units = "/etc/systemd/system/"
	files := []File{
		{Path: "/usr/local/bin/entrypoint", Content: nodeEntrypoint},
		{Path: "/usr/local/bin/kube", Source: m.Bin("kube")},
		{Path: "/kind/version", Content: []byte(version + "\n"), Mode: 0o644},
		// kind applies this, and nothing else as a class; the volumes of class lab are made later.
		{Path: "/kind/manifests/default-storage.yaml", Content: []byte(nodeStorage), Mode: 0o644},
		// For the pods that take the node's: the engine's own resolver answers only the node.
		{Path: "/kind/resolv.conf", Content: []byte("nameserver 192.0.2.1\noptions timeout:1 attempts:1\n"), Mode: 0o644},
		{Path: "/etc/containerd/config.toml", Content: nodeContainerdConfig, Mode: 0o644},
		{Path: units + "default.target", Link: "/lib/systemd/system/multi-user.target"},
	}
	for _, unit := range []struct {
		name    string
		content []byte
	}{{"kubelet", nodeKubelet}, {"containerd", nodeContainerd}, {"preload", nodePreload}} {
		file := units + unit.name + ".service"
		files = append(files, File{Path: file, Content: unit.content, Mode: 0o644},
			File{Path: units + "multi-user.target.wants/" + unit.name + ".service", Link: file})
	}
	// Nothing of a machine's own: no consoles, no devices, no time, no updates.
	for _, unit := range []string{
		"systemd-udevd.service", "systemd-udev-trigger.service", "systemd-networkd.service", "systemd-resolved.service",
		"systemd-timesyncd.service", "systemd-logind.service", "getty.target", "console-getty.service", "apt-daily.timer",
		"apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer", "nftables.service",
		"systemd-sysctl.service", "systemd-modules-load.service", "kmod-static-nodes.service",
	} {
		files = append(files, File{Path: units + unit, Link: "/dev/null"})
	}
	for _, name := range []string{"kubelet", "kubeadm", "kubectl"} {
		files = append(files, File{Path: "/usr/bin/" + name, Link: "/usr/local/bin/kube"})
	}
	for _, name := range kindImages {
		files = append(files, File{Path: "/kind/images/" + name + ".tar", Source: m.Path(name), Mode: 0o644})
	}
	own, err := fileLayer(filepath.Join(work, "node.tar"), files)
	if err != nil {
		return fmt.Errorf("node: %w", err)
	}
	return writeArchive(out, Spec{
		Tags: []string{tag}, Entrypoint: []string{"/usr/local/bin/entrypoint", "/sbin/init"},
		// What systemd takes for a request to halt (systemd(1), "Signals").
		StopSignal: "SIGRTMIN+3",
	}, packages, own)
}
