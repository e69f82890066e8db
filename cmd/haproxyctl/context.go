package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/haproxy-peers/haproxy-peers/control/api"
)

func (a *app) contextCommand() *cobra.Command {
	cmd := a.group(&cobra.Command{
		Use:   "context",
		Short: "Name installations, and say which one is meant",
		Long: `A context is a name for how the daemons of an installation are reached. All of them
are in one small file, ~/.config/haproxyctl/config.yaml, or the one that the
environment variable HAPROXYCTL_CONFIG names. The current one is meant where
neither --endpoint, --admin-socket nor --context says otherwise, nor the environment
variables HAPROXYCTL_CONTEXT and HAPROXYD_ADMIN_SOCKET; and where there is none, the
daemon on this machine.`,
		Example: `  haproxyctl context set prod --endpoint https://px0:9104,https://px1:9104 \
      --tls-cert ana.pem --tls-key ana.key --tls-ca ca.pem
  haproxyctl context use prod
  haproxyctl --context test status`,
	})
	cmd.AddCommand(
		&cobra.Command{
			Use: "list", Short: "List the contexts",
			Long:    "List the contexts with the daemons that they mean; a star is before the current one.",
			Example: "  haproxyctl context list",
			RunE:    runE(func(context.Context, []string) error { return a.listContexts() }),
		},
		&cobra.Command{
			Use: "use NAME", Short: "Say which one is meant from now on", Args: exactly("NAME"), ValidArgsFunction: a.contextNames,
			Long: `Make a context the current one: it is meant where neither --endpoint nor
--admin-socket nor --context, nor the environment variables HAPROXYCTL_CONTEXT and
HAPROXYD_ADMIN_SOCKET say otherwise.`,
			Example: "  haproxyctl context use prod",
			RunE: a.changeContexts(func(c *contexts, name string) (string, error) {
				if _, ok := c.Contexts[name]; !ok {
					return "", usagef("there is no context %q in %s: it has %s", name, c.path, cmp.Or(strings.Join(c.names(), ", "), "none"))
				}
				c.Current = name
				return name + " is meant from now on.", nil
			}),
		},
		&cobra.Command{
			Use: "set NAME", Short: "Make a context of the flags of this command, or make it anew", Args: exactly("NAME"),
			Long: `Make a context of --endpoint with --tls-cert, --tls-key and --tls-ca, or of
--admin-socket. The certificate is read, and nobody is asked. The first context is
the current one.`,
			Example: "  haproxyctl context set prod --endpoint https://px0:9104 --tls-cert ana.pem --tls-key ana.key --tls-ca ca.pem",
			RunE:    a.changeContexts(a.setContext),
		},
		&cobra.Command{
			Use: "remove NAME", Short: "Forget one", Args: exactly("NAME"), ValidArgsFunction: a.contextNames,
			Long:    "Take a context out of the file. The certificates that it names are left alone.",
			Example: "  haproxyctl context remove test",
			RunE: a.changeContexts(func(c *contexts, name string) (string, error) {
				if _, ok := c.Contexts[name]; !ok {
					return name + " is no context: nothing has changed.", nil
				}
				delete(c.Contexts, name)
				if c.Current == name {
					c.Current = ""
				}
				return name + " is forgotten.", nil
			}),
		},
	)
	return cmd
}

// changeContexts reads the file, changes it and writes it.
func (a *app) changeContexts(change func(c *contexts, name string) (string, error)) func(*cobra.Command, []string) error {
	return runE(func(_ context.Context, args []string) error {
		c, err := a.readContexts()
		if err != nil {
			return err
		}
		said, err := change(c, args[0])
		if err != nil {
			return err
		}
		if err := c.write(); err != nil {
			return err
		}
		fmt.Fprintln(a.stdout, said)
		return nil
	})
}

// setContext takes what the flags say, if a client can be made of it.
func (a *app) setContext(c *contexts, name string) (string, error) {
	w := &a.way
	in := installation{Endpoints: w.remote.Endpoints, Cert: w.remote.Cert, Key: w.remote.Key, CA: w.remote.CA}
	for _, file := range []*string{&in.Cert, &in.Key, &in.CA} {
		if *file == "" {
			continue
		}
		path, err := filepath.Abs(*file)
		if err != nil {
			return "", err
		}
		*file = path
	}
	switch {
	case len(in.Endpoints) > 0 && w.flags.Changed("admin-socket"), len(in.Endpoints) == 0 && !w.flags.Changed("admin-socket"):
		return "", usagef("give --endpoint with --tls-cert, --tls-key and --tls-ca, or --admin-socket: one of the two")
	case len(in.Endpoints) == 0:
		in = installation{AdminSocket: w.socket}
	default:
		if _, err := api.NewRemote(api.Remote{Endpoints: in.Endpoints, Cert: in.Cert, Key: in.Key, CA: in.CA}); err != nil {
			return "", usagef("%w", err)
		}
	}
	said := "is new"
	if _, ok := c.Contexts[name]; ok {
		said = "is another one now"
	}
	c.Contexts[name] = in
	if len(c.Contexts) == 1 {
		c.Current = name
	}
	return fmt.Sprintf("%s %s, in %s.", name, said, c.path), nil
}

// listedContext is one of the list.
type listedContext struct {
	Name    string `json:"name"`
	Current bool   `json:"current"`
	installation
}

func (a *app) listContexts() error {
	c, err := a.readContexts()
	if err != nil {
		return err
	}
	all := []listedContext{}
	for _, name := range c.names() {
		all = append(all, listedContext{Name: name, Current: name == c.Current, installation: c.Contexts[name]})
	}
	return a.print(all, func(w io.Writer) {
		if len(all) == 0 {
			fmt.Fprintln(w, "There is no context: the daemon on this machine is meant.")
			return
		}
		g := newGrid("CURRENT", "NAME", "DAEMONS", "CERTIFICATE")
		for _, l := range all {
			mark := cell{}
			if l.Current {
				mark = cell{"*", styleGood}
			}
			g.add(mark, plainCell(l.Name), plainCell(cmp.Or(strings.Join(l.Endpoints, ", "), l.AdminSocket)), plainCell(l.Cert))
		}
		a.write(w, g)
	})
}

// contextNames completes a context's name.
func (a *app) contextNames(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	c, err := a.readContexts()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return c.names(), cobra.ShellCompDirectiveNoFileComp
}
