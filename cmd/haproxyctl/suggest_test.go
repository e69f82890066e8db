package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// Words of other tools lead to the command here, with their flags and without, in one line.
func TestForeignWords(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		// patronictl
		{"list", "status"}, {"switchover", "active set"}, {"failover --candidate db1 --force", "active set"}, {"pause --wait", "freeze"},
		{"resume", "unfreeze"}, {"history", "active history"}, {"topology", "status"}, {"remove", "members remove"}, {"reload", "config render"},
		// orchestrator
		{"graceful-master-takeover", "active set"}, {"force-master-failover", "active set"}, {"which-cluster-master", "active show"},
		{"begin-maintenance", "exclude"}, {"end-downtime", "include"}, {"disable-global-recoveries", "freeze"}, {"replication-analysis", "explain"},
		{"all-instances", "nodes"}, {"forget", "members remove"},
		// MaxScale
		{"list servers", "status"}, {"show servers", "status"}, {"set server db1 maintenance", "active set"}, {"clear server db1 maintenance", "include"},
		{"call command mariadbmon switchover", "active set"}, {"rejoin", "include"},
		// people
		{"move db1", "active set"}, {"promote db1", "active set"}, {"SHOW", "status"}, {"show", "status"}, {"leader", "active show"},
		// slips
		{"activ", "active"}, {"active sett db1", "active set"}, {"active switchover", "active set"}, {"config lnt", "config lint"}, {"registr", "register"},
		{"nonsense", ""}, {"config list", "config lint"},
	} {
		var stdout, stderr bytes.Buffer
		a := &app{stdout: &stdout, stderr: &stderr, getenv: func(string) string { return "" }}
		exit := a.run(context.Background(), strings.Fields(tt.line))
		got := stderr.String()
		hint := "did you mean \"" + tt.want + "\"?"
		if exit != exitUsage || stdout.Len() > 0 || strings.Count(got, "\n") != 1 || !strings.HasPrefix(got, "haproxyctl: there is no command ") ||
			strings.Contains(got, hint) != (tt.want != "") || strings.Contains(got, "did you mean") != (tt.want != "") {
			t.Errorf("%q: exit %d, %s%q; want %q", tt.line, exit, stdout.String(), got, tt.want)
		}
	}
}

// Every word is none of ours at the top, and leads to a command that is there and does something.
func TestForeignWordsLeadToCommands(t *testing.T) {
	a, _ := testApp(false, formatTable)
	root := a.rootCommand()
	for word, path := range foreign {
		if cmd, _, err := root.Find([]string{word}); err == nil && cmd != root {
			t.Errorf("%q is a command", word)
		}
		cmd, rest, err := root.Find(strings.Fields(path))
		if err != nil || len(rest) > 0 || cmd == root || !runs(cmd) {
			t.Errorf("%q leads to %q, which is no command: %v", word, path, err)
		}
	}
}

func runs(cmd *cobra.Command) bool { return cmd.RunE != nil || cmd.Run != nil }
