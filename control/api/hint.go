package api

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"github.com/haproxy-peers/haproxy-peers/control/keep"
)

// hintMode lets those open the hint who may open the socket.
const hintMode = 0o640

// CheckHint is what the daemon leaves beside its admin socket for
// `haproxyctl check`, which HAProxy starts without flags and without an
// environment and which must be able to probe a node when the daemon is dead. It
// names the file of the password and does not hold it.
type CheckHint struct {
	// User is the probe's account; "" if there is none.
	User string `json:"user"`
	// PasswordFile holds its password; "" for an empty one.
	PasswordFile string `json:"password_file"`
	// StateUUID is the Galera state UUID of the record; "" while there is none.
	StateUUID string `json:"state_uuid"`
	// SSLMode and the files are --probe-ssl-mode and so on; "" of a daemon that did not
	// know them, and the same as PREFERRED.
	SSLMode string `json:"ssl_mode,omitempty"`
	SSLCA   string `json:"ssl_ca,omitempty"`
	SSLCert string `json:"ssl_cert,omitempty"`
	SSLKey  string `json:"ssl_key,omitempty"`
	// Rest is what a newer version has added.
	Rest keep.Rest `json:"-"`
}

// CheckHintPath is where the hint of the daemon behind a socket is.
func CheckHintPath(socket string) string { return socket + ".check" }

// ReadCheckHint reads the hint beside socket. The error wraps fs.ErrNotExist when no
// daemon has left one.
func ReadCheckHint(socket string) (CheckHint, error) {
	var h CheckHint
	data, err := os.ReadFile(CheckHintPath(socket))
	if err != nil {
		return h, fmt.Errorf("read what haproxyd left for the check: %w", err)
	}
	if err := keep.Unmarshal(data, &h); err != nil {
		return CheckHint{}, fmt.Errorf("%s is not haproxyd's: %w", CheckHintPath(socket), err)
	}
	return h, nil
}

// WriteCheckHint replaces the hint beside socket as a whole, so that a reader never
// sees half of it; what a newer version has put there stays. Its mode is 0640
// whatever the umask.
func WriteCheckHint(socket string, h CheckHint) error {
	if old, err := ReadCheckHint(socket); err == nil && h.Rest == "" {
		h.Rest = old.Rest
	}
	data, err := keep.Marshal(h)
	if err != nil {
		return fmt.Errorf("encode what is left for haproxyctl check: %w", err)
	}
	path := CheckHintPath(socket)
	f, err := renameio.NewPendingFile(path, renameio.WithTempDir(filepath.Dir(path)), renameio.WithStaticPermissions(hintMode))
	if err != nil {
		return fmt.Errorf("leave the hint for haproxyctl check: %w", err)
	}
	defer func() { _ = f.Cleanup() }() // nothing is left to clean up once it is replaced
	if _, err = f.Write(append(data, '\n')); err == nil {
		err = f.CloseAtomicallyReplace()
	}
	if err != nil {
		return fmt.Errorf("leave the hint for haproxyctl check: %w", err)
	}
	return nil
}
