package images

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// binary is one that is built from a small module of its own under e2e/k8s.
type binary struct {
	name, pkg string
	// about says what a build without Go's build cache costs.
	about string
}

var binaries = []binary{
	{"kube", ".", "about 1,000 CPU seconds and 2.5 GB of memory"},
	{"coredns", ".", "about 250 CPU seconds"},
	{"kind", "sigs.k8s.io/kind", "about 20 CPU seconds"},
}

var kubernetesLine = regexp.MustCompile(`(?m)^\s*k8s\.io/kubernetes (v1\.(\d+)\.\d+)$`)

// KubernetesVersion is the version that e2e/k8s/kube/go.mod names, such as v1.34.4.
func (m *Maker) KubernetesVersion() (string, error) {
	version, _, err := m.kubernetesVersion()
	return version, err
}

func (m *Maker) kubernetesVersion() (version, minor string, err error) {
	path := filepath.Join(m.Repo, "e2e/k8s/kube/go.mod")
	file, err := os.ReadFile(path)
	if err != nil {
		return "", "", err
	}
	found := kubernetesLine.FindSubmatch(file)
	if found == nil {
		return "", "", fmt.Errorf("%s: no line names k8s.io/kubernetes v1.x.y", path)
	}
	return string(found[1]), string(found[2]), nil
}

// Build builds what is missing or was built from other sources. names: all of them when empty.
func (m *Maker) Build(ctx context.Context, names ...string) error {
	if err := os.MkdirAll(filepath.Join(m.Cache, "bin"), 0o755); err != nil {
		return err
	}
	wanted := map[string]bool{}
	for _, name := range names {
		wanted[name] = true
	}
	for _, b := range binaries {
		if len(names) > 0 && !wanted[b.name] {
			continue
		}
		delete(wanted, b.name)
		if err := m.build(ctx, b); err != nil {
			return err
		}
	}
	for name := range wanted {
		return fmt.Errorf("no binary is named %q: want kube, coredns or kind", name)
	}
	return nil
}

func (m *Maker) build(ctx context.Context, b binary) error {
	dir := filepath.Join(m.Repo, "e2e/k8s", b.name)
	flags := "-s -w"
	if b.name == "kube" {
		// Without these the components take themselves for v0.0.0, and kubeadm refuses such a kubelet.
		version, minor, err := m.kubernetesVersion()
		if err != nil {
			return err
		}
		const pkg = "k8s.io/component-base/version"
		flags += fmt.Sprintf(" -X %s.gitVersion=%s -X %s.gitMajor=1 -X %s.gitMinor=%s", pkg, version, pkg, pkg, minor)
	}
	args := []string{"build", "-trimpath", "-ldflags", flags, "-o", m.Bin(b.name) + ".new", b.pkg}
	parts := []string{strings.Join(args[:4], " ")}
	for _, name := range []string{"go.mod", "go.sum", "main.go"} {
		file, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil && (name != "main.go" || !os.IsNotExist(err)) {
			return err
		}
		parts = append(parts, string(file))
	}
	stamp := stampOf(parts...)
	unlock, err := m.lock(m.Bin(b.name))
	if err != nil {
		return err
	}
	defer unlock()
	if m.made(m.Bin(b.name), stamp) {
		m.logf("build %s: in the cache", b.name)
		return nil
	}
	m.logf("build %s: go build (from nothing: %s)", b.name, b.about)
	started := time.Now()
	if err := run(ctx, dir, []string{"CGO_ENABLED=0", "GOWORK=off"}, "go", args...); err != nil {
		return fmt.Errorf("build %s: %w", b.name, err)
	}
	if err := replace(m.Bin(b.name)+".new", m.Bin(b.name), stamp); err != nil {
		return err
	}
	info, err := os.Stat(m.Bin(b.name))
	if err != nil {
		return err
	}
	m.logf("build %s: %d MB in %.0f s", b.name, info.Size()/1e6, time.Since(started).Seconds())
	return nil
}
