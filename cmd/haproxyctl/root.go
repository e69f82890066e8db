package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// defaultSocket is where haproxyd listens unless told otherwise.
const defaultSocket = "/run/haproxyd/admin.sock"

func (a *app) rootCommand() *cobra.Command {
	root := a.group(&cobra.Command{
		Use:   "haproxyctl",
		Short: "See and steer which database node takes the writes",
		Long: `haproxyctl talks to the haproxyd on this machine, or to one elsewhere (--endpoint,
--context). All haproxyds together agree on one active node, the database node that
every HAProxy sends its writes to. Any of them can be asked, and any of them can be
told.

Exit status: 0 done; 1 refused or failed; 2 wrong usage; 3 timed out before every
proxy had converged. An error is one line on stderr that says what to do.`,
		Example: `  haproxyctl status                     # are the clients served?
  haproxyctl active set pxc-2           # move the writes, wait for all proxies
  haproxyctl active show -o json        # for scripts
  haproxyctl config lint /etc/haproxy/haproxy.cfg`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       version,
	})
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetIn(a.stdin)
	root.SetFlagErrorFunc(flagError)
	root.SetVersionTemplate("haproxyctl {{.Version}}\n")
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), "Flags.FlagUsages", "Flags.FlagUsagesWrapped 100"))
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)

	a.format = formatTable
	flags := root.PersistentFlags()
	a.addWay(flags)
	flags.VarP(&a.format, "output", "o", "print as a table for people, or as json (one line) or yaml for scripts")
	oneOf(root, "output", formatNames...)
	for _, name := range []string{"admin-socket", "tls-cert", "tls-key", "tls-ca"} {
		must(root.MarkPersistentFlagFilename(name))
	}
	must(root.RegisterFlagCompletionFunc("context", func(cmd *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return a.contextNames(cmd, nil, typed)
	}))

	root.AddGroup(
		&cobra.Group{ID: groupSee, Title: "See:"},
		&cobra.Group{ID: groupSteer, Title: "Steer:"},
		&cobra.Group{ID: groupSetup, Title: "Set up and repair:"},
	)
	add := func(id string, cmds ...*cobra.Command) {
		for _, c := range cmds {
			c.GroupID = id
			root.AddCommand(c)
		}
	}
	add(groupSee, a.statusCommand(), a.nodesCommand(), a.membersCommand(), a.explainCommand())
	add(groupSteer, a.activeCommand(), a.excludeCommand(), a.includeCommand(), a.freezeCommand(), a.unfreezeCommand())
	add(groupSetup, a.configCommand(), a.registerCommand(), a.gossipKeyCommand(), a.galeraCommand(), a.contextCommand(), a.checkCommand(), a.versionCommand())
	takeNone(root)
	root.SetHelpCommandGroupID(groupSetup)
	root.SetCompletionCommandGroupID(groupSetup)
	return root
}

func (a *app) defaultSocket() string {
	return cmp.Or(a.getenv("HAPROXYD_ADMIN_SOCKET"), defaultSocket)
}

// Groups of commands in the help of the root.
const (
	groupSee   = "see"
	groupSteer = "steer"
	groupSetup = "setup"
)

// must is for mistakes in the building of the commands: the name of a flag that
// is not there. Every run of every command would show them.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// group makes cmd one that only has commands below it: bare it prints its help,
// and anything else is a usage error (cobra would silently print the help).
func (a *app) group(cmd *cobra.Command) *cobra.Command {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return unknownCommand(cmd, args[0])
	}
	cmd.SuggestionsMinimumDistance = 2
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	return cmd
}

// runE wraps a command's work: an error of it is a failure unless it says
// otherwise.
func runE(f func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		err := f(cmd.Context(), args)
		if _, says := errors.AsType[*exitError](err); says || err == nil {
			return err
		}
		return &exitError{exitFailed, err}
	}
}

// exactly wants one argument for each name and says which are missing.
func exactly(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return fmt.Errorf("%s is missing", names[len(args)])
		case len(args) > len(names):
			return fmt.Errorf("%q is one argument too many", args[len(names)])
		}
		for i, arg := range args {
			if arg == "" {
				return fmt.Errorf("%s is empty", names[i])
			}
		}
		return nil
	}
}

// takeNone has the commands below cmd that say nothing of arguments refuse them.
func takeNone(cmd *cobra.Command) {
	for _, c := range cmd.Commands() {
		if c.Args == nil {
			c.Args = exactly()
		}
		takeNone(c)
	}
}
