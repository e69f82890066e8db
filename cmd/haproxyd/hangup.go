package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// hangups are the SIGHUPs to this process. From the first call on none ends it.
func hangups() <-chan os.Signal {
	c := make(chan os.Signal, 1) // one that waits is as good as many
	signal.Notify(c, syscall.SIGHUP)
	return c
}

// onHangup calls f at every SIGHUP until ctx is done.
func onHangup(ctx context.Context, f func()) {
	c := hangups()
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-c:
				f()
			}
		}
	}()
}
