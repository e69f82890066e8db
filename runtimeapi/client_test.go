package runtimeapi

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

func TestClearSetRefusals(t *testing.T) {
	replies := make(chan string, 1)
	client := fake(t, time.Second, func(conn net.Conn, _ string) { _, _ = io.WriteString(conn, <-replies) })
	for reply, want := range map[string]string{
		"\n\n":                        "",
		"In use\n\n\n":                `HAProxy refused "clear table t key 1": In use`,
		"\nNo such table\n\n":         `HAProxy refused "set table t key 1 data.server_id 2": No such table`,
		"No table\n\nNo such one\n\n": `HAProxy refused "clear table t key 1": No table, and HAProxy refused "set table t key 1 data.server_id 2": No such one`,
	} {
		replies <- reply
		err := client.ClearSetTable(context.Background(), "t", "1", 2)
		if want == "" && err != nil || want != "" && (err == nil || err.Error() != want) {
			t.Errorf("%q: %v", reply, err)
		}
	}
	replies <- "\n"
	if err := client.ClearSetTable(context.Background(), "t", "1", 2); !errors.Is(err, ErrIncomplete) {
		t.Errorf("cleared and not set: %v", err)
	}
}

func TestConfigValidate(t *testing.T) {
	err := Config{Socket: "relative", Timeout: -1}.Validate()
	for _, part := range []string{"absolute", "Timeout"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in %v", part, err)
		}
	}
	if _, err := New(Config{}); err == nil {
		t.Error("no socket is accepted")
	}
	if _, err := New(Config{Socket: "/" + strings.Repeat("x", 107)}); err == nil {
		t.Error("a path too long for a unix socket is accepted")
	}
}
