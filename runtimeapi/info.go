package runtimeapi

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/haproxytech/client-native/v5/runtime"
)

const infoCommand = "show info"

// Info is what "show info" says of the process (management.txt, section 9.3).
type Info struct {
	// Name is "HAProxy".
	Name string
	// Version is the whole version, as "2.6.12-1+deb12u4".
	Version string
	// Pid is the process that answered. With another Pid or a smaller Uptime than
	// before, HAProxy was restarted or reloaded in between.
	Pid int
	// Uptime has a resolution of one second.
	Uptime time.Duration
	// Node is the name of the "node" directive, by default the hostname.
	Node string
	// CurrConns is the number of connections of clients, CLI connections not counted.
	CurrConns int
	// Stopping says that this process was told to stop and only finishes its sessions.
	Stopping bool

	fields string
}

// Info asks the process about itself.
func (c *Client) Info(ctx context.Context) (Info, error) {
	answer, err := c.ask(ctx, infoCommand)
	if err != nil {
		return Info{}, err
	}
	return parseInfo(infoCommand, answer)
}

// Field returns any other line of "show info" by its name, as "Start_time_sec", and whether
// this version prints it.
func (i Info) Field(name string) (string, bool) {
	for rest := i.fields; rest != ""; {
		var line string
		line, rest = cutLine(rest)
		if key, value, ok := strings.Cut(line, ": "); ok && key == name {
			return value, true
		}
	}
	return "", false
}

// AtLeast reports whether the version is major.minor or later. A development version
// counts as the release that it leads to. The error says that the version is none.
func (i Info) AtLeast(major, minor uint64) (bool, error) {
	var version runtime.HAProxyVersion
	if err := version.ParseHAProxyVersion(i.Version); err != nil {
		return false, fmt.Errorf("runtimeapi: version %q of HAProxy: %w: %w", i.Version, ErrMalformed, err)
	}
	if version.Major() != major {
		return version.Major() > major, nil
	}
	return version.Minor() >= minor, nil
}

func parseInfo(command, answer string) (Info, error) {
	if !strings.HasPrefix(answer, "Name: ") {
		return Info{}, unexpected(command, answer)
	}
	info := Info{fields: answer, Uptime: -1}
	for rest := answer; rest != ""; {
		var line string
		line, rest = cutLine(rest)
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			return Info{}, malformed(command, "no colon", line)
		}
		value = strings.TrimPrefix(value, " ")
		var err error
		switch key {
		case "Name":
			info.Name = value
		case "Version":
			info.Version = value
		case "Pid":
			info.Pid, err = strconv.Atoi(value)
		case "Uptime_sec":
			info.Uptime, err = parseSeconds(value)
		case "node":
			info.Node = value
		case "CurrConns":
			info.CurrConns, err = strconv.Atoi(value)
		case "Stopping":
			info.Stopping = value != "0"
		}
		if err != nil {
			return Info{}, malformed(command, "no number", line)
		}
	}
	if info.Version == "" || info.Pid <= 0 || info.Uptime < 0 {
		return Info{}, malformed(command, "Version, Pid or Uptime_sec missing", answer)
	}
	return info, nil
}

// unexpected judges an answer that does not begin as its command's answers do: nothing at
// all is not understood, a text is HAProxy's refusal.
func unexpected(command, answer string) error {
	if answer == "" {
		return malformed(command, "blank answer", answer)
	}
	return refusal(command, answer)
}

// parseSeconds reads a whole number of seconds.
func parseSeconds(text string) (time.Duration, error) {
	seconds, err := strconv.ParseInt(text, 10, 32)
	return time.Duration(seconds) * time.Second, err
}
