package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
)

// existing is a cluster that was there before. It is used, and left as it is.
type existing struct{}

func upExisting(ctx context.Context, opts Options) (*Cluster, error) {
	path := os.Getenv("KUBECONFIG")
	if path == "" {
		return nil, errors.New("an existing cluster needs KUBECONFIG, the path of its kubeconfig")
	}
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("KUBECONFIG: %w", err)
	}
	c := &Cluster{backend: existing{}, kind: Existing, kubeconfig: path, log: opts.Log}
	if err := c.findKubectl(); err != nil {
		return nil, err
	}
	return c, c.readNodes(ctx)
}

// findKubectl takes the one on the PATH, else the one that k8slab build has made.
func (c *Cluster) findKubectl() error {
	if path, err := exec.LookPath("kubectl"); err == nil {
		c.kubectl = []string{path}
		return nil
	}
	maker, err := newMaker(c.log)
	if err != nil {
		return err
	}
	if _, err := os.Stat(maker.Bin("kube")); err != nil {
		return errors.New("no kubectl: install one, or run k8slab build kube")
	}
	c.kubectl = []string{maker.Bin("kube"), "kubectl"}
	return nil
}

func (existing) load(context.Context, string) error {
	return fmt.Errorf("load an image: %w: push it to a registry that the cluster's nodes reach, and name it in the overlay", ErrUnsupported)
}

func (existing) down(context.Context) error                   { return nil }
func (existing) supports(Fault) bool                          { return false }
func (existing) cut(context.Context, string, bool) error      { return ErrUnsupported }
func (existing) freeze(context.Context, string, bool) error   { return ErrUnsupported }
func (existing) crash(context.Context, string) error          { return ErrUnsupported }
func (existing) restart(context.Context, string) error        { return ErrUnsupported }
func (existing) volume(context.Context, string, string) error { return ErrUnsupported }
func (existing) volumeRoot() string                           { return "" }
