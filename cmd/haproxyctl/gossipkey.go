package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/haproxy-peers/haproxy-peers/cluster/gossip"
)

func (a *app) gossipKeyCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "gossip-key [--out FILE]",
		Short: "Make a key for the daemons' gossip",
		Long: `Make a key for --gossip-key-file of haproxyd, and print it: 32 random bytes in
base64, one line. Every member gets the same file. It is read again when it changes,
and may hold several keys: the first one encrypts, all of them are accepted. So a key
is replaced without a moment's loss: append the new one everywhere, then make it the
first line everywhere, then remove the old one.

With --out the key goes into a new file that its owner alone may read; a file that
is there is never replaced, because the key of a running cluster would be lost.`,
		Example: `  haproxyctl gossip-key --out /etc/haproxyd/gossip-key
  haproxyctl gossip-key | kubectl create secret generic haproxy-gossip --from-file=keys=/dev/stdin`,
		RunE: runE(func(context.Context, []string) error {
			key := gossip.NewKey() + "\n"
			if out == "" {
				_, err := io.WriteString(a.stdout, key)
				return err
			}
			return writeNew(out, key)
		}),
	}
	cmd.Flags().StringVar(&out, "out", "", "the new `FILE` to write it to, with mode 0600")
	files(cmd, "out")
	return cmd
}

// writeNew writes a file that must not be there yet. One that could not be written whole is taken away again.
func writeNew(file, text string) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already and is not replaced: a cluster may run with its key; to change keys append to it (haproxyctl gossip-key >> %s)", file, file)
	}
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(file))
	}
	return nil
}
