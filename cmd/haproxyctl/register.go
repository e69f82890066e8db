package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/words"
)

func (a *app) registerCommand() *cobra.Command {
	cmd := a.group(&cobra.Command{
		Use:   "register",
		Short: "See, start or recover the replicated record",
		Long: `The record is what the daemons have agreed on: the active node, its epoch, what is
excluded or frozen. A majority of its voters keeps it. It starts by itself when all
initial voters are there for the first time, and changes its voters by itself.`,
	})
	cmd.AddCommand(
		&cobra.Command{
			Use:   "status",
			Short: "Show the record's voters and whether a majority is there",
			Long: `Show the record's version, its voters, which of them are heard, and where its file
is.`,
			Example: "  haproxyctl register status",
			RunE:    answer(a, func(ctx context.Context, _ []string) (api.Register, error) { return a.client().Register(ctx) }, a.registerTable),
		},
		a.registerInitCommand(),
		a.registerRecoverCommand(),
		a.lowerVersionCommand(),
		a.raiseVersionCommand(),
	)
	return cmd
}

func (a *app) registerInitCommand() *cobra.Command {
	var force bool
	cmd := a.order(&cobra.Command{
		Use:   "init",
		Short: "Make the first record, where it does not start by itself",
		Long: `Make the first record. It starts by itself once all initial voters (the peers of
haproxy.cfg) are there; this is for the first start with fewer. Needed once in the
life of an installation, and refused when a record exists.`,
		Example: "  haproxyctl register init --force",
		RunE: answer(a, func(ctx context.Context, _ []string) (api.Register, error) {
			return a.client().RegisterInit(ctx, force)
		}, a.registerTable),
	})
	cmd.Flags().BoolVar(&force, "force", false,
		"start with the initial voters that are here now; be sure that the others do not start without these")
	return cmd
}

func (a *app) registerRecoverCommand() *cobra.Command {
	var voters []string
	cmd := a.order(&cobra.Command{
		Use:   "recover --voters NAME,NAME...",
		Short: "Start a new recovery generation, when the majority's disks are gone for good",
		Long: `Make the named live members the voters of a new recovery generation. This is for
when the disks of a majority are gone for good. A majority that comes back later is
not obeyed any more; so be sure that it cannot: otherwise two groups decide.
Messages of the old generation are refused and reported.`,
		Example: "  haproxyctl register recover --voters px0,px2",
		RunE: answer(a, func(ctx context.Context, _ []string) (api.Register, error) {
			if len(voters) == 0 {
				return api.Register{}, usagef("--voters names no member")
			}
			return a.client().RegisterRecover(ctx, voters)
		}, a.registerTable),
	})
	cmd.Flags().StringSliceVar(&voters, "voters", nil,
		"the `names` of the live members that are to be the voters, with commas between them; this one among them")
	must(cmd.RegisterFlagCompletionFunc("voters", a.memberNames))
	return cmd
}

func (a *app) registerTable(w io.Writer, r api.Register) {
	a.field(w, "State", r.State)
	a.some(w, "Cluster", r.Cluster)
	a.field(w, "Record", fmt.Sprintf("epoch %s, revision %d", epoch(r.Recovery, r.Epoch), r.Revision))
	a.field(w, "Agreed", a.agreed(r))
	a.field(w, "Leader", leader(r))
	if r.File != "" {
		a.field(w, "File", fmt.Sprintf("%s (disk %s)", r.File, r.Disk))
	}
	a.some(w, "Initial", strings.Join(r.Initial, ", "))
	a.some(w, "Voters", r.Membership)
	if r.Lowest > 0 { // a daemon of this version or later
		a.field(w, "Version", fmt.Sprintf("%d is the lowest that every voter reads, %d what this daemon reads", r.Lowest, r.Reads))
	}
	for _, n := range r.Notes {
		a.field(w, "Note", a.paint(styleWarn, n))
	}
	g := newGrid("VOTER", "LIVE", "HEARD", "DISK")
	for _, v := range r.Voters {
		g.add(plainCell(v.Name), yesNo(v.Live), plainCell(heard(v)), plainCell(v.Disk))
	}
	a.below(w, g)
}

func (a *app) agreed(r api.Register) string {
	text, s := "yes, a majority of the voters is heard", styleGood
	if !r.Agreed {
		text, s = "no", styleBad
	}
	return a.paint(s, text+words.Colon(r.Reason))
}

func leader(r api.Register) string {
	return fmt.Sprintf("%s, term %d", orNone(r.Leader), r.Term)
}

func heard(v api.Voter) string {
	if v.HeardMS < 0 {
		return "never"
	}
	return words.Roughly(time.Duration(v.HeardMS)*time.Millisecond) + " ago"
}

// registerLine is the register in one line, for status.
func (a *app) registerLine(r api.Register) string {
	var voters []string
	for _, v := range r.Voters {
		name := v.Name
		if !v.Live {
			name = a.paint(styleBad, name+" ("+heard(v)+")")
		}
		voters = append(voters, name)
	}
	if len(voters) == 0 {
		return fmt.Sprintf("%s; no voters yet, all of these must be there once: %s", r.State, strings.Join(r.Initial, ", "))
	}
	return fmt.Sprintf("%s in cluster %s; leader %s; voters: %s", r.State, r.Cluster, leader(r), strings.Join(voters, ", "))
}
