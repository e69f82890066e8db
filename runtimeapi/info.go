package runtimeapi

import (
	"strconv"
	"strings"
	"time"
)

const infoCommand = "show info"

// Info is what "show info" says of the process (management.txt, section 9.3).
type Info struct {
	// Version is the whole version, as "2.6.12-1+deb12u4".
	Version string
	// Pid is the process that answered. With another Pid or a smaller Uptime than
	// before, HAProxy was restarted or reloaded in between.
	Pid int
	// Uptime has a resolution of one second.
	Uptime time.Duration

	fields string
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
		case "Version":
			info.Version = value
		case "Pid":
			info.Pid, err = strconv.Atoi(value)
		case "Uptime_sec":
			info.Uptime, err = parseSeconds(value)
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
