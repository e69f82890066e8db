package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// flagWidth is how wide the help's lists of flags are.
const flagWidth = 100

// flagGroup is some flags of a command under one title of its help.
type flagGroup struct {
	title string
	add   func(*pflag.FlagSet)
}

// addGroups gives cmd the flags, and a help that lists them by their groups.
func addGroups(cmd *cobra.Command, groups ...flagGroup) {
	var lists []string
	for _, g := range groups {
		f := pflag.NewFlagSet(cmd.Name(), pflag.ContinueOnError)
		f.SortFlags = false
		g.add(f)
		cmd.Flags().AddFlagSet(f)
		lists = append(lists, g.title+":\n"+f.FlagUsagesWrapped(flagWidth))
	}
	cmd.SetUsageFunc(func(cmd *cobra.Command) error {
		_, err := fmt.Fprintf(cmd.OutOrStderr(), "Usage:\n  %s\n\nExamples:\n%s\n\n%s\nGlobal Flags:\n%s",
			cmd.UseLine(), cmd.Example, strings.Join(lists, "\n"), cmd.InheritedFlags().FlagUsagesWrapped(flagWidth))
		return err
	})
}

// addHidden gives cmd flags that work and are neither in its help nor completed.
func addHidden(cmd *cobra.Command, adds ...func(*pflag.FlagSet)) {
	for _, add := range adds {
		f := pflag.NewFlagSet(cmd.Name(), pflag.ContinueOnError)
		add(f)
		f.VisitAll(func(fl *pflag.Flag) { fl.Hidden = true })
		cmd.Flags().AddFlagSet(f)
	}
}
