// Command haproxyd is the control-plane daemon beside a HAProxy in front of a
// Percona XtraDB (Galera) cluster. It joins the daemons beside the other
// HAProxies, agrees with them on the one database node that takes the writes,
// and keeps its HAProxy on it through the Runtime API.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set at build time: -ldflags "-X main.version=...".
var version = "dev"

// memoryLimit is what the Go runtime keeps to, in bytes. The mapped parts of the
// binary, some 12 MiB, come on top in the resident size.
const memoryLimit = 40 << 20

func main() { os.Exit(execute(os.Args[1:])) }

// refusedError says that this daemon would not be safe as it is set up: no gossip key, or a file that others may write.
type refusedError struct{ error }

// exitRefused is how a refused daemon tells its supervisor, which then stays; it is sysexits.h's EX_CONFIG. Without one
// a refused daemon ends with 2, as one with other bad settings does.
const exitRefused = 78

// exitError is an end with an exit status of its own.
type exitError struct {
	error
	status int
}

// usageError is the end of a daemon that was called or set up wrongly.
func usageError(err error) error { return exitError{err, 2} }

func execute(args []string) int {
	// The daemon mostly waits: several threads would wake each other for work that
	// takes microseconds (measured at rest: a sixth less processor time with one).
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
	// What a flood leaves behind is collected before it makes the process large: at
	// rest the heap is far below this, and the collector's own pace rules.
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	hangups() // nobody reads these yet, and none ends the daemon
	cmd := newCommand(args)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		_, _ = fmt.Fprintln(os.Stderr, "haproxyd:", line)
	}
	if _, refused := errors.AsType[refusedError](err); refused {
		if supervised(cmd.Flags()) {
			return exitRefused
		}
		return 2
	}
	if exit, ok := errors.AsType[exitError](err); ok {
		return exit.status
	}
	return 1
}

func newCommand(args []string) *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "haproxyd --haproxy-cfg FILE [flags]",
		Short: "keep this HAProxy on the database node that all HAProxies agreed on",
		Long: `haproxyd runs beside a HAProxy in front of a Galera cluster. haproxy.cfg tells it
everything it must know: the admin socket, the sticky backends and their servers,
and the peers, which are the first members. Every flag is also an environment
variable (HAPROXYD_GOSSIP_BIND) and a key of the --config file (gossip-bind).

In Kubernetes --kubernetes-pods names the database pods: the writes leave a pod
that is being deleted, by a drain or an update, before its end.

SIGHUP has it read its files again; SIGTERM ends it.

The daemons speak with each other under a key, and without one haproxyd does not
start (haproxyctl gossip-key makes one, and every member gets the same file).

Starting, stopping or losing the daemon moves no traffic: HAProxy carries on by
itself. Steer with haproxyctl.`,
		Example: `  haproxyd --haproxy-cfg /etc/haproxy/haproxy.cfg --gossip-key-file /etc/haproxyd/gossip-key \
      --probe-user monitor --probe-password-file /etc/haproxyd/probe
  haproxyd --haproxy-cfg /etc/haproxy/haproxy.cfg --gossip-key-file /etc/haproxyd/gossip-key --observe
  haproxyd --haproxy-cfg /etc/haproxy/haproxy.cfg --gossip-key-file /etc/haproxyd/gossip-key --kubernetes-pods app.kubernetes.io/name=pxc`,
		Version:       version,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := fill(cmd.Flags(), os.LookupEnv); err != nil {
				return usageError(err)
			}
			if s.Supervise != "" {
				return supervise(cmd.Context(), &s, args)
			}
			return run(cmd.Context(), &s)
		},
	}
	cmd.SetArgs(args)
	s.flags(cmd.Flags())
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError(err) })
	return cmd
}
