package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/words"
)

// completeWithin bounds a completion: a shell that hangs on Tab is worse than
// one that offers nothing.
const completeWithin = 500 * time.Millisecond

// complete completes the first argument with what the daemon lists: name gives the name
// of one, "" where it does not fit. Behind that argument it offers nothing.
func complete[T any](args []string, list func(context.Context) ([]T, error), name func(T) string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(context.Background(), completeWithin)
	defer cancel()
	all, _ := list(ctx) // without an answer nothing is offered
	var names []string
	for _, v := range all {
		if n := name(v); n != "" {
			names = append(names, n)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// oneOf completes a flag that takes one of these.
func oneOf(cmd *cobra.Command, flag string, values ...string) {
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
		return complete(args, a.client().Nodes, func(n api.Node) string {
			if !fits(n) {
				return ""
			}
			return cobra.CompletionWithDesc(n.Name, words.NodeState(n)+", "+words.Votes(n))
		})
	}
}

// memberNames completes a flag that takes names of members.
func (a *app) memberNames(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return complete(nil, a.client().Members, func(m api.Member) string { return m.Name })
}

// deadVoters completes the one argument NAME with the voters that are not there.
func (a *app) deadVoters(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	voters := func(ctx context.Context) ([]api.Voter, error) {
		r, err := a.client().Register(ctx)
		return r.Voters, err
	}
	return complete(args, voters, func(v api.Voter) string {
		if v.Live {
			return ""
		}
		return cobra.CompletionWithDesc(v.Name, "heard "+heard(v))
	})
}
