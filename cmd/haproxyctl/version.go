package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
)

// versions is what `version` prints.
type versions struct {
	Client string `json:"client"`
	Daemon string `json:"daemon,omitempty"`
	// Problem says why there is no version of the daemon.
	Problem string `json:"problem,omitempty"`
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of haproxyctl and of the daemon",
		Long:    `Print the version of haproxyctl and, if it answers, of the daemon behind the socket.`,
		Example: "  haproxyctl version -o json",
		RunE: runE(func(ctx context.Context, _ []string) error {
			v := versions{Client: version}
			ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
			defer cancel()
			if status, err := a.client().Status(ctx); err != nil {
				v.Problem = oneLine(err.Error())
			} else {
				v.Daemon = status.Version
			}
			return a.print(v, func(w io.Writer) {
				fmt.Fprintf(w, "haproxyctl %s\n", v.Client)
				if v.Problem == "" {
					fmt.Fprintf(w, "haproxyd   %s\n", v.Daemon)
				} else {
					fmt.Fprintf(w, "haproxyd   unknown: %s\n", v.Problem)
				}
			})
		}),
	}
}
