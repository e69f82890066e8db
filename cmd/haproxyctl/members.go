package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/haproxy-peers/haproxy-peers/control/api"
)

func (a *app) membersCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "members",
		Short: "List the daemons that know each other",
		Long: `List the daemons of the gossip: which of them vote, which leads, and what the
HAProxy beside each of them does. "here" is the daemon that was asked.`,
		Example: `  haproxyctl members
  haproxyctl members -o json | jq -r '.[] | select(.voter) | .name'`,
		Args: exactly(),
		RunE: runE(func(ctx context.Context, _ []string) error {
			members, err := a.client().Members(ctx)
			if err != nil {
				return err
			}
			return a.print(members, func(w io.Writer) { a.membersTable(w, members) })
		}),
	}
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
		name, state := plainCell(m.Name), cell{m.State, styleGood}
		if m.Self {
			name = cell{m.Name + " (here)", styleBold}
		}
		if m.State != "alive" {
			state.style = styleBad
		}
		g.add(name, state, plainCell(role(m)), plainCell(m.Address), plainCell(m.Version), plainCell(m.Disk), plainCell(proxySentence(m)))
	}
	a.write(w, g)
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
		return "does not answer: " + p.Problem
	case p.Effective == "":
		return "goes nowhere in particular: " + p.Problem
	}
	text := "goes to " + p.Effective
	if p.Steering {
		text += ", steered"
	} else {
		text += ", by itself"
	}
	if p.Problem != "" {
		text += ": " + p.Problem
	}
	return text
}

func yesNo(ok bool) cell {
	if ok {
		return cell{"yes", styleGood}
	}
	return cell{"no", styleBad}
}

// proxiesTable is the members by what their HAProxy does; witnesses have none.
func (a *app) proxiesTable(w io.Writer, members []api.Member) {
	g := newGrid("PROXY", "GOES TO", "STEERED", "AS AGREED", "ELSEWHERE", "HAPROXY", "NOTE")
	for _, m := range members {
		if m.Witness {
			continue
		}
		name := plainCell(m.Name)
		if m.Self {
			name = cell{m.Name + " (here)", styleBold}
		}
		note := ""
		if m.State != "alive" {
			note = "its daemon is " + m.State + "; "
		}
		p := m.Proxy
		if p == nil {
			unknown := cell{"?", styleWarn}
			g.add(name, unknown, unknown, unknown, unknown, unknown, cell{note + "nothing heard of its HAProxy", styleBad})
			continue
		}
		where := cell{p.Effective, styleNone}
		if p.Effective == "" {
			where = cell{"?", styleWarn}
		}
		elsewhere := cell{strconv.Itoa(p.Elsewhere), styleNone}
		if p.Elsewhere > 0 {
			elsewhere.style = styleBad
		}
		haproxy := plainCell(fmt.Sprintf("%s, up %s", p.Version, roughly(time.Duration(p.UptimeS)*time.Second)))
		if !p.Reachable {
			haproxy = cell{"no answer", styleBad}
		}
		g.add(name, where, yesNo(p.Steering), yesNo(p.Converged), elsewhere, haproxy,
			cell{strings.TrimSuffix(note+p.Problem, "; "), styleBad})
	}
	a.write(w, g)
}
