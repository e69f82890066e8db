//go:build steps

package step

import (
	"context"
	"os"
	"path/filepath"
	"time"
)

const (
	// longest is how long At waits at most.
	longest = 10 * time.Second
	// look is how often At looks whether it may go on.
	look = time.Millisecond
)

// At says that this member has reached a step, and returns when the step is not or no longer stopped, when the context
// ends, or after 10 s. The name becomes part of a file's name: letters, digits and "-".
//
// It has no error: a folder that cannot be written shows in the test as a step that is never reached.
func At(ctx context.Context, name string) {
	dir := os.Getenv("HAPROXYD_STEPS")
	if dir == "" {
		return
	}
	reached := filepath.Join(dir, os.Getenv("HAPROXYD_STEPS_MEMBER")+"."+name+".reached")
	if err := os.WriteFile(reached, nil, 0o644); err != nil {
		return
	}
	stop := filepath.Join(dir, name+".stop")
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for {
		if _, err := os.Stat(stop); err != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
