package api

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestCheckHint(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "admin.sock")
	if _, err := ReadCheckHint(socket); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without one: %v", err)
	}
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	// What was there has other permissions, and is replaced rather than rewritten.
	if err := os.WriteFile(socket+".check", []byte("{half"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadCheckHint(socket); err == nil || !strings.Contains(err.Error(), "admin.sock.check is not haproxyd's") {
		t.Errorf("half a file: %v", err)
	}
	want := CheckHint{User: "monitor", PasswordFile: "/etc/haproxyd/probe", StateUUID: "6ff4e0a3-d2a5-11f0-8de2-0242ac110002",
		SSLMode: "VERIFY_CA", SSLCA: "/ca", SSLCert: "/cert", SSLKey: "/key"}
	if err := WriteCheckHint(socket, want); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadCheckHint(socket); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	st, err := os.Stat(socket + ".check")
	if err != nil || st.Mode().Perm() != 0o640 {
		t.Errorf("the mode is %v, %v", st.Mode(), err)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
		t.Errorf("something was left: %v, %v", names, err)
	}
	if err := WriteCheckHint(filepath.Join(dir, "none", "admin.sock"), want); err == nil {
		t.Error("no error without the folder")
	}
}
