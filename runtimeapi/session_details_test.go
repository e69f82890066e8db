package runtimeapi

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseSessionDetails(t *testing.T) {
	for version, reply := range recorded(t, "sess-all.txt") {
		d := details{backend: "galera-nodes", server: "pxc-0"}
		if err := d.read(strings.NewReader(reply)); err != nil {
			t.Errorf("%s: %v", version, err)
			continue
		}
		if len(d.found) != 1 {
			t.Errorf("%s: %+v", version, d.found)
			continue
		}
		s := d.found[0]
		if s.Backend != "galera-nodes" || s.Server != "pxc-0" || s.Age < 0 || s.Age > time.Minute ||
			!strings.HasPrefix(s.Source, "127.0.0.1:") || !strings.HasPrefix(s.LocalAddr, "127.0.0.1:") ||
			s.LocalAddr == s.Source || s.Traffic == "" {
			t.Errorf("%s: %+v", version, s)
		}
		// Each session is read as it is alone.
		var all details
		if err := all.read(strings.NewReader(reply)); err != nil || len(all.found) < 3 {
			t.Fatalf("%s: %+v, %v", version, all.found, err)
		}
		for i, text := range strings.Split(strings.TrimSuffix(reply, "\n"), "\n0x") {
			if i > 0 {
				text = "0x" + text
			}
			one, err := parseSessionDetail("c", text)
			if diff := cmp.Diff(one, all.found[i]); diff != "" || err != nil {
				t.Errorf("%s session %d: %v\n%s", version, i, err, diff)
			}
		}
	}
}

// TestEveryPrefixOfDetailsIsIncomplete cuts the recorded lists at every byte.
func TestEveryPrefixOfDetailsIsIncomplete(t *testing.T) {
	for version, reply := range recorded(t, "sess-all.txt") {
		for i := range len(reply) {
			var d details
			if err := d.read(strings.NewReader(reply[:i])); !errors.Is(err, ErrIncomplete) {
				t.Errorf("%s cut at %d of %d: %v", version, i, len(reply), err)
			}
		}
		var d details
		if err := d.read(strings.NewReader(reply + reply)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s twice: %v", version, err)
		}
	}
	for file, want := range map[string]string{"set-denied.txt": "Permission denied", "unknown-command.txt": "Unknown command"} {
		for version, reply := range recorded(t, file) {
			var d details
			var refused *CommandError
			if err := d.read(strings.NewReader(reply)); !errors.As(err, &refused) || !strings.HasPrefix(refused.Message, want) {
				t.Errorf("%s: %v", version, err)
			}
			if err := d.read(strings.NewReader(reply[:len(reply)-1])); !errors.Is(err, ErrIncomplete) {
				t.Errorf("%s cut: %v", version, err)
			}
		}
	}
}

// A session that ended while HAProxy printed it has only its first lines.
func TestDetailsOfASessionThatEnds(t *testing.T) {
	for version, reply := range recorded(t, "sess-all.txt") {
		lines := strings.SplitAfterN(reply, "\n", 3)
		ended := lines[0] + lines[1] + "  *** session terminated while we were watching it ***\n"
		var whole, d details
		if err := whole.read(strings.NewReader(reply)); err != nil {
			t.Fatal(err)
		}
		if err := d.read(strings.NewReader(ended + reply)); err != nil || !cmp.Equal(d.found, whole.found) {
			t.Errorf("%s: %+v, %v", version, d.found, err)
		}
		cut := lines[0] + lines[1]
		if err := d.read(strings.NewReader(cut + reply)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: half a session passed: %v", version, err)
		}
	}
}

func TestDetailsAreBounded(t *testing.T) {
	hang := fake(t, 50*time.Millisecond, func(conn net.Conn, _ string) {
		_, _ = io.WriteString(conn, "0x1: [x] id=1\n")
		_, _ = io.Copy(io.Discard, conn)
	})
	if _, err := hang.SessionDetails(context.Background(), "", ""); !errors.Is(err, ErrTimeout) {
		t.Errorf("a hang: %v", err)
	}
	endless := fake(t, 5*time.Second, func(conn net.Conn, _ string) {
		for {
			if _, err := io.WriteString(conn, "0x1: [x] id=1\n  backend=b\n  task=0x1 ( age=1s)\n"); err != nil {
				return
			}
		}
	})
	endless.maxReply = 1 << 20
	if _, err := endless.SessionDetails(context.Background(), "none", ""); !errors.Is(err, ErrTooLarge) {
		t.Errorf("an endless answer: %v", err)
	}
}
