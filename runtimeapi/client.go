package runtimeapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"
)

const (
	defaultTimeout = 2 * time.Second
	// maxInFlight is the number of connections that a client holds at once. HAProxy serves
	// ten by default, to all its clients together, and leaves the next without a word.
	maxInFlight = 2
	// maxReply is the largest answer accepted, in bytes; a larger one ends as ErrTooLarge.
	// Only SessionDetails, which reads its answer as it comes, takes as much: 10 MiB are the
	// most for Sessions (300 bytes each), 4 MiB for other listings (a table entry takes
	// about 100 bytes), 64 KiB for the rest.
	maxReply = 32 << 20
	// maxUnixPath is the room for a path in sockaddr_un on Linux, less its final zero.
	maxUnixPath = 107
)

// Config says which HAProxy to speak to and within which bounds. The zero value of every
// field but Socket means its default.
type Config struct {
	// Socket is the absolute path of a stats socket ("stats socket PATH level admin" in
	// the global section). Not the master socket: that one speaks for the workers and
	// waits for the write side to be shut. Required.
	Socket string
	// Timeout bounds one call from its start to the complete answer, the wait for a free
	// connection included; a nearer deadline of the context wins. Default 2 s.
	Timeout time.Duration
}

// Validate reports every field that is out of range, joined.
func (c Config) Validate() error {
	var errs []error
	switch {
	case c.Socket == "":
		errs = append(errs, errors.New("runtimeapi: Socket is empty: give the path of HAProxy's stats socket"))
	case !filepath.IsAbs(c.Socket):
		errs = append(errs, fmt.Errorf("runtimeapi: Socket %q is not an absolute path", c.Socket))
	case len(c.Socket) > maxUnixPath:
		errs = append(errs, fmt.Errorf("runtimeapi: Socket %q has %d bytes, a unix socket's path at most %d", c.Socket, len(c.Socket), maxUnixPath))
	}
	if c.Timeout < 0 {
		errs = append(errs, fmt.Errorf("runtimeapi: Timeout %v is negative", c.Timeout))
	}
	return errors.Join(errs...)
}

// Client speaks to one HAProxy process through its stats socket. It is safe for use by
// several goroutines. It holds no connection between calls, so it always speaks to the
// process that owns the socket now, and needs no closing.
type Client struct {
	socket   string
	timeout  time.Duration
	maxReply int // the constant; tests take less
	// slots holds one token for each connection in use.
	slots chan struct{}
	// buffers holds *[]byte, see recycle.
	buffers sync.Pool
}

// New returns a client. It does not connect: HAProxy may start later.
func New(config Config) (*Client, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	return &Client{
		socket:   config.Socket,
		timeout:  cmp.Or(config.Timeout, defaultTimeout),
		maxReply: maxReply,
		slots:    make(chan struct{}, maxInFlight),
		buffers: sync.Pool{New: func() any {
			// The size of what HAProxy writes at once (tune.bufsize).
			buffer := make([]byte, 16<<10)
			return &buffer
		}},
	}, nil
}

// ask runs one command whose answer has no empty line inside, and at most so many bytes.
func (c *Client) ask(ctx context.Context, command string, most int) (string, error) {
	reply, err := c.roundTrip(ctx, command, most)
	if err != nil {
		return "", err
	}
	var answer [1]string
	if err := splitAnswers(reply, answer[:]); err != nil {
		return "", c.explain(command, err)
	}
	return answer[0], nil
}

// change runs one command whose success is a blank answer.
func (c *Client) change(ctx context.Context, command string) error {
	answer, err := c.ask(ctx, command, maxShort)
	if err != nil {
		return err
	}
	return expectBlank(command, answer)
}

// explain puts the command and the socket before an error of the exchange.
func (c *Client) explain(command string, err error) error {
	return fmt.Errorf("runtimeapi: %q on %s: %w", command, c.socket, err)
}
