package runtimeapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// What an answer may have, in bytes: it is held in memory whole, twice for a moment, and
// what is behind the socket may have gone mad. Those of a command that changes something,
// or looks at one thing, are a few lines.
const (
	maxShort   = 64 << 10
	maxListing = 4 << 20
)

// roundTrip sends one line over a fresh connection and returns everything up to the close
// by HAProxy, whole or not: that is for splitAnswers to say. More than most bytes are ErrTooLarge.
func (c *Client) roundTrip(ctx context.Context, line string, most int) (reply string, err error) {
	buffer := c.buffers.Get().(*[]byte)
	defer c.recycle(buffer)
	most = min(most, c.maxReply)
	err = c.exchange(ctx, line, most, func(answer io.Reader) error {
		data, err := readAll(answer, buffer, most+1)
		reply = string(data)
		return err
	})
	if err != nil {
		return "", err
	}
	return reply, nil
}

// exchange sends one line over a fresh connection and lets read take what comes back. The
// errors of the reader are complete ones, for read to return as they are; its io.EOF is the
// close by HAProxy.
func (c *Client) exchange(ctx context.Context, line string, most int, read func(answer io.Reader) error) error {
	deadline := time.Now().Add(c.timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if err := c.acquire(ctx, deadline); err != nil {
		return c.explain(line, err)
	}
	defer func() { <-c.slots }()

	dialer := net.Dialer{Deadline: deadline}
	conn, err := dialer.DialContext(ctx, "unix", c.socket)
	if err != nil {
		if err := timeoutOf(ctx, err); err != nil {
			return c.explain(line, err)
		}
		return unreachable(err)
	}
	defer func() { _ = conn.Close() }() // nothing is lost: the answer was read or the call has failed
	if err := conn.SetDeadline(deadline); err != nil {
		return c.explain(line, err)
	}
	if ctx.Done() != nil {
		// Cancellation is the deadline moved into the past.
		stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
		defer stop()
	}

	if _, err := io.WriteString(conn, line+"\n"); err != nil {
		return c.explain(line, brokenOff(ctx, err, 0))
	}
	return read(&answerReader{client: c, ctx: ctx, conn: conn, line: line, most: most})
}

// answerReader bounds an answer and says what went wrong with it.
type answerReader struct {
	client *Client
	// ctx lives within one call, as the reader does.
	ctx  context.Context
	conn io.Reader
	line string
	read int
	most int
}

func (r *answerReader) Read(p []byte) (int, error) {
	n, err := r.conn.Read(p)
	r.read += n
	switch {
	case r.read > r.most:
		return 0, r.client.explain(r.line, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, r.most))
	case err == nil || errors.Is(err, io.EOF):
		return n, err
	}
	return n, r.client.explain(r.line, brokenOff(r.ctx, err, r.read))
}

// recycle keeps a buffer for the next call, unless one large answer made it large.
func (c *Client) recycle(buffer *[]byte) {
	const most = 1 << 20
	if cap(*buffer) <= most {
		c.buffers.Put(buffer)
	}
}

// readAll reads to the end of the stream, which is an error of the reader before most bytes,
// into buffer, which it grows. The result is valid until the buffer is used again.
func readAll(answer io.Reader, buffer *[]byte, most int) ([]byte, error) {
	data := (*buffer)[:cap(*buffer)]
	n := 0
	for {
		if n == len(data) {
			grown := make([]byte, max(min(2*n, most), n+1))
			copy(grown, data)
			data = grown
			*buffer = data
		}
		m, err := answer.Read(data[n:])
		n += m
		switch {
		case errors.Is(err, io.EOF):
			return data[:n], nil
		case err != nil:
			return data[:n], err
		}
	}
}

// acquire takes one of the client's connections, waiting for it until the deadline.
func (c *Client) acquire(ctx context.Context, deadline time.Time) error {
	if err := ctx.Err(); err != nil {
		return timeoutOf(ctx, err)
	}
	select {
	case c.slots <- struct{}{}:
		return nil
	default:
	}
	select {
	case c.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return timeoutOf(ctx, ctx.Err())
	case <-time.After(time.Until(deadline)):
		return outOfTime(ctx, fmt.Sprintf("all %d connections of this client wait for HAProxy", cap(c.slots)))
	}
}

// timeoutOf returns the error of a call that was ended by the context or by its time, nil
// if err is something else.
func timeoutOf(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	// Not net.Error's Timeout: that is true for a full queue (EAGAIN), too.
	if ctx.Err() == nil && !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return outOfTime(ctx, "HAProxy hangs, or its ten CLI connections are taken")
}

// outOfTime is an ErrTimeout with what was waited for, and the context's error if its
// deadline has passed: a timer of ours may fire a moment before the context's own.
func outOfTime(ctx context.Context, what string) error {
	if d, ok := ctx.Deadline(); ok && !time.Now().Before(d) {
		return fmt.Errorf("%w: %s: %w", ErrTimeout, what, context.DeadlineExceeded)
	}
	return fmt.Errorf("%w: %s", ErrTimeout, what)
}

// unreachable says what to look at when the socket cannot be connected to.
func unreachable(err error) error {
	hint := "is HAProxy running, with this socket in its global section?"
	switch {
	case errors.Is(err, syscall.EAGAIN):
		hint = "its queue is full: HAProxy hangs, or too many CLI connections wait"
	case errors.Is(err, fs.ErrPermission):
		hint = "this user may not: see mode, user and group of the stats socket line"
	}
	return fmt.Errorf("runtimeapi: %w (%s): %w", ErrUnreachable, hint, err)
}

// brokenOff judges an exchange that ended by an error after so many bytes.
func brokenOff(ctx context.Context, err error, received int) error {
	if timeout := timeoutOf(ctx, err); timeout != nil {
		return timeout
	}
	return fmt.Errorf("%w: broken off after %d bytes: %w", ErrIncomplete, received, err)
}

// splitAnswers cuts a reply into len(answers) answers, each without the newline that ended
// it. The last one takes all that is left, so that empty lines in it are its parser's to
// refuse.
func splitAnswers(reply string, answers []string) error {
	rest, last := reply, len(answers)-1
	for i := range last {
		answer, behind, ok := cutAnswer(rest)
		if !ok {
			return fmt.Errorf("%w: answer %d of %d has no end, after %d bytes", ErrIncomplete, i+1, len(answers), len(reply))
		}
		answers[i], rest = answer, behind
	}
	switch {
	case rest == "\n":
		answers[last] = ""
	case strings.HasSuffix(rest, "\n\n"):
		answers[last] = rest[:len(rest)-1]
	default:
		return fmt.Errorf("%w: answer %d of %d has no end, after %d bytes", ErrIncomplete, len(answers), len(answers), len(reply))
	}
	return nil
}

// cutAnswer cuts the first answer off: a newline alone, or text that ends with two.
func cutAnswer(reply string) (answer, rest string, ok bool) {
	if strings.HasPrefix(reply, "\n") {
		return "", reply[1:], true
	}
	i := strings.Index(reply, "\n\n")
	if i < 0 {
		return "", reply, false
	}
	return reply[:i+1], reply[i+2:], true
}
