package configs

import (
	"os"
	"path/filepath"
	"testing"
)

// What a file says of the process is read from all its global sections, whatever is wrong elsewhere in it.
func TestReadGlobal(t *testing.T) {
	rendered := exampleInput()
	rendered.MaxConn, rendered.User, rendered.Group, rendered.Chroot = 321, "haproxy", "haproxy", "/var/lib/haproxy"
	data, err := Render(rendered)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		text string
		want Global
	}{
		"rendered": {string(data), Global{321, "haproxy", "haproxy", "/var/lib/haproxy"}},
		"Debian's": {"global\n\tlog /dev/log\tlocal0\n\tchroot /var/lib/haproxy\n\tuser haproxy\n\tgroup haproxy\n\tdaemon\n", Global{0, "haproxy", "haproxy", "/var/lib/haproxy"}},
		"twice, with a default's own, and a backend that cannot be read": {"global\n  maxconn 5\ndefaults\n  maxconn 7\nbackend b\n  stick-table type\nglobal\n  maxconn \"${M-9}\"\n", Global{MaxConn: 9}},
		"nothing": {"", Global{}},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "haproxy.cfg")
			if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if got, err := ReadGlobal(file); err != nil || got != c.want {
				t.Errorf("%+v, %v, want %+v", got, err, c.want)
			}
		})
	}
	if _, err := ReadGlobal(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("no error without a file")
	}
}
