package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/haproxy-peers/haproxy-peers/e2e/k8s/cluster"
)

func clusterCommands() []*cobra.Command {
	var opts cluster.Options
	up := &cobra.Command{
		Use:   "up",
		Short: "Make a cluster and print how to talk to it",
		Long: `Makes a cluster: nodes in namespaces of this machine (native; root, cgroup v1) or in containers (kind; a container
engine). It stays until "k8slab down". What was made is taken away again when it fails or is interrupted.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opts.Log = os.Stderr
			c, err := cluster.Up(cmd.Context(), opts)
			if err != nil {
				return err
			}
			fmt.Printf("%s\nexport KUBECONFIG=%s\n", c.Describe(), c.Kubeconfig())
			return nil
		},
	}
	up.Flags().StringVar(&opts.Kind, "kind", cluster.Native, "native or kind")
	up.Flags().IntVar(&opts.Nodes, "nodes", 3, "how many nodes; the first has the control plane, and takes pods too")
	up.Flags().BoolVar(&opts.Reuse, "reuse", false, "take the native cluster that is up, if one is")

	var kind string
	down := &cobra.Command{
		Use:   "down",
		Short: "Take the cluster away, also one whose maker died",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if kind == cluster.Kind {
				return cluster.DownKind(cmd.Context(), os.Stderr)
			}
			err := cluster.DownNative(cmd.Context(), os.Stderr)
			if cluster.KindIsUp() {
				fmt.Fprintln(os.Stderr, "the kind cluster stays: k8slab down --kind kind takes it away")
			}
			return err
		},
	}
	down.Flags().StringVar(&kind, "kind", cluster.Native, "native or kind")

	status := &cobra.Command{
		Use:   "status",
		Short: "Tell whether the native cluster is up, and list its nodes and pods",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := cluster.Open(cmd.Context(), os.Stderr)
			if err != nil {
				return err
			}
			fmt.Printf("%s\nexport KUBECONFIG=%s\n", c.Describe(), c.Kubeconfig())
			for _, what := range []string{"nodes", "pods"} {
				out, err := c.Kubectl(cmd.Context(), "get", what, "-A", "-o", "wide")
				if err != nil {
					return err
				}
				fmt.Printf("\n%s", out)
			}
			return nil
		},
	}
	return []*cobra.Command{up, down, status, loadCommand(), kubectlCommand(), faultCommand()}
}

func loadCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "load [NAME]...",
		Short: "Make images and put them on every node of the native cluster; without names the tests' own",
		RunE: func(cmd *cobra.Command, names []string) error {
			c, err := cluster.Open(cmd.Context(), os.Stderr)
			if err != nil {
				return err
			}
			return c.LoadImages(cmd.Context(), names...)
		},
	}
}

func kubectlCommand() *cobra.Command {
	return &cobra.Command{
		Use:                "kubectl ARG...",
		Short:              "Run kubectl on the native cluster",
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := cluster.Open(cmd.Context(), os.Stderr)
			if err != nil {
				return err
			}
			kubectl := c.KubectlCommand(cmd.Context(), args...)
			kubectl.Stdin, kubectl.Stdout, kubectl.Stderr = os.Stdin, os.Stdout, os.Stderr
			return kubectl.Run()
		},
	}
}

func faultCommand() *cobra.Command {
	fault := &cobra.Command{
		Use:   "fault",
		Short: "Break the native cluster: cut, heal, freeze, thaw, crash, restart NODE; kill NAMESPACE POD CONTAINER PROGRAM; recycle",
	}
	type action func(*cobra.Command, *cluster.Cluster, []string) error
	add := func(use, short string, args int, do action) {
		fault.AddCommand(&cobra.Command{
			Use: use, Short: short, Args: cobra.ExactArgs(args),
			RunE: func(cmd *cobra.Command, args []string) error {
				c, err := cluster.Open(cmd.Context(), os.Stderr)
				if c == nil {
					return errors.Join(err)
				}
				// Its API may be what the fault has cut off.
				return do(cmd, c, args)
			},
		})
	}
	add("cut NODE", "take the node off the network", 1, func(cmd *cobra.Command, c *cluster.Cluster, a []string) error { return c.CutNode(cmd.Context(), a[0]) })
	add("heal NODE", "end cut", 1, func(cmd *cobra.Command, c *cluster.Cluster, a []string) error { return c.HealNode(cmd.Context(), a[0]) })
	add("freeze NODE", "stop every process in place", 1, func(cmd *cobra.Command, c *cluster.Cluster, a []string) error {
		return c.FreezeNode(cmd.Context(), a[0])
	})
	add("thaw NODE", "end freeze", 1, func(cmd *cobra.Command, c *cluster.Cluster, a []string) error { return c.ThawNode(cmd.Context(), a[0]) })
	add("crash NODE", "kill every process with SIGKILL", 1, func(cmd *cobra.Command, c *cluster.Cluster, a []string) error {
		return c.CrashNode(cmd.Context(), a[0])
	})
	add("restart NODE", "start a crashed node", 1, func(cmd *cobra.Command, c *cluster.Cluster, a []string) error {
		return c.RestartNode(cmd.Context(), a[0])
	})
	add("kill NAMESPACE POD CONTAINER PROGRAM", "kill -9 a program of a container", 4,
		func(cmd *cobra.Command, c *cluster.Cluster, a []string) error {
			return c.Kill9(cmd.Context(), a[0], a[1], a[2], a[3])
		})
	add("recycle", "empty the volumes whose claims were deleted, and offer them again", 0,
		func(cmd *cobra.Command, c *cluster.Cluster, _ []string) error { return c.RecycleVolumes(cmd.Context()) })
	return fault
}
