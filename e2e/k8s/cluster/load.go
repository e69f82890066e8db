package cluster

import (
	"context"
	"errors"
	"io"

	"github.com/haproxy-peers/haproxy-peers/e2e/k8s/images"
)

func newMaker(log io.Writer) (*images.Maker, error) { return images.New(log) }

// testImages are what the scenarios run.
var testImages = []string{"haproxyd", "haproxy", "galera", "load"}

// LoadImages makes images as far as the cache does not have them, and loads them. Without names the tests' own; one of
// those whose source is not in the repository is left out.
func (c *Cluster) LoadImages(ctx context.Context, names ...string) error {
	all := len(names) == 0
	if all {
		names = testImages
	}
	maker, err := newMaker(c.log)
	if err != nil {
		return err
	}
	for _, name := range names {
		paths, err := maker.Make(ctx, name)
		if all && errors.Is(err, images.ErrNoSource) {
			c.logf("image %s: left out: %v", name, err)
			continue
		}
		if err != nil {
			return err
		}
		if err := c.Load(ctx, paths[0]); err != nil {
			return err
		}
		c.logf("image %s: on %d nodes", name, len(c.nodes))
	}
	return nil
}
