package runtimeapi

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseSessions(t *testing.T) {
	for version, reply := range recorded(t, "sess.txt") {
		t.Run(version, func(t *testing.T) {
			got, err := parseSessions(sessionsCommand, answerOf(t, reply))
			if err != nil {
				t.Fatal(err)
			}
			clients, clis := 0, 0
			var client Session
			for _, s := range got {
				switch {
				case s.Server == "pxc-0":
					clients++
					client = s
					if s.Backend != "galera-nodes" || !strings.HasPrefix(s.Source, "127.0.0.1:") || s.Age < 0 || s.Age > time.Minute {
						t.Errorf("got %+v", s)
					}
				case s.Source == "unix:1":
					clis++
					if s.Backend != "" || s.Server != "" {
						t.Errorf("got %+v", s)
					}
				}
			}
			if clients != 1 || clis != 1 {
				t.Errorf("%d client and %d CLI sessions", clients, clis)
			}
			detail, err := parseSessionDetail("show sess "+client.ID, answerOf(t, recorded(t, "sess-detail.txt")[version]))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(detail.LocalAddr, "127.0.0.1:") || detail.LocalAddr == detail.Source {
				t.Errorf("addresses %+v", detail)
			}
			if detail.Traffic == "" {
				t.Error("no byte was counted")
			}
			detail.LocalAddr, detail.Traffic, detail.Age = "", "", client.Age
			if diff := cmp.Diff(client, detail); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestUnescape(t *testing.T) {
	for text, want := range map[string]string{
		"plain": "plain", `a\ b`: "a b", `a\=b`: "a=b", `\\`: `\`, `\t\n\r\e`: "\t\n\r\x1b", `na\xc3\xafve`: "naïve",
	} {
		if got, ok := unescape(text); !ok || got != want {
			t.Errorf("%s is %q, %v", text, got, ok)
		}
	}
	for _, text := range []string{`\`, `a\q`, `\x`, `\x1`, `\xzz`} {
		if got, ok := unescape(text); ok {
			t.Errorf("%s is %q", text, got)
		}
	}
}

func TestParseAge(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0s": 0, "29s": 29 * time.Second, "1m30s": 90 * time.Second, "2h5m": 125 * time.Minute, "3d4h": 76 * time.Hour, "?": 0,
	} {
		if got, ok := parseAge(text); !ok || got != want {
			t.Errorf("%s is %v, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "s", "1", "1x", "1m3", "-1s", "1.5s", "<NEVER>"} {
		if got, ok := parseAge(text); ok {
			t.Errorf("%q is %v", text, got)
		}
	}
}

func TestRefusalsOfEveryVersion(t *testing.T) {
	parsers := map[string]func(answer string) error{
		"info":  func(a string) error { _, err := parseInfo("c", a); return err },
		"table": func(a string) error { _, err := parseTable("c", a); return err },
		"key":   func(a string) error { _, _, err := parseTableKey("c", a); return err },
		"list":  func(a string) error { _, err := parseTables("c", a); return err },
		"state": func(a string) error { _, err := parseServersState("c", a); return err },
		"stat":  func(a string) error { _, err := parseStats("c", a); return err },
		"sess":  func(a string) error { _, err := parseSessions("c", a); return err },
		"blank": func(a string) error { return expectBlank("c", a) },
	}
	for file, want := range map[string]string{
		"table-unknown.txt":         "No such table",
		"servers-state-unknown.txt": "Can't find backend.",
		"set-denied.txt":            "Permission denied",
		"set-severity.txt":          "No such table",
	} {
		eachVersion(t, file, func(t *testing.T, answer string) {
			for name, parse := range parsers {
				var refused *CommandError
				if err := parse(answer); !errors.As(err, &refused) || refused.Message != want || refused.Command != "c" {
					t.Errorf("%s: %v", name, err)
				} else if refused.Denied() != (file == "set-denied.txt") {
					t.Errorf("%s: denied is %v", name, refused.Denied())
				}
			}
		})
	}
	eachVersion(t, "unknown-command.txt", func(t *testing.T, answer string) {
		for name, parse := range parsers {
			var refused *CommandError
			if err := parse(answer); !errors.As(err, &refused) || !strings.HasPrefix(refused.Message, "Unknown command") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	// Entries that the level hides are no empty table.
	eachVersion(t, "table-hidden.txt", func(t *testing.T, answer string) {
		var refused *CommandError
		if got, err := parseTable("c", answer); !errors.As(err, &refused) || !refused.Denied() {
			t.Errorf("got %+v, %v", got, err)
		}
	})
	for _, file := range []string{"sess-gone.txt", "shutdown-gone.txt"} {
		eachVersion(t, file, func(t *testing.T, answer string) {
			if err := noSession(expectBlank("c", answer)); !errors.Is(err, ErrSessionNotFound) {
				t.Error(err)
			}
		})
	}
	eachVersion(t, "sess-gone.txt", func(t *testing.T, answer string) {
		if _, err := parseSessionDetail("c", answer); !errors.Is(err, ErrSessionNotFound) {
			t.Error(err)
		}
	})
	eachVersion(t, "set-ok.txt", func(t *testing.T, answer string) {
		if err := expectBlank("c", answer); err != nil {
			t.Error(err)
		}
	})
}
