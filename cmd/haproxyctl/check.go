package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/haproxy-peers/haproxy-peers/control/api"
)

// checkWithin bounds the question to the daemon. HAProxy waits for an external
// check up to `timeout check`, and forks one per server and interval.
const checkWithin = 300 * time.Millisecond

func (a *app) checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check ADDR PORT",
		Short: "Ask whether the database node at ADDR PORT is usable (HAProxy's external check)",
		Long: `Ask the daemon, which probes the nodes anyway, whether the one at ADDR PORT may be
used. Exit status 0: usable; anything else: not, or the daemon did not answer
within 0.3 s.

HAProxy's "external-check command" passes four arguments, of which the last two are
the server's; that form is taken as well. It can pass no flags: where the socket is
not the default, name a small script that sets HAPROXYD_ADMIN_SOCKET.`,
		Example: `  haproxyctl check 10.0.0.11 3306
  # as HAProxy calls it: PROXY_ADDR PROXY_PORT SERVER_ADDR SERVER_PORT
  haproxyctl check 0.0.0.0 3306 10.0.0.11 3306`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 && len(args) != 4 {
				return fmt.Errorf("ADDR PORT are wanted, or the four arguments of HAProxy's external check; got %d", len(args))
			}
			port := args[len(args)-1]
			if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
				return fmt.Errorf("%q is not a port", port)
			}
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: runE(func(ctx context.Context, args []string) error {
			return a.check(ctx, net.JoinHostPort(args[len(args)-2], args[len(args)-1]))
		}),
	}
}

func (a *app) check(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, checkWithin)
	defer cancel()
	c, err := a.client().Check(ctx, address)
	if err != nil {
		return err
	}
	if c.Usable {
		return a.print(c, func(w io.Writer) {
			fmt.Fprintf(w, "%s (%s) is usable: %s\n", c.Node, address, c.Reason)
		})
	}
	if a.format != formatTable {
		if err := a.print(c, nil); err != nil {
			return err
		}
	}
	return notUsable(c, address)
}

func notUsable(c api.Check, address string) error {
	return fmt.Errorf("%s (%s) is not usable: %s", c.Node, address, c.Reason)
}
