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

// nodeNames completes the one argument NODE with the daemon's nodes that fit.
func (a *app) nodeNames(fits func(api.Node) bool) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(context.Background(), completeWithin)
		defer cancel()
		nodes, err := a.client().Nodes(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []string
		for _, n := range nodes {
			if fits(n) {
				names = append(names, cobra.CompletionWithDesc(n.Name, nodeState(n)+", "+votes(n)))
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// memberNames completes a flag that takes names of members.
func (a *app) memberNames(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(context.Background(), completeWithin)
	defer cancel()
	members, err := a.client().Members(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, m := range members {
		names = append(names, m.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// deadVoters completes the one argument NAME with the voters that are not there.
func (a *app) deadVoters(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(context.Background(), completeWithin)
	defer cancel()
	r, err := a.client().Register(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, v := range r.Voters {
		if !v.Live {
			names = append(names, cobra.CompletionWithDesc(v.Name, "heard "+heard(v)))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
