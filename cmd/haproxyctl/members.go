package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/words"
)

func (a *app) membersCommand() *cobra.Command {
	list := answer(a, func(ctx context.Context, _ []string) ([]api.Member, error) { return a.client().Members(ctx) }, a.membersTable)
	cmd := a.group(&cobra.Command{
		Use:   "members",
		Short: "List the daemons that know each other, or remove one for good",
		Long: `The members are the daemons of the gossip. Without a command below it, this is
"members list".`,
		Example: `  haproxyctl members
  haproxyctl members remove px2`,
	})
	cmd.RunE = list
	cmd.AddCommand(
		&cobra.Command{
			Use:   "list",
			Short: "List the daemons that know each other",
			Long: `List the daemons of the gossip: which of them vote, which leads, and what the
HAProxy beside each of them does. "here" is the daemon that was asked.`,
			Example: `  haproxyctl members list
  haproxyctl members list -o json | jq -r '.[] | select(.voter) | .name'`,
			RunE: list,
		},
		a.removeMemberCommand(),
	)
	return cmd
}

func (a *app) removeMemberCommand() *cobra.Command {
	return a.order(&cobra.Command{
		Use:   "remove NAME",
		Short: "Take a voter that never comes back out of the voters",
		Long: `Take a member that never comes back out of the record's voters, by a step that a
majority of them commits. Until then it counts: a majority is of all voters, and
"active set" waits for every one of them.

A daemon that stops cleanly leaves the voters by itself, one that is silent for a
minute is replaced by another live member if there is one, and one that comes back
with an empty disk takes its old place. So this is for a member that died and has
no successor. It is refused while the member is alive, and without a majority:
then see "haproxyctl register recover". Should the member come back all the same,
it becomes a voter again.`,
		Example:           "  haproxyctl members remove px2",
		Args:              exactly("NAME"),
		ValidArgsFunction: a.deadVoters,
		RunE: answer(a, func(ctx context.Context, args []string) (api.RemoveResponse, error) {
			return a.client().RemoveMember(ctx, args[0])
		}, func(w io.Writer, r api.RemoveResponse) {
			if r.Changed {
				fmt.Fprintf(w, "%s is no voter any more.\n\n", r.Name)
			} else {
				fmt.Fprintf(w, "%s was no voter: nothing has changed.\n\n", r.Name)
			}
			a.registerTable(w, r.Register)
		}),
	})
}

func (a *app) membersTable(w io.Writer, members []api.Member) {
	g := newGrid("MEMBER", "STATE", "ROLE", "ADDRESS", "VERSION", "DISK", "ITS HAPROXY")
	for _, m := range members {
		state := cell{m.State, either(m.State == "alive", styleGood, styleBad)}
		g.add(memberCell(m), state, plainCell(words.Role(m)), plainCell(m.Address), plainCell(m.Version), plainCell(m.Disk), plainCell(words.Proxy(m)))
	}
	a.write(w, g)
}

func memberCell(m api.Member) cell {
	if m.Self {
		return cell{m.Name + " (here)", styleBold}
	}
	return plainCell(m.Name)
}
