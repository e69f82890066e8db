package main

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/haproxy-peers/haproxy-peers/control/api"
)

// Exit status of `status --check`, those of monitoring plugins.
const (
	pluginOK       = 0
	pluginWarning  = 1
	pluginCritical = 2
	pluginUnknown  = 3
)

// pluginWithin bounds the question: who runs plugins gives up after 10 s, without a word
// of why.
const pluginWithin = 5 * time.Second

// statusCheck prints the headline with performance data.
func (a *app) statusCheck(ctx context.Context, fetch func(context.Context) (api.Status, error)) error {
	ctx, cancel := context.WithTimeout(ctx, pluginWithin)
	defer cancel()
	s, err := fetch(ctx)
	if err != nil {
		return err
	}
	if s.State == "" {
		return fmt.Errorf("haproxyd %s does not judge how the clients are served: upgrade it", s.Version)
	}
	code, known := map[string]int{api.StateOK: pluginOK, api.StateDegraded: pluginWarning, api.StateOutage: pluginCritical}[s.State]
	if !known {
		code = pluginUnknown
	}
	if _, err := fmt.Fprintf(a.stdout, "%s - %s | %s\n", stateWord(s.State), pluginText(s.Headline), performance(&s)); err != nil {
		return err
	}
	return &exitError{code: code}
}

// pluginText is a text that is one line and begins no performance data.
func pluginText(s string) string { return strings.ReplaceAll(oneLine(s), "|", "/") }

// performance are the figures as plugins write them: 'label'=value;warn;crit;min;max.
func performance(s *api.Status) string {
	proxies, healthy, sessions := 0, 0, 0
	for _, m := range s.Members {
		if !m.Witness {
			proxies++
		}
	}
	for _, n := range s.Nodes {
		sessions += n.Sessions
		if n.Healthy > n.Down {
			healthy++
		}
	}
	act := &s.Active
	proxies = max(proxies, act.Proxies)
	of := func(label string, n, most int) string { return fmt.Sprintf("%s=%d;;;0;%d", label, n, most) }
	return strings.Join([]string{
		of("proxies", act.Proxies, proxies), of("converged", act.Converged, proxies), of("steering", act.Steering, proxies),
		of("fenced", len(act.Fenced), proxies), of("nodes_healthy", healthy, len(s.Nodes)),
		fmt.Sprintf("sessions=%d;;;0", sessions), fmt.Sprintf("epoch=%d;;;0", act.Epoch),
	}, " ")
}

// plugin tells whether a command line wants an answer for monitoring, before anything of
// it was understood: what is wrong beside --check is UNKNOWN too. Other commands have a
// --check of their own.
func plugin(root *cobra.Command, args []string) bool {
	if cmd, _, _ := root.Find(args); cmd != nil && cmd != root && cmd.Name() != "status" {
		return false
	}
	for _, arg := range args {
		value, ok := strings.CutPrefix(arg, "--check")
		switch on, err := strconv.ParseBool(cmp.Or(strings.TrimPrefix(value, "="), "true")); {
		case arg == "--":
			return false
		case ok && (value == "" || value[0] == '=') && (on || err != nil):
			return true
		}
	}
	return false
}
