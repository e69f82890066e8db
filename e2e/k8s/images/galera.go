package images

import (
	"context"
	"fmt"
	"path/filepath"
)

// galeraDebian is MariaDB with Galera and what its state transfer by rsync runs. Its user gets the number that the
// manifest names: rsync wants a user that has a name.
var galeraDebian = debian{
	name:     "galera",
	packages: []string{"mariadb-server", "galera-4", "rsync", "lsof"},
	hooks: []string{
		`chroot "$1" groupmod -g 65532 mysql`,
		`chroot "$1" usermod -u 65532 -g 65532 mysql`,
	},
	// Perl and the tools that want it are a quarter of the image; so are the engines that no test uses.
	drop: []string{"/usr/lib/x86_64-linux-gnu/perl", "/usr/share/perl", "/usr/share/perl5"},
}

var galeraSpec = Spec{Tags: []string{Galera}, Entrypoint: []string{"/usr/local/bin/galera"}, User: "65532:65532"}

func galeraInput(ctx context.Context, m *Maker) (string, error) {
	tool, err := m.toolStamp(ctx, "e2e/k8s", "cmd/galera")
	return stampOf(galeraDebian.stamp(), tool, fmt.Sprintf("%+v", galeraSpec)), err
}

// makeGalera puts the entry point into a layer of its own over the packages'.
func makeGalera(ctx context.Context, m *Maker, work, out string) error {
	packages, err := m.debianLayer(ctx, galeraDebian, work)
	if err != nil {
		return err
	}
	entry, err := fileLayer(filepath.Join(work, "entry.tar"), []File{
		{Path: "/usr/local/bin/galera", Source: m.Bin("galera")},
		{Path: "/var/lib/mysql", Dir: true, Owner: user},
		{Path: "/run/mysqld", Dir: true, Owner: user},
		{Path: "/tmp", Dir: true, Mode: 0o1777},
	})
	if err != nil {
		return err
	}
	return writeArchive(out, galeraSpec, packages, entry)
}
