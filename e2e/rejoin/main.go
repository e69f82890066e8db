// Command rejoin kills the active, lets it come back with the new active as its
// donor, many times over, in each of about 16 combinations of what decides
// whether that is a second failover: how the state is transferred, what HAProxy
// checks and how often, the kind of file, HAProxy's version. It prints a row of a
// markdown table for each, and ends with 1 if one is not as it must be.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/donor"
	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

func main() { os.Exit(status()) }

func status() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var r rejoin
	flag.IntVar(&r.rejoins, "rejoins", 10, "`N` rejoins in each combination")
	flag.IntVar(&r.megabytes, "megabytes", 40, "`N` megabytes of data in the databases")
	only := flag.String("only", "", "the combinations to run, a `REGEXP` on the names that -list prints")
	flag.StringVar(&r.versions, "haproxies", os.Getenv("HAPROXY_VERSIONS"),
		"`FOLDER` of e2e/haproxy-versions.sh (default: it is run, into the user's cache)")
	flag.StringVar(&r.logs, "logs", "", "`FOLDER` for all processes' logs of combinations that went wrong")
	list := flag.Bool("list", false, "print the combinations and do nothing")
	flag.Parse()
	pattern, err := regexp.Compile(*only)
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "rejoin:", err)
		return 2
	}
	for _, c := range donor.List() {
		if pattern.MatchString(c.String()) {
			r.list = append(r.list, c)
		}
	}
	if *list {
		for _, c := range r.list {
			fmt.Println(c)
		}
		return 0
	}
	if err := r.run(ctx); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "rejoin:", err)
		return 1
	}
	return 0
}

// rejoin is what was asked for.
type rejoin struct {
	list               []donor.Combination
	rejoins, megabytes int
	versions, logs     string
}

var errWrong = errors.New("not everything is as it must be: see above")

func (r *rejoin) run(ctx context.Context) (err error) {
	if len(r.list) == 0 {
		return errors.New("no combination has such a name: see -list")
	}
	if err := lab.Requirements(lab.Config{}); err != nil {
		return fmt.Errorf("%w; e2e/install-deps.sh installs them", err)
	}
	if err := r.unpack(ctx); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "haproxy-peers-rejoin-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	haproxyd, haproxyctl, err := lab.Build(ctx, dir)
	if err != nil {
		return err
	}
	l, err := lab.New(ctx, lab.Config{Haproxyd: haproxyd, Haproxyctl: haproxyctl})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	wrong := false
	rows := donor.Header
	for _, c := range r.list {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		begin := time.Now()
		result, err := donor.Run(ctx, l, c, donor.Options{Rejoins: r.rejoins, Megabytes: r.megabytes, Folder: dir,
			HAProxy: filepath.Join(r.versions, c.HAProxy, "haproxy"), Log: say})
		row := result.Row()
		if err != nil {
			say("%v", err)
			row = fmt.Sprintf("| %v: could not be run |", c)
		}
		if err != nil || len(result.Wrong) > 0 {
			wrong = true
			r.save(l, c)
		}
		if result.Crash.Avoidable > 0 {
			say("failed at the crash and need not have: %v", result.Crash.How)
		}
		for _, what := range result.Wrong {
			say("wrong: %s", what)
		}
		say("%v: %v\n%s", c, time.Since(begin).Round(time.Second), row)
		rows += "\n" + row
	}
	fmt.Println(rows)
	if wrong {
		return errWrong
	}
	return nil
}

// say goes beside the table.
func say(format string, args ...any) { _, _ = fmt.Fprintf(os.Stderr, format+"\n", args...) }

// save keeps the logs of a combination.
func (r *rejoin) save(l *lab.Lab, c donor.Combination) {
	if r.logs == "" {
		return
	}
	if err := l.SaveLogs(filepath.Join(r.logs, regexp.MustCompile(`[^a-z0-9.]+`).ReplaceAllString(c.String(), "-"))); err != nil {
		say("keep the logs: %v", err)
	}
}

// unpack makes sure of every version of HAProxy that the combinations name.
func (r *rejoin) unpack(ctx context.Context) error {
	if r.versions == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return err
		}
		r.versions = filepath.Join(cache, "haproxy-peers", "haproxy")
	}
	missing := func() string {
		for _, c := range r.list {
			if _, err := exec.LookPath(filepath.Join(r.versions, c.HAProxy, "haproxy")); err != nil {
				return c.HAProxy
			}
		}
		return ""
	}
	if missing() == "" {
		return nil
	}
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return fmt.Errorf("find the sources: %w", err)
	}
	script := filepath.Join(strings.TrimSpace(string(root)), "e2e", "haproxy-versions.sh")
	cmd := exec.CommandContext(ctx, script, r.versions, "bookworm", "forky") // Debian's suites with 2.6 and 3.2
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("unpack HAProxy's versions: %w", err)
	}
	if v := missing(); v != "" {
		return fmt.Errorf("%s has no HAProxy %s", r.versions, v)
	}
	return nil
}
