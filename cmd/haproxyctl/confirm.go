package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/words"
)

// forceWarning is what --force risks whatever the daemon finds.
const forceWarning = "--force: a proxy that does not follow goes on writing to %s, and no session is waited for"

// mayAsk tells whether somebody is there to be asked: never in a script.
func (a *app) mayAsk() bool { return a.asks && a.terminal && a.format == formatTable }

// confirm shows what the move would do and asks whether to make it. What is then asked for
// holds for the decision that was shown, and for no later one.
func (a *app) confirm(ctx context.Context, o *setOptions) error {
	dry := *o
	dry.req.DryRun = true
	resp, err := a.ask(ctx, dry)
	if err != nil {
		return setError(err, dry)
	}
	if resp.From == resp.To && !o.req.LocalOnly {
		return nil // it is so already
	}
	resp.Warnings = append(resp.Warnings, ownWarnings(resp, *o)...)
	if o.req.Force {
		resp.Warnings = append(resp.Warnings, fmt.Sprintf(forceWarning, orNone(resp.From)))
	}
	a.before(a.stdout, resp)
	warn(a.stdout, resp.Warnings)
	fmt.Fprintf(a.stdout, "%s [y/N] ", a.question(resp, *o))
	yes, err := a.readYes(ctx)
	if err != nil {
		fmt.Fprintln(a.stdout)
		return err
	}
	if !yes {
		return errors.New("nothing was changed")
	}
	o.req.ExpectEpoch = resp.Epoch
	return nil
}

// before is what a dry run tells of the sessions.
func (a *app) before(w io.Writer, r api.SetResponse) {
	if o := r.Open; o != nil {
		text := fmt.Sprintf("%d open on %s", o.Sessions, r.From)
		if o.Sessions > 0 {
			var by []string
			for _, member := range slices.Sorted(maps.Keys(o.Proxies)) {
				by = append(by, fmt.Sprintf("%s %d", member, o.Proxies[member]))
			}
			text += " (" + strings.Join(by, ", ") + ")"
		}
		if o.InTransaction >= 0 {
			text += fmt.Sprintf("; %d of that node's are in a transaction", o.InTransaction)
		} else {
			text += "; in a transaction: not known, " + o.Unknown
		}
		a.field(w, "Sessions", text)
	}
	if r.Drain != "" {
		a.field(w, "Drain", drainText(r)+words.After(": ", r.DrainWhy))
	}
}

// drainText is the way that is taken, with its bound.
func drainText(r api.SetResponse) string {
	if r.TimeoutMS > 0 {
		return r.Drain + ", at most " + words.Seconds(r.TimeoutMS)
	}
	return r.Drain
}

// question is asked before a move.
func (a *app) question(r api.SetResponse, o setOptions) string {
	if o.req.LocalOnly {
		return fmt.Sprintf("Send %s alone to %s?", a.proxy(), r.To)
	}
	var parts []string
	if open := r.Open; open != nil {
		text := words.Count(open.Sessions, "session")
		if open.InTransaction >= 0 {
			text += fmt.Sprintf(", %d in a transaction", open.InTransaction)
		}
		parts = append(parts, text)
	}
	parts = append(parts, "drain "+cmp.Or(drainText(r), "immediate"))
	if o.req.Hold {
		parts = append(parts, "new connections wait")
	}
	return fmt.Sprintf("Move the writes from %s to %s (%s)?", orNone(r.From), r.To, strings.Join(parts, "; "))
}

// readYes reads one line, until ctx ends. Its end without one is no.
func (a *app) readYes(ctx context.Context) (bool, error) {
	in := a.stdin
	if in == nil {
		in = os.Stdin
	}
	line := make(chan string, 1)
	go func() {
		text, _ := bufio.NewReader(in).ReadString('\n') // what came is what counts
		line <- text
	}()
	select {
	case text := <-line:
		if !strings.HasSuffix(text, "\n") {
			fmt.Fprintln(a.stdout) // nobody has ended the question's line
		}
		switch strings.ToLower(strings.TrimSpace(text)) {
		case "y", "yes":
			return true, nil
		}
		return false, nil
	case <-ctx.Done():
		return false, errors.New("interrupted: nothing was changed")
	}
}
