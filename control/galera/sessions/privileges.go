package sessions

import (
	"context"
	"errors"
	"fmt"

	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
	"github.com/haproxy-peers/haproxy-peers/control/galera/grants"
)

// processQuery fails with error 1227 without the privilege PROCESS, and is cheap.
// The process list itself cannot tell: without the privilege it silently holds
// the user's own sessions only.
const processQuery = "SELECT page_size FROM information_schema.INNODB_CMP LIMIT 1"

// PrivilegeError says that the account lacks a privilege without which sessions
// cannot be looked at.
type PrivilegeError struct {
	// Grant is the statement that gives it.
	Grant string
	Err   error
}

func (e *PrivilegeError) Error() string {
	return fmt.Sprintf("the account lacks a privilege: run %s there (%v)", e.Grant, e.Err)
}

// Unwrap returns the server's error.
func (e *PrivilegeError) Unwrap() error { return e.Err }

// checkProcess returns a PrivilegeError if the account may not see the sessions of
// others. Global privileges are read at the login, so the answer holds as long as the
// connection.
func checkProcess(c *conn.Session, account string) (*PrivilegeError, error) {
	_, err := count(c, processQuery)
	if conn.ServerNumber(err) == conn.ErSpecificAccess {
		return &PrivilegeError{Grant: grants.Process(account), Err: err}, nil
	}
	return nil, err
}

// Lacks tells which privileges the account lacks that looking at sessions needs,
// as the GRANT statement that gives them, and "" if it has them. Privileges that
// only let it see more are in what the log calls unseen. The error says
// that the node could not be asked.
//
// The answer is about the connection that the questions use: a grant or a revocation
// counts for new connections only (MariaDB, "GRANT"). An account that lacks something
// is asked about on a new one every time.
func (i *Inspector) Lacks(ctx context.Context) (string, error) {
	err := i.do(ctx, func(c *inspection) error {
		if c.lacks != nil {
			return c.lacks
		}
		_, err := count(c.Session, processQuery)
		return err
	})
	var lacking *PrivilegeError
	if errors.As(err, &lacking) {
		return lacking.Grant, nil
	}
	return "", err
}
