// Command load is the client of the Kubernetes suite: it writes through the
// clients' Service and keeps a log for the judge. Its image has nothing else.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/haproxy-peers/haproxy-peers/e2e/k8s/load"
	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

// passwordEnv keeps the password off the command line.
const passwordEnv = "LOAD_PASSWORD"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	root := &cobra.Command{Use: "load", Short: "Write through a Service and keep a log for the judge", SilenceUsage: true}
	root.AddCommand(runCommand(), followCommand(), rowsCommand(), nowCommand())
	if err := root.ExecuteContext(ctx); err != nil {
		stop()
		os.Exit(1) //nolint:gocritic // stop was called
	}
}

func login(cmd *cobra.Command, cfg *load.Config) {
	f := cmd.Flags()
	f.StringVar(&cfg.Address, "address", "haproxy:3306", "`HOST:PORT` to connect to")
	f.StringVar(&cfg.User, "user", "app", "log in as `USER`; the password is in the environment variable "+passwordEnv)
	f.StringVar(&cfg.Database, "database", "lab", "the `DATABASE` with the table")
	f.DurationVar(&cfg.ConnectTimeout, "connect-timeout", 3*time.Second, "bounds an attempt to connect")
	cfg.Password = os.Getenv(passwordEnv)
}

func runCommand() *cobra.Command {
	var cfg load.Config
	var out string
	cmd := &cobra.Command{Use: "run", Short: "Write until told to end", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := os.Create(out)
			if err != nil {
				return err
			}
			return errors.Join(load.Run(cmd.Context(), cfg, f), f.Close())
		}}
	login(cmd, &cfg)
	f := cmd.Flags()
	f.StringVar(&out, "log", "/data/log.jsonl", "the `FILE` of the log")
	f.IntVar(&cfg.Workers, "workers", 3, "workers that connect anew every few transactions")
	f.Float64Var(&cfg.Rate, "rate", 20, "transactions a second that each of them begins at most")
	f.IntVar(&cfg.Reconnect, "reconnect", 10, "transactions after which they connect anew")
	f.IntVar(&cfg.Pool, "pool", 3, "writers that share a pool, which tests its connections")
	f.DurationVar(&cfg.Hold, "hold", 100*time.Millisecond, "how long each of their transactions is open")
	f.DurationVar(&cfg.Think, "think", 150*time.Millisecond, "their pause between two transactions")
	f.DurationVar(&cfg.Long, "long", 0, "how long the transactions of one more writer are open; 0: there is none")
	f.DurationVar(&cfg.MaxLife, "max-life", time.Minute, "after what time the pool renews a connection; 0: never")
	f.DurationVar(&cfg.Timeout, "timeout", 10*time.Second, "bounds a transaction")
	f.DurationVar(&cfg.Retry, "retry", 20*time.Millisecond, "the pause after a failure")
	return cmd
}

// followPoll is how often followCommand looks for more.
const followPoll = 50 * time.Millisecond

func followCommand() *cobra.Command {
	var from int64
	cmd := &cobra.Command{Use: "follow FILE", Short: "Print a log from a byte on, and what comes to it", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			if _, err := f.Seek(from, io.SeekStart); err != nil {
				return err
			}
			for {
				if _, err := io.Copy(os.Stdout, f); err != nil {
					return err
				}
				select {
				case <-cmd.Context().Done():
					return nil
				case <-time.After(followPoll):
				}
			}
		}}
	cmd.Flags().Int64Var(&from, "from", 0, "the `BYTE` to begin with")
	return cmd
}

func rowsCommand() *cobra.Command {
	var cfg load.Config
	var run string
	cmd := &cobra.Command{Use: "rows", Short: "Print the keys of a run that a database node has", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := bufio.NewWriter(os.Stdout)
			err := load.Rows(cmd.Context(), cfg, run, func(k lab.Key) error {
				_, err := fmt.Fprintln(out, k.Via, k.Client, k.Seq)
				return err
			})
			return errors.Join(err, out.Flush())
		}}
	login(cmd, &cfg)
	cmd.Flags().StringVar(&run, "run", "", "the `RUN` in the log's first line")
	return cmd
}

func nowCommand() *cobra.Command {
	return &cobra.Command{Use: "now", Short: "Print this pod's clock, in nanoseconds since 1970", Args: cobra.NoArgs,
		Run: func(*cobra.Command, []string) { fmt.Println(time.Now().UnixNano()) }}
}
