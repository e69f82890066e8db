package api

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A newer version's words stay in the hint that this one writes again.
func TestCheckHintKeepsWhatIsUnknown(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "admin.sock")
	if err := os.WriteFile(CheckHintPath(socket), []byte(`{"user":"a","password_file":"","state_uuid":"","ssl":{"mode":"REQUIRED"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := WriteCheckHint(socket, CheckHint{User: "b"}); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(CheckHintPath(socket))
	if err != nil || !strings.Contains(string(got), `"ssl":{"mode":"REQUIRED"}`) || !strings.Contains(string(got), `"user":"b"`) {
		t.Errorf("got %s, %v", got, err)
	}
}
