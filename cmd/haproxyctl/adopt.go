package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"github.com/haproxy-peers/haproxy-peers/configs"
)

// keptSuffix is behind the name of the copy that is kept of a file as it was before.
const keptSuffix = ".before-haproxyd"

type adoptOptions struct {
	in      configs.AdoptInput
	proxies []string
	haproxy string
	write   bool
	revert  bool
	force   bool
}

func (a *app) adoptCommand() *cobra.Command {
	var o adoptOptions
	cmd := &cobra.Command{
		Use:   "adopt FILE...",
		Short: "Add what haproxyd needs to a haproxy.cfg of your own",
		Long: `Show, as a unified diff, what haproxyd needs in an existing haproxy.cfg, and nothing
else: peers, the private table, the beacon, stick rules and fences for the backends
that take the writes, ids as HAProxy gives them today, an admin socket. Other
sections, comments and the order stay. What was changed is marked, and --revert takes
it out again: the old text, byte by byte, or with what was edited since.
Several files are one configuration, in the order in which HAProxy gets them with -f.

With --write the files are replaced, all or none, after "haproxy -c" has accepted the
new text, and the old ones are kept beside them (FILE.before-haproxyd). HAProxy is
not reloaded: what to do next, and in which order, is said on stderr.

While a HAProxy is being reloaded its tables are empty for some milliseconds, and
connections go to the one server that is no backup. Where the writers are elsewhere
now, --active says so, and that server is no backup from then on.

Exit status: 0 done, or nothing to do; 1 refused: one line on stderr says what the
owner of the file has to do first.`,
		Example: `  haproxyctl config adopt --proxies px0=10.0.1.1,px1=10.0.1.2 --local px0 /etc/haproxy/haproxy.cfg
  haproxyctl config adopt --backends mysql --write /etc/haproxy/haproxy.cfg
  haproxyctl config adopt /etc/haproxy/haproxy.cfg | patch --dry-run -p0
  haproxyctl config adopt --revert --write /etc/haproxy/haproxy.cfg`,
		Args: cobra.ArbitraryArgs,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"cfg"}, cobra.ShellCompDirectiveFilterFileExt
		},
	}
	cmd.RunE = runE(func(ctx context.Context, args []string) error {
		if o.revert {
			for _, flag := range []string{"proxies", "backends", "active", "daemon", "stats-socket"} {
				if cmd.Flags().Changed(flag) {
					return usagef("--%s is for adopting, not for --revert", flag)
				}
			}
		}
		return a.adopt(ctx, o, args)
	})
	f := cmd.Flags()
	f.StringSliceVar(&o.proxies, "proxies", nil, "all HAProxies, this one among them, each `NAME=HOST[:PORT]` where PORT is its peers port (10000); not where there is a peers section already")
	f.StringSliceVar(&o.in.Backends, "backends", nil, "`NAME,...` of the backends that take the writes (default: those with stick rules)")
	f.StringVar(&o.in.LocalPeer, "local", "", "the `NAME` of this HAProxy among its peers, where it is not the hostname")
	f.StringVar(&o.in.Active, "active", "", "the `NODE` that takes the writes now, where it is not the first server that is no backup")
	f.StringVar(&o.in.Daemon, "daemon", "127.0.0.1:9102", "haproxyd's --http-bind as HAProxy reaches it, `ADDR:PORT`")
	f.StringVar(&o.in.StatsSocket, "stats-socket", "", "the `PATH` of the admin socket, where there is none yet (default: beside the other stats sockets, else /run/haproxy/admin.sock)")
	f.StringVar(&o.haproxy, "haproxy", "haproxy", "the haproxy `BINARY` that checks the new text before --write")
	f.BoolVar(&o.write, "write", false, "replace the files, instead of showing the difference")
	f.BoolVar(&o.revert, "revert", false, "take out what was added, and put back what was changed")
	f.BoolVar(&o.force, "force", false, "--write also where connections go to another node than the new text's first")
	files(cmd, "haproxy", "stats-socket")
	return cmd
}

// adoptDiff is what becomes of one file.
type adoptDiff struct {
	Path string `json:"path"`
	Diff string `json:"diff"`
	// Kept is the copy of the old text, "" where none was made.
	Kept string `json:"kept,omitempty"`
}

// adoptResult is what `config adopt` prints.
type adoptResult struct {
	// Files are those that change.
	Files []adoptDiff `json:"files"`
	// Notes say what the changes are for, Next what is to be done now.
	Notes []string `json:"notes"`
	Next  []string `json:"next"`
	// Left are errors of the linter that adopt does not mend.
	Left     []configs.Finding `json:"left"`
	Backends []string          `json:"backends"`
	// Main is the node to which connections go before any table is known.
	Main    string `json:"main"`
	Written bool   `json:"written"`
}

func (a *app) adopt(ctx context.Context, o adoptOptions, paths []string) error {
	if len(paths) == 0 {
		return usagef("FILE is missing")
	}
	for _, s := range o.proxies {
		name, host, port, err := parseNamed("--proxies", s)
		if err != nil {
			return err
		}
		o.in.Proxies = append(o.in.Proxies, configs.RenderProxy{Name: name, Host: host, Port: port})
	}
	var what *configs.Adoption
	var err error
	if o.revert {
		what, err = configs.Revert(paths...)
	} else {
		what, err = configs.Adopt(o.in, paths...)
	}
	if err != nil {
		return err
	}
	r := adoptResult{Files: []adoptDiff{}, Notes: append([]string{}, what.Notes...), Left: append([]configs.Finding{}, what.Left...), Backends: append([]string{}, what.Backends...), Main: what.Main, Next: []string{}}
	if what.Changed() && o.write {
		if err := a.adoptWrite(ctx, o, what, paths); err != nil {
			return err
		}
		r.Written = true
	}
	for _, f := range what.Files {
		if f.Diff == "" {
			continue
		}
		d := adoptDiff{Path: f.Path, Diff: f.Diff}
		if r.Written && !o.revert {
			d.Kept = f.Path + keptSuffix
		}
		r.Files = append(r.Files, d)
	}
	if what.Changed() {
		r.Next = o.next(r, what, paths)
	}
	a.adoptSay(o, r, paths)
	return a.print(r, func(w io.Writer) { a.adoptShow(w, r) })
}

// adoptWrite replaces the files.
func (a *app) adoptWrite(ctx context.Context, o adoptOptions, what *configs.Adoption, paths []string) error {
	if _, err := exec.LookPath(o.haproxy); err != nil {
		return fmt.Errorf("there is no %s on this machine to check the new text: name one with --haproxy", o.haproxy)
	}
	if !o.force {
		if err := o.staysOn(ctx, what, paths); err != nil {
			return err
		}
	}
	var list []configs.Replacement
	for _, f := range what.Files {
		r := configs.Replacement{Path: f.Path, Old: []byte(f.Old), New: []byte(f.New)}
		if kept, err := os.ReadFile(f.Path + keptSuffix); !o.revert && (err != nil || string(kept) != f.Plain) {
			r.Keep = f.Path + keptSuffix // what was kept by an adoption before is kept
		}
		list = append(list, r)
	}
	err := configs.InstallAll(ctx, list, func(texts []string) error { return configs.CheckWithHAProxy(ctx, o.haproxy, texts...) })
	if err != nil || !o.revert {
		return err
	}
	return forgetKept(list)
}

// forgetKept removes the copies that the files are again.
func forgetKept(list []configs.Replacement) (err error) {
	for _, r := range list {
		if old, rerr := os.ReadFile(r.Path + keptSuffix); rerr == nil && bytes.Equal(old, r.New) {
			err = errors.Join(err, os.Remove(r.Path+keptSuffix))
		}
	}
	return err
}

// adoptShow prints the difference, or what was written.
func (a *app) adoptShow(w io.Writer, r adoptResult) {
	for _, f := range r.Files {
		switch {
		case r.Written && f.Kept != "":
			fmt.Fprintf(w, "Wrote %s; what it was is %s.\n", f.Path, f.Kept)
		case r.Written:
			fmt.Fprintf(w, "Wrote %s.\n", f.Path)
		default:
			a.diff(w, f.Diff)
		}
	}
}

// diff prints a unified diff, in colours where there are any.
func (a *app) diff(w io.Writer, text string) {
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		style := styleNone
		switch {
		case strings.HasPrefix(line, "+++") || strings.HasPrefix(line, "---"):
			style = styleBold
		case strings.HasPrefix(line, "@@"):
			style = styleDim
		case strings.HasPrefix(line, "+"):
			style = styleGood
		case strings.HasPrefix(line, "-"):
			style = styleBad
		}
		fmt.Fprintln(w, a.paint(style, line))
	}
}

// adoptSay puts the notes and what comes next on stderr, so that stdout is a diff for patch.
func (a *app) adoptSay(o adoptOptions, r adoptResult, paths []string) {
	if a.format != formatTable {
		return
	}
	say := func(format string, args ...any) { fmt.Fprintf(a.stderr, format+"\n", args...) }
	if len(r.Files) == 0 {
		if o.revert {
			say("Nothing to take out: there is nothing of `config adopt` in %s.", strings.Join(paths, ", "))
		} else {
			say("Nothing to do: %s has what haproxyd needs.", strings.Join(paths, ", "))
		}
		return
	}
	for _, note := range r.Notes {
		say("%s", note)
	}
	for _, f := range r.Left {
		say("%s: left as it is: %s; %s", configs.Position{File: f.File, Line: f.Line}, f.Problem, f.Fix)
	}
	say("Next:")
	for i, step := range r.Next {
		say("%2d. %s", i+1, step)
	}
}
