package runtimeapi

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
)

const detailsCommand = sessionsCommand + " all"

// SessionDetails lists the sessions of a backend's server with their addresses, in one
// command; "" as backend or server means any. No filter of HAProxy's own works on all
// versions, so that it prints every session, some 1.3 KB each, and other commands wait
// meanwhile: for a few sessions SessionDetail is cheaper. A session that ended while it was
// printed is left out.
func (c *Client) SessionDetails(ctx context.Context, backend, server string) ([]Session, error) {
	d := details{backend: backend, server: server}
	if err := c.exchange(ctx, detailsCommand, c.maxReply, d.read); err != nil {
		return nil, err
	}
	return d.found, nil
}

// details reads the answer as it comes: several megabytes, of which little is kept.
type details struct {
	backend, server string
	found           []Session

	current detail
	// open tells that current has begun, gone that it ended while HAProxy printed it.
	open, gone bool
}

func (d *details) read(answer io.Reader) error {
	const longestLine = 16 << 10
	in := bufio.NewReaderSize(answer, longestLine)
	start, err := in.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if len(start) == 2 && string(start) != "0x" {
		return readRefusal(detailsCommand, in)
	}
	ended := false
	for {
		line, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return malformed(detailsCommand, "a line without an end", string(line))
		case errors.Is(err, io.EOF) && ended && len(line) == 0:
			return d.close()
		case errors.Is(err, io.EOF):
			return fmt.Errorf("%q: %w: the end is missing, after %d sessions", detailsCommand, ErrIncomplete, len(d.found))
		case err != nil:
			return err
		case ended:
			return malformed(detailsCommand, "an empty line before", string(line))
		}
		if line = line[:len(line)-1]; len(line) == 0 {
			ended = true
			continue
		}
		if err := d.add(line); err != nil {
			return err
		}
	}
}

// readRefusal reads an answer that lists nothing to its end.
func readRefusal(command string, in io.Reader) error {
	reply, err := io.ReadAll(io.LimitReader(in, maxShort))
	if err != nil {
		return err
	}
	var answer [1]string
	if err := splitAnswers(string(reply), answer[:]); err != nil {
		return fmt.Errorf("%q: %w", command, err)
	}
	return refusal(command, answer[0])
}

// add takes one line. Only those that hold something are copied.
func (d *details) add(line []byte) error {
	if line[0] != ' ' {
		if err := d.close(); err != nil {
			return err
		}
		d.open, d.gone = true, false
		return d.current.begin(detailsCommand, string(line))
	}
	line = bytes.TrimLeft(line, " ")
	name, _, _ := bytes.Cut(line, []byte("="))
	switch string(name) {
	case "backend", "server", "task", "req", "res", "scf", "scb":
		return d.current.add(detailsCommand, string(line))
	}
	if bytes.HasPrefix(line, []byte("***")) {
		// "*** session terminated while we were watching it ***" (src/stream.c)
		d.gone = true
	}
	return nil
}

// close ends the session that is open.
func (d *details) close() error {
	if !d.open || d.gone {
		return nil
	}
	s := d.current.session
	if !d.current.complete() {
		return malformed(detailsCommand, "no backend or task line", s.ID)
	}
	if len(d.found) == maxSessions {
		return fmt.Errorf("%q: %w: more than %d sessions", detailsCommand, ErrTooLarge, maxSessions)
	}
	if (d.backend == "" || s.Backend == d.backend) && (d.server == "" || s.Server == d.server) {
		d.found = append(d.found, s)
	}
	return nil
}
