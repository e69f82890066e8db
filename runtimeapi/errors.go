package runtimeapi

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrUnsafeName says that an argument was refused before anything was sent, because
	// HAProxy would read more than one word or command out of it.
	ErrUnsafeName = errors.New("not safe on HAProxy's command line")
	// ErrTimeout says that no complete answer came in time. The outcome of a command that
	// changes something is then unknown. If the context ended the wait, the error is its
	// error as well.
	ErrTimeout = errors.New("no complete answer in time")
	// ErrIncomplete says that HAProxy closed the connection before the end of its answer,
	// as a process does that is killed or replaced. The outcome of a command that changes
	// something is then unknown.
	ErrIncomplete = errors.New("incomplete answer")
	// ErrUnreachable says that the socket could not be connected to: nothing was sent.
	ErrUnreachable = errors.New("cannot connect to HAProxy's stats socket")
	// ErrMalformed says that an answer was complete and still not what its command prints.
	ErrMalformed = errors.New("answer not understood")
	// ErrTooLarge says that an answer exceeded what its command may print.
	ErrTooLarge = errors.New("answer too large")
	// ErrSessionNotFound says that the session has ended meanwhile.
	ErrSessionNotFound = errors.New("session not found")
)

// CommandError is a command that HAProxy refused. Success of a command that changes
// something is one blank line; every other text is an error, whatever its wording, which
// differs between versions.
type CommandError struct {
	// Command is the command as it was sent.
	Command string
	// Message is the first line of HAProxy's answer, without a severity prefix.
	Message string
}

// Error returns one line.
func (e *CommandError) Error() string {
	if e.Denied() {
		return fmt.Sprintf("HAProxy refused %q: %s (the stats socket needs level operator for tables, admin for servers and sessions)", e.Command, e.Message)
	}
	return fmt.Sprintf("HAProxy refused %q: %s", e.Command, e.Message)
}

// Denied reports whether the socket's level forbids the command.
func (e *CommandError) Denied() bool {
	return strings.HasPrefix(e.Message, "Permission denied") || strings.Contains(e.Message, "insufficient privileges")
}

// refusal makes a CommandError of an answer that is not what the command prints.
func refusal(command, answer string) error {
	const most = 300
	message, _, _ := strings.Cut(answer, "\n")
	if len(message) > most {
		message = message[:most] + "..." // it is logged, and told to the other members
	}
	return &CommandError{Command: command, Message: cutSeverity(message)}
}

// expectBlank is the judgement of every command that changes something.
func expectBlank(command, answer string) error {
	if answer == "" {
		return nil
	}
	return refusal(command, answer)
}

// cutSeverity removes the prefix "[3]: " or "[err]: " that the bind option
// severity-output puts before messages (configuration.txt, section 5.1).
func cutSeverity(message string) string {
	if strings.HasPrefix(message, "[") {
		if i := strings.Index(message, "]: "); i > 0 && i <= len("[warning") {
			return message[i+len("]: "):]
		}
	}
	return message
}

// malformed is an ErrMalformed with what was wrong and the line where it was seen.
func malformed(command, problem, line string) error {
	const most = 120
	if len(line) > most {
		line = line[:most] + "..."
	}
	return fmt.Errorf("%q: %w: %s in %q", command, ErrMalformed, problem, line)
}
