package galera

import (
	"errors"
	"os"
	"testing"

	"github.com/haproxy-peers/haproxy-peers/cluster/safefile"
)

// A password that somebody else may write is not sent to anybody.
func TestUnsafePassword(t *testing.T) {
	file := passwordFile(t, "secret")
	l := login{account: Account{PasswordFile: file}}
	if got, err := l.password(); err != nil || got != "secret" {
		t.Fatalf("got %q, %v", got, err)
	}
	must(t, os.Chmod(file, 0o620))
	got, err := l.password()
	var credentials *CredentialsError
	var unsafe *safefile.UnsafeError
	if got != "" || !errors.As(err, &credentials) || !errors.As(err, &unsafe) {
		t.Errorf("got %q, %v", got, err)
	}
}
