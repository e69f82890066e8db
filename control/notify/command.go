package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// commandWithin is how long a command may run; then it and its children are killed.
const commandWithin = 30 * time.Second

// mostSaid is how much of what a command says is kept for the log.
const mostSaid = 500

// Command runs a program for each event, without a shell: with the event as JSON on its standard input, and in the environment
// what a script needs.
type Command struct {
	words  []string
	within time.Duration
}

// NewCommand takes a program and its arguments, in words that are separated by spaces.
func NewCommand(text string) (*Command, error) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return nil, errors.New("on-event: empty; give a program and its arguments")
	}
	if _, err := exec.LookPath(words[0]); err != nil {
		return nil, fmt.Errorf("on-event: %w", err)
	}
	return &Command{words: words, within: commandWithin}, nil
}

// Name implements Receiver.
func (c *Command) Name() string { return "command" }

// Tell runs the command. An exit status other than 0 is a failure, and it is run again.
func (c *Command) Tell(ctx context.Context, e *Event) error {
	ctx, cancel := context.WithTimeout(ctx, c.within)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.words[0], c.words[1:]...) //nolint:gosec // the administrator's own
	cmd.Env = append(os.Environ(), environment(e)...)
	cmd.Stdin = bytes.NewReader(append(e.json(), '\n'))
	said := &bounded{most: mostSaid}
	cmd.Stdout, cmd.Stderr = said, said
	// Its children end with it: one that holds the pipe would be waited for.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s did not end within %v", c.words[0], c.within)
	case err != nil:
		return fmt.Errorf("%s: %w: %s", c.words[0], err, strings.Join(strings.Fields(string(said.text)), " "))
	}
	return nil
}

// environment are the event's words for a script.
func environment(e *Event) []string {
	d := &e.Data
	all := []string{
		"HAPROXYD_EVENT=" + d.Kind, "HAPROXYD_EVENT_ID=" + e.ID, "HAPROXYD_EVENT_SOURCE=" + e.Source, "HAPROXYD_EVENT_TIME=" + e.Time.Format(time.RFC3339Nano),
		"HAPROXYD_EVENT_TEXT=" + d.Text, "HAPROXYD_EVENT_MEMBER=" + d.Member, "HAPROXYD_EVENT_NODE=" + d.Node, "HAPROXYD_EVENT_FROM=" + d.From,
		"HAPROXYD_EVENT_BY=" + d.By, "HAPROXYD_EVENT_ORDERED_BY=" + d.OrderedBy, "HAPROXYD_EVENT_ORDER=" + d.Order,
		"HAPROXYD_EVENT_EPOCH=" + strconv.FormatUint(d.Epoch, 10),
	}
	for i := range all {
		all[i] = strings.ReplaceAll(all[i], "\x00", "") // which would end it
	}
	return all
}

// bounded keeps the beginning of what is written. It is no bytes.Buffer, which would be read into past Write.
type bounded struct {
	text []byte
	most int
}

func (b *bounded) Write(p []byte) (int, error) {
	b.text = append(b.text, p[:min(b.most-len(b.text), len(p))]...)
	return len(p), nil
}
