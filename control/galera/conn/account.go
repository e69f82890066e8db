package conn

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/haproxy-peers/haproxy-peers/cluster/safefile"
)

// Account is whom to log in as; it appears in reasons.
type Account struct {
	User string
	// PasswordFile holds the account's password, without which it is empty. The
	// file is read for every new connection, so a rotated password is picked up as
	// soon as it is there. One line end at the end is not part of the password.
	PasswordFile string
}

// password reads the password file. It is done for every connection, so that a
// rotated password needs no signal: connections that are there outlive a rotation.
func (a Account) password() (string, error) {
	if a.PasswordFile == "" {
		return "", nil
	}
	raw, _, err := safefile.Read(a.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrCredentials, err)
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(raw), "\n"), "\r"), nil
}

// CheckAddress reports what is wrong with a node's address, which must be HOST:PORT.
func CheckAddress(node, address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return fmt.Errorf("galera: node %q has address %q: it must be HOST:PORT", node, address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("galera: node %q has address %q: its port must be a number from 1 to 65535", node, address)
	}
	return nil
}

// quoteAccount turns what CURRENT_USER() says (probe@10.0.0.%) into what GRANT
// takes ('probe'@'10.0.0.%').
func quoteAccount(current string) string {
	quote := func(s string) string {
		return "'" + strings.NewReplacer(`\`, `\\`, "'", "''").Replace(s) + "'"
	}
	// A user's name may have an @, a host may not.
	at := strings.LastIndexByte(current, '@')
	if at < 0 {
		return quote(current)
	}
	return quote(current[:at]) + "@" + quote(current[at+1:])
}
