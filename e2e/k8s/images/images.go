package images

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Names of the images as pods of the tests use them.
const (
	Haproxyd = "localhost/haproxyd:test"
	HAProxy  = "localhost/haproxy:test"
	Galera   = "localhost/galera:test"
	Load     = "localhost/load:test"
	Pause    = "localhost/pause:1"
	CoreDNS  = "localhost/coredns:v1"
	Etcd     = "localhost/etcd:v1"
)

// user owns what the images that are not root write: the number in haproxyd's Dockerfile.
const user = 65532

// recipe tells how one image is made. input hashes what it is made of; make writes the archive.
type recipe struct {
	name  string
	input func(ctx context.Context, m *Maker) (string, error)
	make  func(ctx context.Context, m *Maker, work, out string) error
}

// recipes are in the order in which one may be part of the next. A function, for some ask for others.
func recipes() []recipe {
	return []recipe{
		{"pause", pauseInput, makePause},
		{"kube", kubeInput, makeKube},
		{"coredns", corednsInput, makeCoreDNS},
		{"haproxyd", haproxydInput, makeHaproxyd},
		{"haproxy", haproxyInput, makeHAProxy},
		{"galera", galeraInput, makeGalera},
		{"load", loadInput, makeLoad},
		{"kindnode", kindInput, makeKindNode},
	}
}

// ErrNoSource is in the error when what an image is made of is not in the repository.
var ErrNoSource = errors.New("its source is not in the repository")

// Names lists the images: those of a cluster itself, then those of the tests.
func Names() []string {
	var names []string
	for _, r := range recipes() {
		names = append(names, r.name)
	}
	return names
}

// Path is where an image's archive lies once Make has made it.
func (m *Maker) Path(name string) string { return filepath.Join(m.Cache, "images", name+".tar") }

// Make makes what is missing or was made from something else, and returns the paths of the archives. names: all of
// them when empty.
func (m *Maker) Make(ctx context.Context, names ...string) ([]string, error) {
	if len(names) == 0 {
		names = Names()
	}
	if err := os.MkdirAll(filepath.Join(m.Cache, "images"), 0o755); err != nil {
		return nil, err
	}
	var paths []string
	all := recipes()
	for _, name := range names {
		i := slices.IndexFunc(all, func(r recipe) bool { return r.name == name })
		if i < 0 {
			return nil, fmt.Errorf("no image is named %q: want one of %s", name, strings.Join(Names(), ", "))
		}
		if err := m.image(ctx, all[i]); err != nil {
			return nil, fmt.Errorf("image %s: %w", name, err)
		}
		paths = append(paths, m.Path(name))
	}
	return paths, nil
}

func (m *Maker) image(ctx context.Context, r recipe) error {
	stamp, err := r.input(ctx, m)
	if err != nil {
		return err
	}
	out := m.Path(r.name)
	unlock, err := m.lock(out)
	if err != nil {
		return err
	}
	defer unlock()
	if m.made(out, stamp) {
		m.logf("image %s: in the cache", r.name)
		return nil
	}
	m.logf("image %s: making", r.name)
	started := time.Now()
	work, err := os.MkdirTemp(m.Cache, "image-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	temporary := filepath.Join(work, "image.tar")
	if err := r.make(ctx, m, work, temporary); err != nil {
		return err
	}
	info, err := os.Stat(temporary)
	if err != nil {
		return err
	}
	if err := replace(temporary, out, stamp); err != nil {
		return err
	}
	m.logf("image %s: %d MB in %.0f s", r.name, info.Size()/1e6, time.Since(started).Seconds())
	return nil
}
