package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
	"github.com/haproxy-peers/haproxy-peers/control/words"
)

// checkWithin bounds the question to the daemon. HAProxy forks a check per server
// and interval, and kills it after the server's inter or after `timeout connect`,
// whichever is shorter; `timeout check` plays no part (measured with 2.6).
const checkWithin = 300 * time.Millisecond

// The environment variables of the probe's account; the daemon has the same.
const (
	envProbeUser         = "HAPROXYD_PROBE_USER"
	envProbePasswordFile = "HAPROXYD_PROBE_PASSWORD_FILE"
	envProbeSSL          = "HAPROXYD_PROBE_SSL_" // MODE, CA, CERT, KEY
)

// checkOptions is the account of the check's own probe, where it is not the daemon's.
type checkOptions struct {
	user, passwordFile string
	ssl                conn.SSL
	sslErr             error // of the environment
}

// checked is what `check` prints.
type checked struct {
	api.Check
	// By is who looked at the node: haproxyd, or haproxyctl itself.
	By string `json:"by"`
	// Daemon says why haproxyd's word does not count, "" if it does.
	Daemon string `json:"haproxyd,omitempty"`
}

func (a *app) checkCommand() *cobra.Command {
	o := a.checkDefaults()
	cmd := &cobra.Command{
		Use:   "check ADDR PORT",
		Short: "Ask whether the database node at ADDR PORT is usable (HAProxy's external check)",
		Long: `Ask the daemon, which probes the nodes anyway, whether the one at ADDR PORT may be
used. When it does not answer within 0.3 s, or cannot tell, the node is probed from
here within 1 s: it must greet, and with an account it is logged in to and judged as
the daemon does. So HAProxy's checks do not depend on the daemon. Exit status 0:
usable; anything else: not.

For HAProxy, name haproxyctl itself as the "external-check command": it knows the
four arguments that HAProxy passes, of which the last two are the server's. HAProxy
passes no flags and nothing of its environment: the socket is looked for in its
default place, and the account is the daemon's, which leaves its name and its
password's file in SOCKET.check. HAProxy's user must be allowed to open the socket
and to read both files. Without an account, or with one that the node does not let
in, only the greeting counts.

HAProxy ends a check, as failed, after the server's inter or "timeout connect",
whichever is shorter: give both 1 s or more, or every server would go down with a
daemon that hangs.`,
		Example: `  haproxyctl check 10.0.0.11 3306
  # as HAProxy calls it: PROXY_ADDR PROXY_PORT SERVER_ADDR SERVER_PORT
  haproxyctl check NOT_USED NOT_USED 10.0.0.11 3306
  # haproxy.cfg, with "external-check" and, under "user" or "uid", "insecure-fork-wanted"
  # in its global section, and without "chroot": else no check ever runs
  #   option external-check
  #   external-check command /usr/local/bin/haproxyctl`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: runE(func(ctx context.Context, args []string) error {
			address, err := serverAddress(args)
			if err != nil {
				return err
			}
			if f := a.way.flags; f.Changed("endpoint") || f.Changed("context") {
				return usagef("check asks the daemon on this machine: neither --endpoint nor --context goes with it")
			}
			return a.check(ctx, o, address)
		}),
	}
	f := cmd.Flags()
	f.StringVar(&o.user, "probe-user", o.user, "the `USER` to log in as when the daemon does not answer; the environment variable "+envProbeUser+" sets it too")
	f.StringVar(&o.passwordFile, "probe-password-file", o.passwordFile, "the `FILE` with that user's password; the environment variable "+envProbePasswordFile+" sets it too")
	f.Var(&o.ssl.Mode, "probe-ssl-mode", "TLS to the node: `MODE` DISABLED, PREFERRED, REQUIRED, VERIFY_CA or VERIFY_IDENTITY; the environment variable "+envProbeSSL+"MODE sets it too")
	f.StringVar(&o.ssl.CA, "probe-ssl-ca", o.ssl.CA, "PEM `FILE` of the CA that the last two modes check the node by; or "+envProbeSSL+"CA")
	f.StringVar(&o.ssl.Cert, "probe-ssl-cert", o.ssl.Cert, "PEM `FILE` of the user's certificate; or "+envProbeSSL+"CERT")
	f.StringVar(&o.ssl.Key, "probe-ssl-key", o.ssl.Key, "PEM `FILE` of that certificate's key; or "+envProbeSSL+"KEY")
	files(cmd, "probe-password-file", "probe-ssl-ca", "probe-ssl-cert", "probe-ssl-key")
	return cmd
}

func (a *app) checkDefaults() checkOptions {
	o := checkOptions{user: a.getenv(envProbeUser), passwordFile: a.getenv(envProbePasswordFile)}
	o.ssl = conn.SSL{CA: a.getenv(envProbeSSL + "CA"), Cert: a.getenv(envProbeSSL + "CERT"), Key: a.getenv(envProbeSSL + "KEY")}
	if word := a.getenv(envProbeSSL + "MODE"); word != "" {
		o.sslErr = o.ssl.Mode.Set(word)
	}
	return o
}

// serverAddress takes the address out of the arguments, of which HAProxy passes
// four: a proxy's are NOT_USED in a backend.
func serverAddress(args []string) (string, error) {
	if len(args) != 2 && len(args) != 4 {
		return "", usagef("ADDR PORT are wanted, or the four arguments of HAProxy's external check; got %d", len(args))
	}
	host, port := args[len(args)-2], args[len(args)-1]
	if port == "NOT_USED" {
		return "", usagef("the server %s is a unix socket, which is no database node's address", host)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", usagef("%q is not a port", port)
	}
	return net.JoinHostPort(host, port), nil
}

// runCheck is `check` as HAProxy calls it. It is forked for every server and every
// interval, so the tree of commands is not built for it; what has flags, or is wrong
// in any way, is left to that.
func (a *app) runCheck(ctx context.Context, args []string) (code int, done bool) {
	switch {
	case len(args) > 0 && args[0] == "check":
		args = args[1:]
	case !a.calledByHAProxy(args):
		return 0, false
	}
	address, err := serverAddress(args)
	if err != nil || slices.ContainsFunc(args, func(arg string) bool { return strings.HasPrefix(arg, "-") }) {
		return 0, false
	}
	a.format = formatTable
	a.way.socket = a.defaultSocket()
	if err := a.check(ctx, a.checkDefaults(), address); err != nil {
		return a.failed(err, "haproxyctl check"), true
	}
	return exitDone, true
}

// calledByHAProxy tells whether haproxyctl itself is the "external-check command",
// which takes a path and no "check" behind it. HAProxy passes its four arguments then,
// and the server's two in the environment as well (seen with 2.6).
func (a *app) calledByHAProxy(args []string) bool {
	return len(args) == 4 && args[2] == a.getenv("HAPROXY_SERVER_ADDR") && args[3] == a.getenv("HAPROXY_SERVER_PORT")
}

func (a *app) check(ctx context.Context, o checkOptions, address string) error {
	c, err := a.askCheck(ctx, address)
	result := checked{Check: c, By: "haproxyd"}
	if err != nil {
		result = a.probe(ctx, o, address)
		result.Daemon = oneLine(err.Error())
	}
	if result.Usable || a.format != formatTable {
		if err := a.print(result, func(w io.Writer) { fmt.Fprintln(w, result.sentence(address)) }); err != nil {
			return err
		}
	}
	if !result.Usable {
		return &exitError{exitFailed, errors.New(result.sentence(address))}
	}
	return nil
}

// askCheck is the daemon's word; an error if there is none that says anything.
func (a *app) askCheck(ctx context.Context, address string) (api.Check, error) {
	ctx, cancel := context.WithTimeout(ctx, checkWithin)
	defer cancel()
	c, err := a.local().Check(ctx, address)
	if err != nil {
		return api.Check{}, err
	}
	if !c.Usable && c.Verdict != "down" {
		return api.Check{}, fmt.Errorf("haproxyd cannot tell (%s)", cmp.Or(c.Reason, c.Verdict))
	}
	return c, nil
}

func (c checked) sentence(address string) string {
	name, word := address, "usable"
	if c.Node != "" {
		name = fmt.Sprintf("%s (%s)", c.Node, address)
	}
	if !c.Usable {
		word = "not usable"
	}
	return fmt.Sprintf("%s is %s: %s%s", name, word, c.Reason, words.After("; probed from here, because ", c.Daemon))
}
