package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/haproxy-peers/haproxy-peers/control/api"
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

// role is what a member does in the agreement and beside it.
func role(m api.Member) string {
	var parts []string
	switch {
	case m.Leader:
		parts = append(parts, "leader")
	case m.Voter:
		parts = append(parts, "voter")
	default:
		parts = append(parts, "follower")
	}
	if m.Witness {
		parts = append(parts, "witness")
	}
	if m.Observe {
		parts = append(parts, "only observes")
	}
	return strings.Join(parts, ", ")
}

func (a *app) membersTable(w io.Writer, members []api.Member) {
	g := newGrid("MEMBER", "STATE", "ROLE", "ADDRESS", "VERSION", "DISK", "ITS HAPROXY")
	for _, m := range members {
		state := cell{m.State, either(m.State == "alive", styleGood, styleBad)}
		g.add(memberCell(m), state, plainCell(role(m)), plainCell(m.Address), plainCell(m.Version), plainCell(m.Disk), plainCell(proxySentence(m)))
	}
	a.write(w, g)
}

func memberCell(m api.Member) cell {
	if m.Self {
		return cell{m.Name + " (here)", styleBold}
	}
	return plainCell(m.Name)
}

// proxySentence says in a few words what a member's HAProxy does.
func proxySentence(m api.Member) string {
	p := m.Proxy
	switch {
	case m.Witness:
		return ""
	case p == nil:
		return "nothing heard of it"
	case !p.Reachable:
		return "does not answer" + colon(p.Problem)
	case p.Fenced != "":
		return "FENCED, serves nobody: " + p.Fenced
	}
	text := "goes to " + p.Effective
	if p.Effective == "" {
		text = "goes nowhere in particular"
	}
	switch {
	case p.LocalOnly != "":
		text += ", LOCAL ONLY: forced to " + p.LocalOnly + " on this proxy alone"
	case p.Steering:
		text += ", steered"
	default:
		text += ", by itself"
	}
	if p.Held {
		text += ", new connections wait"
	}
	return text + colon(p.Problem)
}
