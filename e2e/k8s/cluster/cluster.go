// Package cluster makes a Kubernetes cluster for the tests, or takes an existing one, and breaks its nodes.
//
// Three kinds: "native" are nodes in namespaces of this machine, which need root and cgroup v1 and have every fault;
// "kind" are nodes in containers, which need a container engine; "existing" is what KUBECONFIG names.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Kinds of clusters, for Options.Kind.
const (
	Native   = "native"
	Kind     = "kind"
	Existing = "existing"
)

// Fault is something that a cluster may be able to do to itself, see Supports.
type Fault string

// The faults. Every cluster can delete pods and drain nodes; that is kubectl's.
const (
	Cut    Fault = "cut"    // CutNode and HealNode
	Freeze Fault = "freeze" // FreezeNode and ThawNode
	Kill   Fault = "kill"   // Kill9 and Processes
	Crash  Fault = "crash"  // CrashNode and RestartNode
)

// ErrUnsupported is in the error of a fault that this kind of cluster cannot make.
var ErrUnsupported = errors.New("this kind of cluster cannot do that")

// Options say what Up makes.
type Options struct {
	// Kind is Native, Kind or Existing; "" takes Existing when KUBECONFIG is set, else Native.
	Kind string
	// Nodes is how many; 0 is 3. An existing cluster has what it has.
	Nodes int
	// Log takes one line per step; nil is none.
	Log io.Writer
	// Reuse takes the native cluster that is up, if one is, instead of refusing to make a second one.
	Reuse bool
}

// Cluster is one that is up.
type Cluster struct {
	backend    backend
	kind       string
	kubeconfig string
	// kubectl is the command before its own arguments.
	kubectl []string
	version string
	nodes   []string
	log     io.Writer
}

// backend is what the kinds do in their own ways.
type backend interface {
	load(ctx context.Context, tar string) error
	down(ctx context.Context) error
	supports(Fault) bool
	cut(ctx context.Context, node string, down bool) error
	freeze(ctx context.Context, node string, frozen bool) error
	crash(ctx context.Context, node string) error
	restart(ctx context.Context, node string) error
	// volume makes an empty folder on the node (or empties it) that every user may write.
	volume(ctx context.Context, node, path string) error
	volumeRoot() string
}

// Up makes a cluster, or takes the existing one, and returns when all nodes are Ready and names are resolved. What it
// has made by then is taken down again when it fails or ctx ends.
func Up(ctx context.Context, opts Options) (*Cluster, error) {
	if opts.Log == nil {
		opts.Log = io.Discard
	}
	if opts.Nodes == 0 {
		opts.Nodes = 3
	}
	if opts.Kind == "" {
		opts.Kind = Native
		if os.Getenv("KUBECONFIG") != "" {
			opts.Kind = Existing
		}
	}
	switch opts.Kind {
	case Native:
		return upNative(ctx, opts)
	case Kind:
		return upKind(ctx, opts)
	case Existing:
		return upExisting(ctx, opts)
	default:
		return nil, fmt.Errorf("no kind of cluster is named %q: want native, kind or existing", opts.Kind)
	}
}

// Kubeconfig is the path of a kubeconfig of an administrator.
func (c *Cluster) Kubeconfig() string { return c.kubeconfig }

// Nodes are the names of the nodes; the first has the control plane.
func (c *Cluster) Nodes() []string { return c.nodes }

// Describe tells the kind, the version and the number of nodes, for reports.
func (c *Cluster) Describe() string {
	return fmt.Sprintf("%s cluster, Kubernetes %s, %d nodes", c.kind, c.version, len(c.nodes))
}

// KubectlCommand is the command of kubectl with this cluster's kubeconfig, for what wants its input or output apart.
func (c *Cluster) KubectlCommand(ctx context.Context, args ...string) *exec.Cmd {
	all := append(append([]string{}, c.kubectl[1:]...), "--kubeconfig="+c.kubeconfig)
	command := exec.CommandContext(ctx, c.kubectl[0], append(all, args...)...)
	// After its context has ended it shall not hang on a pipe that a child still has.
	command.WaitDelay = 2 * time.Second
	return command
}

// Kubectl runs kubectl and returns its output; what it says on standard error is in the error.
func (c *Cluster) Kubectl(ctx context.Context, args ...string) ([]byte, error) {
	return output(c.KubectlCommand(ctx, args...))
}

// Apply is `kubectl apply -f -` of these manifests.
func (c *Cluster) Apply(ctx context.Context, manifests string) error {
	command := c.KubectlCommand(ctx, "apply", "-f", "-")
	command.Stdin = strings.NewReader(manifests)
	_, err := output(command)
	return err
}

// Load puts an image archive on every node.
func (c *Cluster) Load(ctx context.Context, imageTar string) error {
	if _, err := os.Stat(imageTar); err != nil {
		return err
	}
	return c.backend.load(ctx, imageTar)
}

// Down takes the cluster away with everything in it. An existing one stays.
func (c *Cluster) Down(ctx context.Context) error { return c.backend.down(ctx) }

// Supports reports whether this cluster can make the fault.
func (c *Cluster) Supports(fault Fault) bool { return c.backend.supports(fault) }

func (c *Cluster) logf(format string, args ...any) { _, _ = fmt.Fprintf(c.log, format+"\n", args...) }

// waitUp returns when all nodes are Ready and CoreDNS serves.
func (c *Cluster) waitUp(ctx context.Context) error {
	if _, err := c.Kubectl(ctx, "wait", "--for=condition=Ready", "nodes", "--all", "--timeout=120s"); err != nil {
		return err
	}
	_, err := c.Kubectl(ctx, "-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=120s")
	return err
}

// readNodes learns names and version; nodes with the control plane come first.
func (c *Cluster) readNodes(ctx context.Context) error {
	const fields = `{range .items[*]}{.metadata.name} {.status.nodeInfo.kubeletVersion}{"\n"}{end}`
	const control = "node-role.kubernetes.io/control-plane"
	c.nodes = nil
	for _, selector := range []string{control, "!" + control} {
		out, err := c.Kubectl(ctx, "get", "nodes", "-l", selector, "-o", "jsonpath="+fields)
		if err != nil {
			return err
		}
		for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
			if name, version, ok := strings.Cut(line, " "); ok {
				c.nodes, c.version = append(c.nodes, name), version
			}
		}
	}
	if len(c.nodes) == 0 {
		return errors.New("the cluster has no nodes")
	}
	return nil
}

// output runs a command; its standard error is in the error.
func output(command *exec.Cmd) ([]byte, error) {
	out, err := command.Output()
	if err == nil {
		return out, nil
	}
	said := ""
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		said = strings.TrimSpace(string(exit.Stderr))
	}
	if said == "" {
		said = strings.TrimSpace(string(out))
	}
	return out, fmt.Errorf("%s: %w: %s", strings.Join(command.Args, " "), err, said)
}
