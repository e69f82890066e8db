package runtimeapi

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

const sessionsCommand = "show sess"

// maxSessions is how many sessions one answer may have; maxSessionList are the bytes of so
// many in "show sess".
const (
	maxSessions    = 32 << 10
	maxSessionList = 10 << 20
)

// Session is one session ("stream" in HAProxy's source) as "show sess" knows it.
type Session struct {
	// ID is what SessionDetail and ShutdownSession take. It is a pointer: it may mean
	// another session later, so look again before acting on an old one.
	ID string
	// Source is the client's address and port, "" if there is no client.
	Source string
	// Backend and Server are "" where there is none. A session that waits in a server's
	// queue has that server in Sessions, and none in SessionDetail and SessionDetails (run
	// on 2.6 to 3.4).
	Backend, Server string
	// Age is the time since the session began, in whole seconds.
	Age time.Duration
	// LocalAddr is the session's own address and port towards the server, the HOST of
	// the database's process list. It is filled by SessionDetail and SessionDetails only,
	// and "" while no connection to the server stands.
	LocalAddr string
	// Traffic tells whether anything has passed between two looks: it is another text
	// then. It is made of the bytes of both directions, which versions write in different
	// places ("total=" of req and res up to 3.2, "in=" and "out=" of scf and scb in 3.4;
	// "" in one that writes neither),
	// and filled by SessionDetail and SessionDetails only.
	Traffic string
}

// Sessions lists all sessions, those of peers and of the CLI included. It costs HAProxy
// about 5 ms per 1,000 sessions.
func (c *Client) Sessions(ctx context.Context) ([]Session, error) {
	answer, err := c.ask(ctx, sessionsCommand, maxSessionList)
	if err != nil {
		return nil, err
	}
	return parseSessions(sessionsCommand, answer)
}

// SessionDetail returns one session with its addresses. A session that has ended is
// ErrSessionNotFound.
func (c *Client) SessionDetail(ctx context.Context, id string) (Session, error) {
	if err := checkSessionID(id); err != nil {
		return Session{}, err
	}
	command := sessionsCommand + " " + id
	answer, err := c.ask(ctx, command, maxShort)
	if err != nil {
		return Session{}, err
	}
	return parseSessionDetail(command, answer)
}

// noSession turns a refusal that says that the session is gone into ErrSessionNotFound:
// "Session not found." of show, "No such session (use 'show sess')." of shutdown.
func noSession(err error) error {
	var refused *CommandError
	if errors.As(err, &refused) &&
		(strings.HasPrefix(refused.Message, "Session not found") || strings.HasPrefix(refused.Message, "No such session")) {
		return fmt.Errorf("%w: %w", ErrSessionNotFound, err)
	}
	return err
}

// parseSessions reads lines as
//
//	0x55d0: proto=tcpv4 src=127.0.0.1:37782 fe=in be=nodes srv=pxc-0 ts=00 age=1m2s calls=2 ...
func parseSessions(command, answer string) ([]Session, error) {
	if answer != "" && !strings.HasPrefix(answer, "0x") {
		return nil, refusal(command, answer)
	}
	number := strings.Count(answer, "\n")
	if number > maxSessions {
		return nil, fmt.Errorf("%q: %w: %d sessions, more than %d", command, ErrTooLarge, number, maxSessions)
	}
	sessions := make([]Session, 0, number)
	for rest := answer; rest != ""; {
		var line string
		line, rest = cutLine(rest)
		session, err := parseSession(command, line)
		if err != nil {
			return nil, err
		}
		sessions = append(sessions, session)
	}
	return sessions, nil
}

func parseSession(command, line string) (Session, error) {
	id, rest, ok := strings.Cut(line, ": ")
	if !ok || checkSessionID(id) != nil {
		return Session{}, malformed(command, "no session", line)
	}
	session := Session{ID: id, Age: -1}
	// Everything behind the age is counters and flags.
	for rest != "" && session.Age < 0 {
		var word string
		word, rest, _ = strings.Cut(rest, " ")
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "src":
			session.Source = value
		case "be":
			session.Backend = someName(value)
		case "srv":
			session.Server = someName(value)
		case "age":
			if session.Age, ok = parseAge(value); !ok {
				return Session{}, malformed(command, "no age", line)
			}
		}
	}
	if session.Age < 0 {
		return Session{}, malformed(command, "no age", line)
	}
	return session, nil
}

// parseSessionDetail reads, of some 25 lines of "show sess ID",
//
//	0x55d0: [22/Nov/2026:19:57:08.429118] id=63 proto=tcpv4 source=127.0.0.1:37782
//	  frontend=in (id=2 mode=tcp), listener=? (id=1) addr=127.0.0.1:21002
//	  backend=nodes (id=3 mode=tcp) addr=127.0.0.1:57822
//	  server=pxc-0 (id=1) addr=127.0.0.1:21003
//	  task=0x55d1 (state=0x00 nice=0 calls=2 rate=2 exp=0s tmask=0x1 age=0s)
func parseSessionDetail(command, answer string) (Session, error) {
	if !strings.HasPrefix(answer, "0x") {
		return Session{}, noSession(unexpected(command, answer))
	}
	line, rest := cutLine(answer)
	var d detail
	if err := d.begin(command, line); err != nil {
		return Session{}, err
	}
	for rest != "" {
		line, rest = cutLine(rest)
		if line == "" {
			return Session{}, malformed(command, "an empty line", answer)
		}
		if err := d.add(command, line); err != nil {
			return Session{}, err
		}
	}
	if !d.complete() {
		return Session{}, malformed(command, "no backend or task line", answer)
	}
	return d.session, nil
}

// detail gathers a session from its lines.
type detail struct {
	session Session
	backend bool
}

// begin takes a session's first line.
func (d *detail) begin(command, line string) error {
	id, head, ok := strings.Cut(line, ": ")
	if !ok || checkSessionID(id) != nil {
		return malformed(command, "no session", line)
	}
	*d = detail{session: Session{ID: id, Age: -1, Source: valueOf(head, "source=")}}
	return nil
}

// add takes one of the lines behind it.
func (d *detail) add(command, line string) error {
	name, value, _ := strings.Cut(strings.TrimLeft(line, " "), "=")
	word, _, _ := strings.Cut(value, " ")
	switch name {
	case "backend":
		d.backend = true
		d.session.Backend = someName(word)
		d.session.LocalAddr = valueOf(value, "addr=")
	case "server":
		d.session.Server = someName(word)
	case "task":
		age, ok := parseAge(strings.TrimSuffix(valueOf(value, "age="), ")"))
		if !ok {
			return malformed(command, "no age", line)
		}
		d.session.Age = age
	case "req", "res", "scf", "scb":
		for _, count := range []string{"total=", "in=", "out="} {
			if bytes := strings.TrimSuffix(valueOf(value, count), ")"); bytes != "" {
				d.session.Traffic += name + " " + count + bytes + " "
			}
		}
	}
	return nil
}

// complete tells whether all lines were there that every session has.
func (d *detail) complete() bool { return d.backend && d.session.Age >= 0 }

// valueOf returns the word behind " name=" in a line, "" if there is none.
func valueOf(line, name string) string {
	i := strings.Index(line, " "+name)
	if i < 0 {
		return ""
	}
	value, _, _ := strings.Cut(line[i+1+len(name):], " ")
	return value
}
