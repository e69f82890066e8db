package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"

	"github.com/haproxy-peers/haproxy-peers/cmd/haproxyd/supervisor"
)

// supervise runs the daemon of these arguments as a child process.
func supervise(ctx context.Context, s *settings, args []string) error {
	log, err := s.logger(os.Stderr)
	if err != nil {
		return usageError(err)
	}
	if _, _, err := net.SplitHostPort(s.Supervise); err != nil {
		return usageError(fmt.Errorf("supervise: %w", err))
	}
	url, err := healthURL(s.HTTPBind)
	if err != nil {
		return usageError(err)
	}
	binary, err := os.Executable()
	if err != nil {
		return err
	}
	status, err := supervisor.Run(ctx, supervisor.Config{
		Command: func() *exec.Cmd {
			// The last one of a flag counts, and it beats the environment and the file.
			cmd := exec.Command(binary, append(args[:len(args):len(args)], "--supervise=")...) //nolint:gosec,noctx // itself; its end is ordered with SIGTERM
			cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
			return cmd
		},
		Healthz: url, Listen: s.Supervise, Hangups: hangups(), Log: log, Refused: exitRefused,
	})
	if err == nil && status != 0 {
		err = fmt.Errorf("the daemon was told to end, and ended with status %d", status)
	}
	if err != nil {
		return exitError{err, status}
	}
	return nil
}

// healthURL is where the daemon that listens at this address answers from this host.
func healthURL(bind string) (string, error) {
	host, port, err := net.SplitHostPort(bind)
	if err != nil {
		return "", fmt.Errorf("http-bind: %w", err)
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip.Is6() {
			host = "::1"
		}
	}
	return "http://" + net.JoinHostPort(host, port) + "/healthz", nil
}
