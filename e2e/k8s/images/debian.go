package images

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// debianRelease is what the images of Debian's packages are made from: HAProxy 2.6, MariaDB 10.11, Galera 4.
const debianRelease = "bookworm"

// unneeded is left out of the images: nothing in a test reads it.
var unneeded = []string{
	"/usr/share/doc", "/usr/share/man", "/usr/share/locale", "/usr/share/info", "/usr/share/lintian",
	"/usr/share/mysql/sql-bench", "/var/cache", "/var/lib/apt/lists", "/var/log", "/dev", "/proc", "/sys", "/run",
	"/var/lib/mysql", "/usr/share/zoneinfo",
}

// debian is a root of Debian's packages, from mmdebstrap.
type debian struct {
	name     string
	packages []string
	// hooks are mmdebstrap's --customize-hook, shell lines with the new root as $1.
	hooks []string
	// drop is left out beside unneeded.
	drop []string
}

func (d debian) stamp() string {
	return stampOf(debianRelease, strings.Join(d.packages, " "), strings.Join(d.hooks, "\n"), strings.Join(d.drop, " "),
		strings.Join(unneeded, " "))
}

// haproxySpec: SIGUSR1 is HAProxy's soft stop, and what the official image has too.
var haproxySpec = Spec{Tags: []string{HAProxy}, Entrypoint: []string{"haproxy"}, User: "65532:65532", StopSignal: "SIGUSR1"}

var haproxyDebian = debian{name: "haproxy", packages: []string{"haproxy"}}

func haproxyInput(context.Context, *Maker) (string, error) {
	return stampOf(haproxyDebian.stamp(), fmt.Sprintf("%+v", haproxySpec)), nil
}

func makeHAProxy(ctx context.Context, m *Maker, work, out string) error {
	packages, err := m.debianLayer(ctx, haproxyDebian, work)
	if err != nil {
		return err
	}
	return writeArchive(out, haproxySpec, packages)
}

// debianLayer is the layer of the packages. It is kept beside the images: what else an image has may change without
// the packages being fetched and unpacked again.
func (m *Maker) debianLayer(ctx context.Context, d debian, work string) (layer, error) {
	kept := filepath.Join(m.Cache, "images", d.name+"-packages.layer")
	if !m.made(kept, d.stamp()) {
		l, err := d.layer(ctx, work)
		if err != nil {
			return layer{}, err
		}
		if err := replace(l.path, kept, d.stamp()); err != nil {
			return layer{}, err
		}
	}
	digest, err := hashFile(kept)
	return layer{path: kept, digest: digest}, err
}

// layer unpacks the packages and takes the root that comes of it.
func (d debian) layer(ctx context.Context, work string) (layer, error) {
	if _, err := exec.LookPath("mmdebstrap"); err != nil {
		return layer{}, fmt.Errorf("%w; run e2e/install-deps.sh k8s", err)
	}
	root := filepath.Join(work, "root.tar")
	args := []string{"--quiet", "--variant=minbase", "--include=" + strings.Join(d.packages, ",")}
	for _, hook := range d.hooks {
		args = append(args, "--customize-hook="+hook)
	}
	err := run(ctx, work, []string{"TMPDIR=" + work, "DEBIAN_FRONTEND=noninteractive"}, "mmdebstrap",
		append(args, debianRelease, root)...)
	if err != nil {
		return layer{}, err
	}
	source, err := os.Open(root)
	if err != nil {
		return layer{}, err
	}
	defer func() { _ = source.Close() }()
	return filterLayer(filepath.Join(work, "debian.tar"), source, append(d.drop, unneeded...))
}
