package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
	"github.com/haproxy-peers/haproxy-peers/control/galera/grants"
)

// greetWithin bounds the wait for one server's greeting.
const greetWithin = 2 * time.Second

func (a *app) galeraCommand() *cobra.Command {
	cmd := a.group(&cobra.Command{
		Use:   "galera",
		Short: "What the daemon needs of the database",
		Long:  "Prepare the Galera cluster for the daemon. Nothing here changes a database itself.",
	})
	cmd.AddCommand(a.grantsCommand())
	return cmd
}

// grantsOptions are the flags of `galera grants`.
type grantsOptions struct {
	config  grants.Config
	parts   []string
	address string
	server  string
}

func (a *app) grantsCommand() *cobra.Command {
	var o grantsOptions
	cmd := &cobra.Command{
		Use:   "grants",
		Short: "Print the SQL that gives the daemon's account its rights",
		Long: `Print the SQL that gives the daemon's account its rights on the database: for each
part of the daemon the least that it needs, and what goes without it. Nothing is run:
give the text to the database's own client, on one node. Galera carries it to all.

  probe       is a node usable? The account itself, with no privilege
  drain       move the writes without cutting transactions
  canary      haproxyd --canary
  evict       end Galera's stall after a node's death: procedures that evict a dead
              member, and clear the list of evicted ones. They run as a locked
              account and do nothing unless the cluster is as the caller saw it
  evict-last  the same for the last of two; not printed unless it is named, because a
              mistake about the other node makes two clusters of one

MariaDB and MySQL have different words for it. Which of them it is, is read from the
greeting of --address, or of a node that the daemon here knows, without a login;
--server says it instead. What is found stands on stderr, the SQL alone on stdout.
No password is printed: a new account is locked until you give it one.`,
		Example: `  haproxyctl galera grants --host '10.0.0.%' | mariadb
  haproxyctl galera grants --for evict,evict-last --address pxc-0:3306
  haproxyctl galera grants --server mysql > grants.sql`,
		RunE: runE(func(ctx context.Context, _ []string) error { return a.grants(ctx, o) }),
	}
	f := cmd.Flags()
	f.StringVar(&o.config.User, "user", grants.DefaultUser, "the account's `NAME`: --probe-user of haproxyd")
	f.StringVar(&o.config.Host, "host", grants.DefaultHost, "the `HOST` that it logs in from, as CREATE USER has it")
	f.StringSliceVar(&o.parts, "for", partNames(grants.DefaultParts()), "the `PART,...` that are wanted, of probe, drain, canary, evict and evict-last")
	f.StringVar(&o.config.CanarySchema, "canary-schema", grants.DefaultCanarySchema, "the `SCHEMA` of the canary's table")
	f.StringVar(&o.address, "address", "", "read the kind of server from the greeting at `HOST:PORT`")
	f.StringVar(&o.server, "server", "", "the `KIND` of server: mariadb, or mysql, which is Percona XtraDB Cluster's")
	cmd.MarkFlagsMutuallyExclusive("address", "server")
	oneOf(cmd, "for", partNames(grants.Parts())...)
	oneOf(cmd, "server", string(grants.KindMariaDB), string(grants.KindMySQL))
	return cmd
}

func partNames(parts []grants.Part) (names []string) {
	for _, p := range parts {
		names = append(names, string(p))
	}
	return names
}

func (a *app) grants(ctx context.Context, o grantsOptions) error {
	for _, name := range o.parts {
		o.config.Parts = append(o.config.Parts, grants.Part(name))
	}
	// What is wrong with the flags is said before any server is asked.
	known := o.config
	if known.Kind = grants.Kind(o.server); o.server == "" {
		known.Kind = grants.KindMariaDB
	}
	if err := known.Validate(); err != nil {
		return usagef("%w", err)
	}
	if o.config.Kind = known.Kind; o.server == "" {
		address, version, err := a.greeting(ctx, o.address)
		if err != nil {
			return err
		}
		o.config.Kind, version = grants.KindOf(version)
		// It is a stranger's word until somebody has logged in.
		fmt.Fprintf(a.stderr, "For %s, which the node at %s says it is: version %.60q.\n", kindTitles[o.config.Kind], address, version)
	}
	text, err := grants.SQL(o.config)
	if err != nil {
		return err
	}
	if o.config.Kind == grants.KindMySQL && slices.ContainsFunc(o.config.Parts, grants.Part.Evicts) {
		fmt.Fprintln(a.stderr, "The procedures for MySQL were not run on Percona XtraDB Cluster: try them on a cluster that nobody needs.")
	}
	_, err = io.WriteString(a.stdout, text)
	return err
}

var kindTitles = map[grants.Kind]string{grants.KindMariaDB: "MariaDB", grants.KindMySQL: "MySQL or Percona XtraDB Cluster"}

// greeting reads the version of the server at the address, or of the first of the daemon's nodes
// that greets.
func (a *app) greeting(ctx context.Context, address string) (at, version string, err error) {
	if address != "" {
		version, err = versionAt(ctx, address)
		return address, version, err
	}
	nodes, err := a.client().Nodes(ctx)
	if err != nil {
		return "", "", fmt.Errorf("name a node with --address, or say --server mariadb or mysql, because the daemon cannot be asked for one: %w", err)
	}
	why := errors.New("it has no nodes")
	for _, n := range nodes {
		if version, err = versionAt(ctx, n.Address); err == nil {
			return n.Address, version, nil
		}
		why = err
	}
	return "", "", fmt.Errorf("no node that the daemon knows greets from here: name one with --address, or say --server mariadb or mysql: %w", why)
}

func versionAt(ctx context.Context, address string) (string, error) {
	d, err := conn.NewDialer(address, nil)
	if err != nil {
		return "", usagef("%q is no HOST:PORT: %w", address, err)
	}
	version, err := d.Version(ctx, greetWithin)
	if err != nil {
		return "", fmt.Errorf("%s does not greet: %w", address, err)
	}
	return version, nil
}
