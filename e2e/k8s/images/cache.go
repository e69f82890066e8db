// Package images makes what a cluster of the tests runs: the binaries of Kubernetes, CoreDNS and kind from Go modules,
// and container images from those binaries and from Debian's packages, with no registry and no container engine.
// Everything is kept in a cache folder outside the repository and made again only when what it is made of has changed.
package images

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/haproxy-peers/haproxy-peers/control/kube/kubetest"
)

const mainModule = "module github.com/haproxy-peers/haproxy-peers\n"

// Maker makes binaries and images.
type Maker struct {
	// Repo is the root of the repository, Cache the folder for everything that is made.
	Repo, Cache string
	// Log takes one line per step. Not nil.
	Log io.Writer
	// Force makes again what is in the cache.
	Force bool
}

// New finds the repository around the working directory, and the cache folder.
func New(log io.Writer) (*Maker, error) {
	repo, err := findRepo()
	if err != nil {
		return nil, err
	}
	cache, err := kubetest.CacheDir()
	if err != nil {
		return nil, err
	}
	return &Maker{Repo: repo, Cache: cache, Log: log}, nil
}

func findRepo() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		file, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(file), mainModule) {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s is not in the repository haproxy-peers: run this inside it", start)
		}
	}
}

// Bin is the path of a binary that Build has made: kube, coredns or kind.
func (m *Maker) Bin(name string) string { return filepath.Join(m.Cache, "bin", name) }

func (m *Maker) logf(format string, args ...any) { _, _ = fmt.Fprintf(m.Log, format+"\n", args...) }

// stampOf is a hash over strings, in this order.
func stampOf(parts ...string) string {
	sum := sha256.New()
	for _, part := range parts {
		_, _ = fmt.Fprintf(sum, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

func hashFile(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// made reports whether the file is there and was made from this stamp.
func (m *Maker) made(path, stamp string) bool {
	if m.Force {
		return false
	}
	if _, err := os.Stat(path); err != nil {
		return false
	}
	have, err := os.ReadFile(path + ".stamp")
	return err == nil && string(have) == stamp
}

// lock makes other makers of the same file wait, in this process and in others. The lock ends with its holder.
func (m *Maker) lock(path string) (unlock func(), err error) {
	file, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if errors.Is(syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB), syscall.EWOULDBLOCK) {
		m.logf("%s: waiting for another process that makes it", filepath.Base(path))
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
	}
	return func() { _ = file.Close() }, nil
}

// replace puts a finished file in its place. The stamp goes first and comes back last: a file that was cut short
// never has one.
func replace(temporary, path, stamp string) error {
	if err := os.Remove(path + ".stamp"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	return os.WriteFile(path+".stamp", []byte(stamp), 0o644)
}

// run runs a command; what it printed is in the error.
func run(ctx context.Context, dir string, env []string, name string, args ...string) error {
	command := exec.CommandContext(ctx, name, args...)
	command.Dir = dir
	command.Env = append(os.Environ(), env...)
	var out bytes.Buffer
	command.Stdout, command.Stderr = &out, &out
	if err := command.Run(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), errors.Join(err, ctx.Err()), lastLines(out.String(), 30))
	}
	return nil
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
