package configs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// checkTimeout bounds `haproxy -c`, which resolves every name of the file.
const checkTimeout = 30 * time.Second

// CheckWithHAProxy runs `haproxy -c` on the files, as one configuration. Its error is the first ALERT line of HAProxy,
// or why HAProxy could not be run. An empty binary means haproxy of the PATH. Warnings are no error.
func CheckWithHAProxy(ctx context.Context, binary string, files ...string) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	args := []string{"-c"}
	for _, f := range files {
		args = append(args, "-f", f)
	}
	cmd := exec.CommandContext(ctx, cmp.Or(binary, "haproxy"), args...)
	// A child that keeps the pipe open must not keep us waiting after the deadline.
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("haproxy -c: %w", ctx.Err())
	}
	if _, ran := errors.AsType[*exec.ExitError](err); !ran {
		return fmt.Errorf("haproxy -c: %s cannot be run: %w", cmp.Or(binary, "haproxy"), err)
	}
	return fmt.Errorf("haproxy -c: %s", firstAlert(string(out), err))
}

// firstAlert finds `[ALERT]    (pid) : config : text` (2.4 and later; before that a date stands in the brackets' place).
func firstAlert(out string, err error) string {
	for line := range strings.SplitSeq(out, "\n") {
		if !strings.HasPrefix(line, "[ALERT]") {
			continue
		}
		if _, text, ok := strings.Cut(line, ") : "); ok {
			return strings.TrimPrefix(text, "config : ")
		}
		return line
	}
	if line := strings.TrimSpace(out); line != "" {
		first, _, _ := strings.Cut(line, "\n")
		return first
	}
	return err.Error()
}
