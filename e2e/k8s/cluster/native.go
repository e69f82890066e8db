package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
)

// native is a cluster whose nodes are namespaces of this machine.
type native struct {
	dir   string
	kube  string
	plan  []nodePlan
	state *state
	log   io.Writer
}

// downTimeout bounds down, which takes 1 to 2 s. A killed process ends only when the disk has answered it, and on a
// machine whose disk is busy with others that has taken more than 20 s.
const downTimeout = 60 * time.Second

// commands are what a native cluster runs of this machine.
var commands = []string{
	"containerd", "ctr", "runc", "iptables", "nft", "conntrack", "ip", "nsenter", "unshare", "mount", "/usr/lib/cni/bridge",
}

func upNative(ctx context.Context, opts Options) (*Cluster, error) {
	dir, err := nativeDir()
	if err != nil {
		return nil, err
	}
	if opts.Reuse {
		if c, err := Open(ctx, opts.Log); err == nil {
			return c, nil
		}
	}
	if err := checkNative(dir); err != nil {
		return nil, err
	}
	nodes, err := plan(opts.Nodes)
	if err != nil {
		return nil, err
	}
	maker, err := newMaker(opts.Log)
	if err != nil {
		return nil, err
	}
	if err := maker.Build(ctx, "kube", "coredns"); err != nil {
		return nil, err
	}
	archives, err := maker.Make(ctx, systemImages...)
	if err != nil {
		return nil, err
	}
	version, err := maker.KubernetesVersion()
	if err != nil {
		return nil, err
	}
	n := &native{dir: dir, kube: maker.Bin("kube"), plan: nodes, log: opts.Log}
	c := n.cluster(version)
	if err := n.up(ctx, c, archives); err != nil {
		n.logf("cluster: failed, taking it down; its logs stay in %s", n.logDir())
		return nil, errors.Join(err, n.down(context.WithoutCancel(ctx)))
	}
	return c, nil
}

// systemImages are what the cluster itself runs.
var systemImages = []string{"pause", "kube", "coredns"}

// Open takes the native cluster that is up on this machine, whoever made it.
func Open(ctx context.Context, log io.Writer) (*Cluster, error) {
	if log == nil {
		log = io.Discard
	}
	dir, err := nativeDir()
	if err != nil {
		return nil, err
	}
	s, err := readState(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("no native cluster is up; k8slab up makes one")
	}
	if err != nil {
		return nil, err
	}
	if !s.Up {
		return nil, fmt.Errorf("the native cluster is not up: process %d is making it, or died; k8slab down takes it away", s.Maker)
	}
	nodes, err := plan(s.Nodes)
	if err != nil {
		return nil, err
	}
	maker, err := newMaker(log)
	if err != nil {
		return nil, err
	}
	n := &native{dir: dir, kube: maker.Bin("kube"), plan: nodes, state: s, log: log}
	c := n.cluster(s.Version)
	return c, c.readNodes(ctx)
}

// DownNative takes away whatever is there of a native cluster, whole or half made, also when its maker is gone.
func DownNative(ctx context.Context, log io.Writer) error {
	dir, err := nativeDir()
	if err != nil {
		return err
	}
	return (&native{dir: dir, log: log}).down(ctx)
}

func (n *native) cluster(version string) *Cluster {
	c := &Cluster{
		backend: n, kind: Native, version: version, log: n.log,
		kubeconfig: filepath.Join(n.dir, "kubeconfig"), kubectl: []string{n.kube, "kubectl"},
	}
	for _, node := range n.plan {
		c.nodes = append(c.nodes, node.Name)
	}
	return c
}

// checkNative says what is missing before anything is made.
func checkNative(dir string) error {
	if os.Geteuid() != 0 {
		return errors.New("the native cluster needs root: it makes namespaces and mounts")
	}
	for _, name := range commands {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%w; run e2e/install-deps.sh k8s", err)
		}
	}
	if _, err := hierarchies(); err != nil {
		return err
	}
	roots, err := cgroupRoots()
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, "state.json")); err == nil || len(roots) > 0 {
		return errors.New("a native cluster is there already; k8slab down takes it away")
	}
	return checkRoutes()
}

func (n *native) logf(format string, args ...any) { _, _ = fmt.Fprintf(n.log, format+"\n", args...) }

func (n *native) logDir() string { return filepath.Join(n.dir, "log") }

func (n *native) up(ctx context.Context, c *Cluster, archives []string) error {
	started := time.Now()
	since := func(what string) { n.logf("cluster: %s after %.0f s", what, time.Since(started).Seconds()) }
	if err := n.prepare(c.version); err != nil {
		return err
	}
	if err := n.makeSwitch(ctx); err != nil {
		return fmt.Errorf("switch: %w", err)
	}
	for _, node := range n.plan {
		if err := n.makeNode(ctx, node); err != nil {
			return fmt.Errorf("node %s: %w", node.Name, err)
		}
	}
	since(fmt.Sprintf("%d nodes made", len(n.plan)))
	others, otherCtx := errgroup.WithContext(ctx)
	loaded := make(chan struct{})
	others.Go(func() error {
		defer close(loaded)
		for _, node := range n.plan[1:] {
			if err := n.startRuntime(otherCtx, node, archives); err != nil {
				return fmt.Errorf("node %s: %w", node.Name, err)
			}
		}
		return nil
	})
	first := func() error {
		if err := n.startRuntime(ctx, n.plan[0], archives); err != nil {
			return err
		}
		since("the first node's images loaded")
		return n.kubeadmInit(ctx, c)
	}
	if err := first(); err != nil {
		return errors.Join(fmt.Errorf("node %s: %w", n.plan[0].Name, err), others.Wait())
	}
	since("control plane up")
	<-loaded
	for _, node := range n.plan[1:] {
		others.Go(func() error { return n.kubeadmJoin(otherCtx, node) })
	}
	if err := others.Wait(); err != nil {
		return err
	}
	since("nodes joined")
	if err := c.waitUp(ctx); err != nil {
		return err
	}
	since("nodes Ready and CoreDNS up")
	if err := c.makeVolumes(ctx); err != nil {
		return err
	}
	n.state.Up = true
	return n.state.write(n.dir)
}

// prepare makes the folder of the cluster; from here on there is something to take down.
func (n *native) prepare(version string) error {
	saved, err := readSysctls()
	if err != nil {
		return err
	}
	if err := os.RemoveAll(n.logDir()); err != nil {
		return err
	}
	if err := os.MkdirAll(n.logDir(), 0o755); err != nil {
		return err
	}
	n.state = &state{Maker: os.Getpid(), Nodes: len(n.plan), Version: version, Sysctls: saved, Holders: map[string]int{}}
	if err := n.state.write(n.dir); err != nil {
		return err
	}
	var places []string
	for _, folder := range nodeFolders {
		places = append(places, folder.at)
	}
	n.state.Made, err = makeFolders(places)
	if err != nil {
		return err
	}
	if err := n.state.write(n.dir); err != nil {
		return err
	}
	// The tests' names are all the cluster's own. A query for another one goes to an address where nothing listens,
	// and is refused at once.
	if err := os.WriteFile(filepath.Join(n.dir, "resolv.conf"), []byte("nameserver "+hostAddress+"\n"), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(n.dir, "containerd.toml"), containerdConfig, 0o644); err != nil {
		return err
	}
	return n.linkComponents()
}

// linkComponents gives the binary the names of the components that run on the nodes themselves.
func (n *native) linkComponents() error {
	bin := filepath.Join(n.dir, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"kubelet", "kubeadm", "kubectl"} {
		link := filepath.Join(bin, name)
		if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.Symlink(n.kube, link); err != nil {
			return err
		}
	}
	return nil
}

// down ends every process of the cluster, whereupon the kernel removes their namespaces with all mounts and links in
// them, and then removes what is left: cgroups and folders.
func (n *native) down(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, downTimeout)
	defer cancel()
	started := time.Now()
	roots, err := cgroupRoots()
	if err != nil {
		return err
	}
	s, err := readState(n.dir)
	if errors.Is(err, fs.ErrNotExist) && len(roots) == 0 {
		return errors.New("no native cluster is there")
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var failed error
	for _, root := range roots {
		if err := killAll(ctx, root, 0); err != nil {
			failed = errors.Join(failed, err)
		}
	}
	for _, root := range roots {
		if err := removeCgroup(ctx, root); err != nil {
			failed = errors.Join(failed, err)
		}
	}
	if err := waitLinkGone(ctx); err != nil {
		failed = errors.Join(failed, err)
	}
	if s != nil {
		failed = errors.Join(failed, restoreSysctls(s.Sysctls))
	}
	if failed != nil {
		return failed
	}
	if s != nil {
		removeFolders(s.Made)
	}
	entries, err := os.ReadDir(n.dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		// The logs stay for who wants to know why; the state goes last.
		if entry.Name() == "log" || entry.Name() == "state.json" {
			continue
		}
		if err := os.RemoveAll(filepath.Join(n.dir, entry.Name())); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(filepath.Join(n.dir, "state.json")); err != nil {
		return err
	}
	n.logf("cluster: down after %.1f s", time.Since(started).Seconds())
	return nil
}
