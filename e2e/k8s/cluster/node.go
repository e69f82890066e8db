package cluster

import (
	"bytes"
	"context"
	_ "embed" // the nodes' files
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"text/template"
	"time"
)

var (
	//go:embed files/containerd.toml
	containerdConfig []byte
	//go:embed files/cni.conflist
	cniConfig string
	//go:embed files/init.yaml
	initConfig string
	//go:embed files/join.yaml
	joinConfig string
	//go:embed files/node.sh
	nodeScript string
	//go:embed files/kubelet.sh
	kubeletScript string
)

// token lets nodes join. It is no secret: whoever reaches the API's address is root on this machine.
const token = "abcdef.0123456789abcdef"

// volumesPath is where the nodes have the volumes' folders.
const volumesPath = "/var/lib/k8slab"

// nodeFolders are what every node has of its own: a folder below the cluster's, and where the node sees it.
var nodeFolders = []struct{ keep, at string }{
	{"kubelet", "/var/lib/kubelet"},
	{"containerd", "/var/lib/containerd"},
	{"cni", "/var/lib/cni"},
	{"etcd", "/var/lib/etcd"},
	{"volumes", volumesPath},
	{"log-pods", "/var/log/pods"},
	{"log-containers", "/var/log/containers"},
	{"etc-cni", "/etc/cni"},
	{"etc-kubernetes", "/etc/kubernetes"},
}

func (n *native) keep(node nodePlan) string { return filepath.Join(n.dir, node.Name) }

// spawn starts a command that outlives this process, as the leader of a session, in a cgroup of the cluster.
func (n *native) spawn(cgroup, logName string, args ...string) (int, error) {
	out, err := os.OpenFile(filepath.Join(n.logDir(), logName), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return 0, err
	}
	defer func() { _ = out.Close() }()
	command := exec.Command("/bin/sh", append([]string{"-ec", enterCgroup(cgroup) + `exec "$@"`, "sh"}, args...)...)
	command.Stdout, command.Stderr = out, out
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	command.Dir = "/"
	if err := command.Start(); err != nil {
		return 0, err
	}
	// Its end is read so that it does not stay as a zombie; killAll is who ends it.
	go func() { _ = command.Wait() }()
	return command.Process.Pid, nil
}

// inside is the command that runs args on the node.
func (n *native) inside(node nodePlan, args ...string) []string {
	pid := strconv.Itoa(n.state.Holders[node.Name])
	// The network by its own path: nsenter's --all would take namespaces that the node shares with the machine.
	return append([]string{"nsenter", "-t", pid, "--net", "--mount", "--uts", "--wd=/", "--"}, args...)
}

// onNode runs a command on the node and returns its output.
func (n *native) onNode(ctx context.Context, node nodePlan, args ...string) ([]byte, error) {
	all := n.inside(node, args...)
	command := exec.CommandContext(ctx, all[0], all[1:]...)
	command.WaitDelay = time.Second
	return output(command)
}

// makeNode makes the node's namespaces, folders and its link to the switch.
func (n *native) makeNode(ctx context.Context, node nodePlan) error {
	keep := n.keep(node)
	if err := os.MkdirAll(filepath.Join(keep, "etc-cni", "net.d"), 0o755); err != nil {
		return err
	}
	conf, err := n.render(cniConfig, node)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(keep, "etc-cni", "net.d", "10-bridge.conflist"), conf, 0o644); err != nil {
		return err
	}
	var folders strings.Builder
	for _, folder := range nodeFolders {
		_, _ = fmt.Fprintf(&folders, "%s %s\n", folder.keep, folder.at)
	}
	if err := os.WriteFile(filepath.Join(keep, "folders"), []byte(folders.String()), 0o644); err != nil {
		return err
	}
	if err := makeCgroup(node.Cgroup); err != nil {
		return err
	}
	pid, err := n.spawn(node.Cgroup, node.Name+".node.log", "unshare", "--net", "--mount", "--uts", "--propagation", "private",
		"/bin/sh", "-c", nodeScript, "node", keep, node.Name)
	if err != nil {
		return err
	}
	n.state.Holders[node.Name] = pid
	if err := n.state.write(n.dir); err != nil {
		return err
	}
	if err := n.waitMade(ctx, pid, filepath.Join(keep, "made"), node.Name+".node.log"); err != nil {
		return err
	}
	return n.plug(ctx, node)
}

// waitMade returns when the holder of a namespace has made its file, or says what it said when it has ended.
func (n *native) waitMade(ctx context.Context, pid int, file, logName string) error {
	for {
		if _, err := os.Stat(file); err == nil {
			return nil
		}
		if syscall.Kill(pid, 0) != nil {
			said, _ := os.ReadFile(filepath.Join(n.logDir(), logName))
			return fmt.Errorf("its namespaces were not made: %s", bytes.TrimSpace(said))
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}

// startRuntime starts containerd, loads the images, and starts the kubelet's loop.
func (n *native) startRuntime(ctx context.Context, node nodePlan, archives []string) error {
	args := n.inside(node, "containerd", "-c", filepath.Join(n.dir, "containerd.toml"))
	if _, err := n.spawn(node.Cgroup, node.Name+".containerd.log", args...); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		_, err := n.onNode(limited, node, "ctr", "version")
		if err == nil {
			break
		}
		if pause(limited, 100*time.Millisecond) != nil {
			return fmt.Errorf("containerd does not answer (log: %s/%s.containerd.log): %w", n.logDir(), node.Name, err)
		}
	}
	for _, archive := range archives {
		if err := n.importImage(ctx, node, archive); err != nil {
			return err
		}
	}
	return n.startKubelet(node)
}

func (n *native) startKubelet(node nodePlan) error {
	args := n.inside(node, "/bin/sh", "-c", kubeletScript, "kubelet", filepath.Join(n.dir, "bin", "kubelet"))
	_, err := n.spawn(node.Cgroup, node.Name+".kubelet.log", args...)
	return err
}

func (n *native) importImage(ctx context.Context, node nodePlan, archive string) error {
	_, err := n.onNode(ctx, node, "ctr", "-n", "k8s.io", "images", "import", archive)
	return err
}

// render fills a file of the node in.
func (n *native) render(text string, node nodePlan) ([]byte, error) {
	parsed, err := template.New("").Option("missingkey=error").Parse(text)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = parsed.Execute(&out, map[string]any{
		"Node": node, "First": n.plan[0], "Token": token, "APIPort": apiPort, "Version": n.state.Version, "Dir": n.dir,
		"PodNetwork": podNetwork, "ServiceNetwork": serviceNetwork,
	})
	return out.Bytes(), err
}

func (n *native) kubeadmInit(ctx context.Context, c *Cluster) error {
	config, err := n.writeConfig(n.plan[0], initConfig)
	if err != nil {
		return err
	}
	if err := n.kubeadm(ctx, n.plan[0], "init", "--config", config); err != nil {
		return err
	}
	admin, err := os.ReadFile(filepath.Join(n.keep(n.plan[0]), "etc-kubernetes", "admin.conf"))
	if err != nil {
		return err
	}
	return os.WriteFile(c.kubeconfig, admin, 0o600)
}

func (n *native) kubeadmJoin(ctx context.Context, node nodePlan) error {
	config, err := n.writeConfig(node, joinConfig)
	if err != nil {
		return err
	}
	return n.kubeadm(ctx, node, "join", "--config", config)
}

func (n *native) writeConfig(node nodePlan, text string) (string, error) {
	content, err := n.render(text, node)
	if err != nil {
		return "", err
	}
	path := filepath.Join(n.keep(node), "kubeadm.yaml")
	return path, os.WriteFile(path, content, 0o600)
}

// kubeadm runs on the node; what it says goes to a log, its end into the error.
func (n *native) kubeadm(ctx context.Context, node nodePlan, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, 4*time.Minute)
	defer cancel()
	logPath := filepath.Join(n.logDir(), node.Name+".kubeadm.log")
	all := n.inside(node, append([]string{filepath.Join(n.dir, "bin", "kubeadm")}, args...)...)
	command := exec.CommandContext(ctx, all[0], all[1:]...)
	command.WaitDelay = time.Second
	said, err := command.CombinedOutput()
	if writeErr := os.WriteFile(logPath, said, 0o644); writeErr != nil {
		return writeErr
	}
	if err != nil {
		lines := strings.Split(strings.TrimSpace(string(said)), "\n")
		return fmt.Errorf("kubeadm %s: %w (log: %s)\n%s", args[0], err, logPath, strings.Join(lines[max(0, len(lines)-15):], "\n"))
	}
	return nil
}
