package conn

import (
	"errors"
	"os"
	"testing"

	"github.com/haproxy-peers/haproxy-peers/cluster/safefile"
	"github.com/haproxy-peers/haproxy-peers/e2e/dbtest"
)

// A password that somebody else may write is not sent to anybody.
func TestUnsafePassword(t *testing.T) {
	file := dbtest.PasswordFile(t, "secret")
	l := Account{PasswordFile: file}
	if got, err := l.password(); err != nil || got != "secret" {
		t.Fatalf("got %q, %v", got, err)
	}
	dbtest.Must(t, os.Chmod(file, 0o620))
	got, err := l.password()
	var unsafe *safefile.UnsafeError
	if got != "" || !errors.Is(err, ErrCredentials) || !errors.As(err, &unsafe) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestAccountFile(t *testing.T) {
	for content, want := range map[string]string{"a\n": "a", "a\r\n": "a", " a ": " a ", "a\n\n": "a\n", "": ""} {
		file := dbtest.PasswordFile(t, "")
		dbtest.Must(t, os.WriteFile(file, []byte(content), 0o600))
		got, err := Account{PasswordFile: file}.password()
		if err != nil || got != want {
			t.Errorf("%q is read as %q, %v", content, got, err)
		}
	}
}

func TestQuoteAccount(t *testing.T) {
	for current, want := range map[string]string{
		"probe@%": "'probe'@'%'", "a@b@10.0.0.%": "'a@b'@'10.0.0.%'", "o'x@::1": "'o''x'@'::1'", "role": "'role'",
		"it's@h": "'it''s'@'h'", "@localhost": "''@'localhost'",
	} {
		if got := quoteAccount(current); got != want {
			t.Errorf("%s is %s, not %s", current, got, want)
		}
	}
}
