// Command k8slab makes what the Kubernetes tests need: binaries, images and a cluster.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/haproxy-peers/haproxy-peers/e2e/k8s/images"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := &cobra.Command{
		Use:   "k8slab",
		Short: "Binaries, images and a cluster for the Kubernetes tests",
		Long: `k8slab makes what the Kubernetes tests need, on one machine, with Debian's packages and Go modules alone.

Everything is kept in ${HAPROXY_PEERS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/haproxy-peers}/k8s and made again only
when what it is made of has changed. e2e/install-deps.sh k8s installs the packages that are needed.`,
		SilenceUsage: true, SilenceErrors: true,
	}
	var force bool
	build := &cobra.Command{
		Use:   "build [kube|coredns|kind]...",
		Short: "Build the binaries: all components of Kubernetes in one, CoreDNS, kind",
		Long: `Builds the binaries from the modules e2e/k8s/kube, coredns and kind.

From nothing that takes about 1,300 CPU seconds and 2.5 GB of memory, with Go's build cache 40 s. A binary whose
sources have not changed is not built again.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			maker, err := newMaker(force)
			if err != nil {
				return err
			}
			return maker.Build(cmd.Context(), args...)
		},
	}
	image := &cobra.Command{
		Use:   "images [NAME]...",
		Short: "Make the container images, as archives that docker, containerd and podman load",
		Long:  fmt.Sprintf("Makes the images %v; without names all of them. Those of Kubernetes want `k8slab build` first.", images.Names()),
		RunE: func(cmd *cobra.Command, args []string) error {
			maker, err := newMaker(force)
			if err != nil {
				return err
			}
			return makeImages(cmd.Context(), maker, args)
		},
	}
	for _, cmd := range []*cobra.Command{build, image} {
		cmd.Flags().BoolVar(&force, "force", false, "make it again though nothing has changed")
	}
	root.AddCommand(build, image)
	root.AddCommand(clusterCommands()...)
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "k8slab:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop was called
	}
}

func newMaker(force bool) (*images.Maker, error) {
	maker, err := images.New(os.Stderr)
	if err == nil {
		maker.Force = force
	}
	return maker, err
}

// makeImages makes the named images and prints the paths. Of all images, one whose source is missing is left out.
func makeImages(ctx context.Context, maker *images.Maker, names []string) error {
	all := len(names) == 0
	if all {
		names = images.Names()
	}
	for _, name := range names {
		paths, err := maker.Make(ctx, name)
		switch {
		case all && errors.Is(err, images.ErrNoSource):
			fmt.Fprintf(os.Stderr, "image %s: left out: %v\n", name, err)
		case err != nil:
			return err
		default:
			fmt.Println(paths[0])
		}
	}
	return nil
}
