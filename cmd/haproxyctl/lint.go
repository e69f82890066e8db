package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/haproxy-peers/haproxy-peers/configs"
	"github.com/haproxy-peers/haproxy-peers/control/words"
)

func (a *app) lintCommand() *cobra.Command {
	var r configs.Reading
	cmd := &cobra.Command{
		Use:   "lint FILE...",
		Short: "Say what in haproxy.cfg can split or lose the active node",
		Long: `Say what in a configuration can send writes to two nodes, lose the active node or
keep haproxyd from working: each finding with its line, why it matters and the fix.
Several files are one configuration, in the order in which HAProxy gets them with -f;
of a folder all files whose names end in .cfg, as HAProxy takes them.
The code at the end of a finding ("rule" in JSON) stays the same from version to
version; docs/lint.md lists all of them.

Exit status: 0 no errors (there may be warnings); 1 errors were found, or a file
cannot be read.`,
		Example: `  haproxyctl config lint /etc/haproxy/haproxy.cfg
  haproxyctl config lint /etc/haproxy-custom/haproxy-global.cfg /etc/haproxy/pxc/haproxy.cfg
  haproxyctl config lint -o json haproxy.cfg | jq -r '.[] | select(.severity == "error") | .rule'`,
		Args: cobra.ArbitraryArgs,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"cfg"}, cobra.ShellCompDirectiveFilterFileExt
		},
		RunE: runE(func(_ context.Context, args []string) error { return a.lint(r, args) }),
	}
	cmd.Flags().StringVar(&r.LocalPeer, "local", "", "the `NAME` that HAProxy gets with -L, if it does")
	cmd.Flags().StringSliceVar(&r.Backends, "backends", nil, "`NAME,...` of the sticky backends of the database, where there are those of other services, too")
	return cmd
}

func (a *app) lint(r configs.Reading, files []string) error {
	if len(files) == 0 {
		return usagef("FILE is missing")
	}
	findings, err := configs.LintAs(r, files...)
	if err != nil {
		return err
	}
	if findings == nil {
		findings = []configs.Finding{} // a script gets an empty list, not null
	}
	if err := a.print(findings, func(w io.Writer) { a.findings(w, findings) }); err != nil {
		return err
	}
	if slices.ContainsFunc(findings, func(f configs.Finding) bool { return f.Severity == configs.SeverityError }) {
		return &exitError{code: exitFailed} // the findings have said it
	}
	return nil
}

func (a *app) findings(w io.Writer, findings []configs.Finding) {
	counts := map[configs.Severity]int{}
	for len(findings) > 0 {
		// What is one thing in several places is said once.
		first := findings[0]
		alike := func(f configs.Finding) bool {
			return f.Rule == first.Rule && f.Severity == first.Severity && f.Why == first.Why
		}
		var same []configs.Finding
		for _, f := range findings {
			if alike(f) {
				same = append(same, f)
			}
		}
		findings = slices.DeleteFunc(slices.Clone(findings), alike)
		counts[first.Severity] += len(same)
		fix := func(f configs.Finding) { fmt.Fprintf(w, "  %s %s\n", a.paint(styleDim, "fix:"), f.Fix) }
		each := slices.ContainsFunc(same, func(f configs.Finding) bool { return f.Fix != first.Fix })
		for _, f := range same {
			fmt.Fprintf(w, "%s: %s: %s (%s)\n", configs.Position{File: f.File, Line: f.Line}, a.paint(severityStyles[f.Severity], string(f.Severity)), f.Problem, f.Rule)
			if each {
				fix(f)
			}
		}
		fmt.Fprintf(w, "  %s %s\n", a.paint(styleDim, "why:"), first.Why)
		if !each {
			fix(first)
		}
	}
	var parts []string
	for _, s := range []configs.Severity{configs.SeverityError, configs.SeverityWarning} {
		if counts[s] > 0 {
			parts = append(parts, words.Count(counts[s], string(s)))
		}
	}
	if len(parts) == 0 {
		fmt.Fprintln(w, a.paint(styleGood, "No errors and no warnings."))
		return
	}
	fmt.Fprintln(w, strings.Join(parts, ", "))
}

var severityStyles = map[configs.Severity]style{configs.SeverityError: styleBad, configs.SeverityWarning: styleWarn}
