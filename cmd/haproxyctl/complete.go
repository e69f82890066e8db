package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/haproxy-peers/haproxy-peers/control/api"
)

// completeWithin bounds a completion: a shell that hangs on Tab is worse than
// one that offers nothing.
const completeWithin = 500 * time.Millisecond

// complete asks the daemon what may stand there.
func complete[T any](ask func(context.Context) (T, error), names func(T) []string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(context.Background(), completeWithin)
	defer cancel()
	v, err := ask(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return names(v), cobra.ShellCompDirectiveNoFileComp
}

// words completes a flag that takes one of these.
func words(cmd *cobra.Command, flag string, values ...string) {
	must(cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)))
}

// files completes flags that take a file's path.
func files(cmd *cobra.Command, flags ...string) {
	for _, flag := range flags {
		must(cmd.MarkFlagFilename(flag))
	}
}

// nodeNames completes the one argument NODE with the daemon's nodes that fit.
func (a *app) nodeNames(fits func(api.Node) bool) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return complete(a.client().Nodes, func(nodes []api.Node) (names []string) {
			for _, n := range nodes {
				if fits(n) {
					names = append(names, cobra.CompletionWithDesc(n.Name, nodeState(n)+", "+votes(n)))
				}
			}
			return names
		})
	}
}

// memberNames completes a flag that takes names of members.
func (a *app) memberNames(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return complete(a.client().Members, func(members []api.Member) (names []string) {
		for _, m := range members {
			names = append(names, m.Name)
		}
		return names
	})
}

// deadVoters completes the one argument NAME with the voters that are not there.
func (a *app) deadVoters(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return complete(a.client().Register, func(r api.Register) (names []string) {
		for _, v := range r.Voters {
			if !v.Live {
				names = append(names, cobra.CompletionWithDesc(v.Name, "heard "+heard(v)))
			}
		}
		return names
	})
}
