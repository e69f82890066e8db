package cluster

import (
	"bytes"
	"context"
	_ "embed" // the configuration of kind
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/k8s/images"
)

// kindName is the cluster's name for kind, and starts the names of the nodes' containers.
const kindName = "haproxy-peers"

// stockImage is the variable that names a node image of the kind project, where a registry can be reached.
const stockImage = "KIND_NODE_IMAGE"

var (
	//go:embed files/kind.yaml
	kindConfig string
	//go:embed files/docker.sh
	dockerScript []byte
)

// kindCluster is one whose nodes are containers of an engine.
type kindCluster struct {
	kind       string
	kubeconfig string
	nodes      []string
	log        io.Writer
}

func upKind(ctx context.Context, opts Options) (*Cluster, error) {
	maker, err := newMaker(opts.Log)
	if err != nil {
		return nil, err
	}
	if err := docker(ctx, "version"); err != nil {
		return nil, fmt.Errorf("kind needs a container engine that answers: %w", err)
	}
	// kubectl is in the binary of the components.
	if err := maker.Build(ctx, "kube", "coredns", "kind"); err != nil {
		return nil, err
	}
	image, own := os.Getenv(stockImage), false
	if image == "" {
		own = true
		if image, err = ensureNodeImage(ctx, maker); err != nil {
			return nil, fmt.Errorf("node image: %w; %s names one of the kind project", err, stockImage)
		}
	}
	dir := filepath.Join(maker.Cache, "kind")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	k := &kindCluster{kind: maker.Bin("kind"), kubeconfig: kindKubeconfig(maker.Cache), log: opts.Log}
	c := &Cluster{
		backend: k, kind: Kind, log: opts.Log, kubeconfig: k.kubeconfig, kubectl: []string{maker.Bin("kube"), "kubectl"},
	}
	if err := k.up(ctx, c, opts.Nodes, image, own); err != nil {
		return nil, errors.Join(err, k.down(context.WithoutCancel(ctx)))
	}
	return c, nil
}

// ensureNodeImage makes the node image and gives it to the engine.
func ensureNodeImage(ctx context.Context, maker *images.Maker) (string, error) {
	tag, err := maker.KindNode(ctx)
	if err != nil {
		return "", err
	}
	if docker(ctx, "image", "inspect", tag) == nil {
		return tag, nil
	}
	paths, err := maker.Make(ctx, "kindnode")
	if err != nil {
		return "", err
	}
	return tag, docker(ctx, "load", "--quiet", "--input", paths[0])
}

func (k *kindCluster) up(ctx context.Context, c *Cluster, nodes int, image string, own bool) error {
	started := time.Now()
	parsed, err := template.New("kind").Parse(kindConfig)
	if err != nil {
		return err
	}
	var config bytes.Buffer
	err = parsed.Execute(&config, map[string]any{
		"Image": image, "Own": own, "Workers": make([]struct{}, nodes-1), "PodNetwork": podNetwork, "ServiceNetwork": serviceNetwork,
	})
	if err != nil {
		return err
	}
	args := []string{"create", "cluster", "--name", kindName, "--kubeconfig", k.kubeconfig, "--config", "-"}
	command := exec.CommandContext(ctx, k.kind, args...)
	command.Stdin = &config
	command.Stdout, command.Stderr = k.log, k.log
	command.WaitDelay = time.Second
	if command.Env, err = engineEnvironment(filepath.Dir(k.kubeconfig)); err != nil {
		return err
	}
	if err := command.Run(); err != nil {
		return fmt.Errorf("kind create cluster: %w (its lines are above)", err)
	}
	if err := c.readNodes(ctx); err != nil {
		return err
	}
	k.nodes = c.nodes
	if own {
		if err := k.routes(ctx, c); err != nil {
			return err
		}
	}
	// The first node takes pods too, as in the native cluster.
	_, err = c.Kubectl(ctx, "taint", "nodes", c.nodes[0], "node-role.kubernetes.io/control-plane-")
	if err != nil && !strings.Contains(err.Error(), "not found") {
		return err
	}
	if err := c.waitUp(ctx); err != nil {
		return err
	}
	c.logf("cluster: nodes Ready and CoreDNS up after %.0f s", time.Since(started).Seconds())
	return c.makeVolumes(ctx)
}

// capSysResource is the bit of CAP_SYS_RESOURCE (linux/capability.h).
const capSysResource = 24

// engineEnvironment is the environment for kind. Where this machine lacks CAP_SYS_RESOURCE, the command of the engine
// is one that does without.
func engineEnvironment(dir string) ([]string, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return nil, err
	}
	_, after, found := strings.Cut(string(status), "\nCapBnd:")
	line, _, _ := strings.Cut(after, "\n")
	bounding, err := strconv.ParseUint(strings.TrimSpace(line), 16, 64)
	if !found || err != nil {
		return nil, fmt.Errorf("/proc/self/status: CapBnd: %w", err)
	}
	if bounding&(1<<capSysResource) != 0 {
		return os.Environ(), nil
	}
	docker, err := exec.LookPath("docker")
	if err != nil {
		return nil, err
	}
	bin := filepath.Join(dir, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(bin, "docker"), dockerScript, 0o755); err != nil {
		return nil, err
	}
	return append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "DOCKER_COMMAND="+docker), nil
}

// routes gives the nodes of the own image their networks of pods: a bridge each, and a route to each other's. The
// engine's name server answers a node and none of its pods, not even those of the node's network, so the nodes' names
// are in their /etc/hosts; kube-proxy, which started without them, is started again.
func (k *kindCluster) routes(ctx context.Context, c *Cluster) error {
	const fields = `jsonpath={.spec.podCIDR} {.status.addresses[?(@.type=="InternalIP")].address}`
	pods, addresses := map[string]string{}, map[string]string{}
	for _, node := range k.nodes {
		out, err := c.Kubectl(ctx, "get", "node", node, "-o", fields)
		if err != nil {
			return err
		}
		words := strings.Fields(string(out))
		if len(words) < 2 {
			return fmt.Errorf("node %s has no network for pods or no address: %q", node, out)
		}
		pods[node], addresses[node] = words[0], words[1]
	}
	for _, node := range k.nodes {
		var script strings.Builder
		for _, other := range k.nodes {
			if other != node {
				_, _ = fmt.Fprintf(&script, "ip route replace %s via %s\necho %s %s >>/etc/hosts\n", pods[other], addresses[other], addresses[other], other)
			}
		}
		conf := strings.ReplaceAll(cniConfig, "{{.Node.Pods}}", pods[node])
		_, _ = fmt.Fprintf(&script, "mkdir -p /etc/cni/net.d\ncat >/etc/cni/net.d/10-bridge.conflist <<'END'\n%s\nEND\n", conf)
		if err := docker(ctx, "exec", node, "/bin/sh", "-ec", script.String()); err != nil {
			return err
		}
	}
	if _, err := c.Kubectl(ctx, "-n", "kube-system", "rollout", "restart", "daemonset/kube-proxy"); err != nil {
		return err
	}
	_, err := c.Kubectl(ctx, "-n", "kube-system", "rollout", "status", "daemonset/kube-proxy", "--timeout=60s")
	return err
}

// DownKind takes the tests' kind cluster away, also one whose maker died. The node image stays with the engine.
func DownKind(ctx context.Context, log io.Writer) error {
	maker, err := newMaker(log)
	if err != nil {
		return err
	}
	return (&kindCluster{kind: maker.Bin("kind"), kubeconfig: kindKubeconfig(maker.Cache), log: log}).down(ctx)
}

// KindIsUp tells whether a kind cluster was made and not taken away.
func KindIsUp() bool {
	maker, err := newMaker(io.Discard)
	if err != nil {
		return false
	}
	_, err = os.Stat(kindKubeconfig(maker.Cache))
	return err == nil
}

func kindKubeconfig(cache string) string { return filepath.Join(cache, "kind", "kubeconfig") }

func (k *kindCluster) down(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	_, err := output(exec.CommandContext(ctx, k.kind, "delete", "cluster", "--name", kindName, "--kubeconfig", k.kubeconfig))
	if err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Dir(k.kubeconfig)); err != nil {
		return err
	}
	// kind leaves its network; another cluster's containers may be in it, and then it stays.
	_ = docker(ctx, "network", "rm", "kind")
	return nil
}

func (k *kindCluster) supports(fault Fault) bool {
	return fault == Cut || fault == Freeze || fault == Kill
}

func (k *kindCluster) load(ctx context.Context, archive string) error {
	for _, node := range k.nodes {
		if err := importInto(ctx, node, archive); err != nil {
			return err
		}
	}
	return nil
}

func importInto(ctx context.Context, node, archive string) error {
	file, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	command := exec.CommandContext(ctx, "docker", "exec", "-i", node, "ctr", "-n", "k8s.io", "images", "import", "-")
	command.Stdin = file
	_, err = output(command)
	return err
}

// cutScript drops whatever passes the node's link, in either direction; pods of the node still reach each other.
const cutScript = `nft -f - <<'END'
table inet k8slab_cut {
  chain in { type filter hook prerouting priority -400; iifname "eth0" drop; }
  chain out { type filter hook postrouting priority 400; oifname "eth0" drop; }
}
END
`

func (k *kindCluster) cut(ctx context.Context, node string, down bool) error {
	script := "nft delete table inet k8slab_cut"
	if down {
		script = cutScript
	}
	return docker(ctx, "exec", node, "/bin/sh", "-ec", script)
}

func (k *kindCluster) freeze(ctx context.Context, node string, on bool) error {
	if on {
		return docker(ctx, "pause", node)
	}
	return docker(ctx, "unpause", node)
}

func (k *kindCluster) crash(context.Context, string) error   { return ErrUnsupported }
func (k *kindCluster) restart(context.Context, string) error { return ErrUnsupported }

// volumeRoot is on the node's /var, which is a volume of the engine.
func (k *kindCluster) volumeRoot() string { return volumesPath }

func (k *kindCluster) volume(ctx context.Context, node, path string) error {
	return docker(ctx, "exec", node, "/bin/sh", "-ec", volumeScript, "volume", path)
}

// docker runs the engine's command; what it says is in the error only.
func docker(ctx context.Context, args ...string) error {
	_, err := output(exec.CommandContext(ctx, "docker", args...))
	return err
}
