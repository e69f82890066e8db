package images

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// goTool builds a command of the repository into the cache and returns its path. Go's own cache makes it quick when
// nothing has changed; equal sources give equal bytes, so that an image's stamp is the binary's hash.
func (m *Maker) goTool(ctx context.Context, module, pkg string) (string, error) {
	dir := filepath.Join(m.Repo, module)
	if _, err := os.Stat(filepath.Join(dir, pkg)); err != nil {
		return "", fmt.Errorf("%s/%s: %w", module, pkg, ErrNoSource)
	}
	if err := os.MkdirAll(filepath.Join(m.Cache, "bin"), 0o755); err != nil {
		return "", err
	}
	out := m.Bin(filepath.Base(pkg))
	err := run(ctx, dir, []string{"CGO_ENABLED=0", "GOWORK=off"}, "go", "build", "-trimpath", "-buildvcs=false",
		"-ldflags", "-s -w -X main.version=test", "-o", out, "./"+pkg)
	return out, err
}

func (m *Maker) toolStamp(ctx context.Context, module string, pkgs ...string) (string, error) {
	var parts []string
	for _, pkg := range pkgs {
		out, err := m.goTool(ctx, module, pkg)
		if err != nil {
			return "", err
		}
		hash, err := hashFile(out)
		if err != nil {
			return "", err
		}
		parts = append(parts, pkg, hash)
	}
	return stampOf(parts...), nil
}

// simple writes an image of one layer of files.
func simple(work, out string, spec Spec, files ...File) error {
	l, err := fileLayer(filepath.Join(work, "layer.tar"), files)
	if err != nil {
		return err
	}
	return writeArchive(out, spec, l)
}

func pauseInput(ctx context.Context, m *Maker) (string, error) {
	return m.toolStamp(ctx, "e2e/k8s", "cmd/pause")
}

func makePause(_ context.Context, m *Maker, work, out string) error {
	return simple(work, out, Spec{Tags: []string{Pause}, Entrypoint: []string{"/pause"}, User: "65535:65535"},
		File{Path: "/pause", Source: m.Bin("pause")})
}

func corednsInput(_ context.Context, m *Maker) (string, error) { return hashFile(m.Bin("coredns")) }

func makeCoreDNS(_ context.Context, m *Maker, work, out string) error {
	return simple(work, out, Spec{Tags: []string{CoreDNS}, Entrypoint: []string{"/coredns"}},
		File{Path: "/coredns", Source: m.Bin("coredns")})
}

// kubeNames are the components that run as containers. kubelet, kubeadm and kubectl run on the nodes themselves.
var kubeNames = []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy"}

// proxyTools are what kube-proxy executes.
var proxyTools = []string{"nft"}

func kubeInput(ctx context.Context, m *Maker) (string, error) {
	version, err := m.KubernetesVersion()
	if err != nil {
		return "", err
	}
	parts := []string{version}
	files := []string{m.Bin("kube")}
	tools, err := withLibraries(ctx, proxyTools)
	if err != nil {
		return "", err
	}
	for _, tool := range tools {
		files = append(files, tool.Source)
	}
	for _, file := range files {
		hash, err := hashFile(file)
		if err != nil {
			return "", err
		}
		// Not its path: the cache may lie anywhere.
		parts = append(parts, filepath.Base(file), hash)
	}
	return stampOf(parts...), nil
}

// makeKube makes one image with a name per component: the one layer is stored once on each node.
func makeKube(ctx context.Context, m *Maker, work, out string) error {
	version, err := m.KubernetesVersion()
	if err != nil {
		return err
	}
	files := []File{{Path: "/usr/local/bin/kube", Source: m.Bin("kube")}}
	spec := Spec{Tags: []string{Etcd}}
	for _, name := range append([]string{"etcd"}, kubeNames...) {
		files = append(files, File{Path: "/usr/local/bin/" + name, Link: "kube"})
	}
	for _, name := range kubeNames {
		spec.Tags = append(spec.Tags, "localhost/"+name+":"+version)
	}
	tools, err := withLibraries(ctx, proxyTools)
	if err != nil {
		return err
	}
	// The API server and etcd write their temporary files there.
	files = append(append(files, tools...), File{Path: "/tmp", Dir: true, Mode: 0o1777})
	return simple(work, out, spec, files...)
}

// withLibraries lists programs of this machine and the shared libraries that the loader would give them (ldd), each at
// its own path: an image that has them needs no distribution for one program.
func withLibraries(ctx context.Context, programs []string) ([]File, error) {
	var files []File
	seen := map[string]bool{}
	add := func(path string) {
		if !seen[path] {
			seen[path] = true
			files = append(files, File{Path: path, Source: path})
		}
	}
	for _, program := range programs {
		path, err := exec.LookPath(program)
		if err != nil {
			return nil, fmt.Errorf("%w; run e2e/install-deps.sh k8s", err)
		}
		out, err := exec.CommandContext(ctx, "ldd", path).Output()
		if err != nil {
			return nil, fmt.Errorf("ldd %s: %w", path, err)
		}
		add(path)
		lines := bufio.NewScanner(bytes.NewReader(out))
		for lines.Scan() {
			// "libnftables.so.1 => /lib/x86_64-linux-gnu/libnftables.so.1 (0x...)", "/lib64/ld-linux-x86-64.so.2 (0x...)"
			for _, word := range strings.Fields(lines.Text()) {
				if strings.HasPrefix(word, "/") {
					add(word)
				}
			}
		}
	}
	return files, nil
}

func haproxydInput(ctx context.Context, m *Maker) (string, error) {
	return m.toolStamp(ctx, ".", "cmd/haproxyd", "cmd/haproxyctl")
}

// makeHaproxyd makes what the Dockerfile's target makes, without an engine.
func makeHaproxyd(_ context.Context, m *Maker, work, out string) error {
	return simple(work, out, Spec{Tags: []string{Haproxyd}, Entrypoint: []string{"haproxyd"}, User: "65532:65532"},
		File{Path: "/var/lib/haproxyd", Dir: true, Owner: user},
		File{Path: "/run/haproxyd", Dir: true, Owner: user},
		File{Path: "/usr/local/bin/haproxyd", Source: m.Bin("haproxyd")},
		File{Path: "/usr/local/bin/haproxyctl", Source: m.Bin("haproxyctl")})
}

func loadInput(ctx context.Context, m *Maker) (string, error) {
	return m.toolStamp(ctx, "e2e/k8s", "cmd/load")
}

func makeLoad(_ context.Context, m *Maker, work, out string) error {
	return simple(work, out, Spec{Tags: []string{Load}, Entrypoint: []string{"/load"}, User: "65532:65532"},
		File{Path: "/load", Source: m.Bin("load")}, File{Path: "/tmp", Dir: true, Mode: 0o1777})
}
