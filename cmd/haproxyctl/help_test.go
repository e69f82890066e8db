package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// visit calls f for every command of ours with its own flags.
func visit(cmd *cobra.Command, f func(path, short, long string, flags map[string]string)) {
	flags := map[string]string{}
	cmd.LocalFlags().VisitAll(func(fl *pflag.Flag) { flags[fl.Name] = fl.Usage })
	f(cmd.CommandPath(), cmd.Short, cmd.Long, flags)
	for _, c := range cmd.Commands() {
		visit(c, f)
	}
}

// Every command and flag has help that reads well: a sentence each, a long text
// for what does something, and an example where there is more than one way.
func TestHelp(t *testing.T) {
	a, _ := testApp(false, formatTable)
	visit(a.rootCommand(), func(path, short, long string, flags map[string]string) {
		if short == "" || strings.HasSuffix(short, ".") {
			t.Errorf("%s: the short help is %q", path, short)
		}
		if long == "" {
			t.Errorf("%s has no long help", path)
		}
		for _, line := range strings.Split(long, "\n") {
			if len(line) > 85 {
				t.Errorf("%s: a line of the help is %d wide: %q", path, len(line), line)
			}
		}
		for name, usage := range flags {
			if len(strings.Fields(usage)) < 4 {
				t.Errorf("%s --%s: the help is %q", path, name, usage)
			}
		}
	})
}
