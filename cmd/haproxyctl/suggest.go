package main

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// foreign are words of other tools (patronictl, orchestrator, MaxScale's maxctrl) and of
// people in a hurry, and the command that they look for here.
var foreign = map[string]string{
	// Who takes the writes, and moving them.
	"switchover": "active set", "failover": "active set", "move": "active set", "promote": "active set", "takeover": "active set",
	"demote": "active set", "set": "active set", "call": "active set", "drain": "active set",
	"graceful-master-takeover": "active set", "graceful-master-takeover-auto": "active set", "force-master-failover": "active set",
	"force-master-takeover": "active set", "recover": "active set", "relocate": "active set",
	"leader": "active show", "primary": "active show", "master": "active show", "writer": "active show",
	"which-master": "active show", "which-cluster-master": "active show",
	"history": "active history", "audit": "active history", "audit-recovery": "active history",

	// What is there.
	"list": "status", "show": "status", "topology": "status", "topology-tabulated": "status", "cluster": "status", "clusters": "status",
	"health": "status", "info": "status", "top": "status", "watch": "status",
	"servers": "nodes", "all-instances": "nodes", "which-cluster-instances": "nodes", "proxies": "members", "peers": "members", "voters": "register status",
	"replication-analysis": "explain", "why": "explain",

	// What it may not do by itself.
	"pause": "freeze", "disable": "freeze", "disable-global-recoveries": "freeze",
	"resume": "unfreeze", "enable": "unfreeze", "enable-global-recoveries": "unfreeze",
	"maintenance": "exclude", "begin-maintenance": "exclude", "begin-downtime": "exclude",
	"end-maintenance": "include", "end-downtime": "include", "clear": "include", "rejoin": "include",

	// Setting up.
	"forget": "members remove", "remove": "members remove",
	"init": "register init", "bootstrap": "register init",
	"lint": "config lint", "validate": "config lint", "render": "config render",
	"show-config": "config lint", "edit-config": "config render", "reload": "config render",
}

// unknownCommand is the error for a word that is no command below cmd. At the top the word of
// another tool is that; further down it is rather a slip of who knows what there is.
func unknownCommand(cmd *cobra.Command, word string) error {
	near := ""
	if all := cmd.SuggestionsFor(word); len(all) > 0 {
		near = strings.TrimPrefix(cmd.CommandPath()+" "+all[0], cmd.Root().Name()+" ")
	}
	hint := cmp.Or(near, foreign[strings.ToLower(word)])
	if !cmd.HasParent() {
		hint = cmp.Or(foreign[strings.ToLower(word)], near)
	}
	if hint != "" {
		hint = fmt.Sprintf(", did you mean %q?", hint)
	}
	return fmt.Errorf("there is no command %q%s", word, hint)
}

// flagError is for flags that cmd has not: those of a word that is no command below it, as in
// "switchover --candidate db1", are not what is wrong.
func flagError(cmd *cobra.Command, err error) error {
	if cmd.HasSubCommands() && cmd.Flags().NArg() > 0 {
		return unknownCommand(cmd, cmd.Flags().Arg(0))
	}
	return err
}
