package conn

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/go-sql-driver/mysql"
)

// Numbers of server errors (MySQL 8.0 "Server Error Message Reference", MariaDB "Error
// Codes").
const (
	ErDBAccessDenied    = 1044
	ErAccessDenied      = 1045
	ErTableAccessDenied = 1142
	ErColumnDenied      = 1143
	ErNoSuchTable       = 1146
	ErSpecificAccess    = 1227
	ErTLSRequired       = 3159
)

// Errors of an attempt that are not the server's.
var (
	// ErrOwnPause says that this process was stopped or starved while it waited, so
	// that the attempt proves nothing. It is never judged.
	ErrOwnPause = errors.New("this process was not running while it waited for the node")
	// ErrName says that a node's host name could not be resolved. It comes with the
	// resolver's error.
	ErrName = errors.New("cannot resolve")
	// ErrCredentials says that the password file could not be read. It comes with the file
	// system's error, which names the file.
	ErrCredentials = errors.New("cannot read the password")
	// ErrProtocol says that what answers does not speak the MySQL protocol.
	ErrProtocol = errors.New("the answer is not of the MySQL protocol")
	// ErrNotGalera says that the server has no wsrep status at all.
	ErrNotGalera = errors.New("the server has no wsrep status")
	// ErrIncomplete says that the answer lacks a value that a node in the primary
	// component always has, or has one that cannot be read.
	ErrIncomplete = errors.New("the server's answer cannot be used")
	// ErrNoUser says that no probe user is configured. It is no mistake: the caller
	// then goes by the states of HAProxy's own checks.
	ErrNoUser = errors.New("galera: no probe user is configured: set --probe-user and --probe-password-file, or rely on HAProxy's checks")
)

// SilenceError says that the node sent nothing, or not enough, for a time.
type SilenceError struct {
	Within time.Duration
	// Accepted: a connection was made at that time, so there is a way to the node.
	Accepted bool
	Err      error
}

func (e *SilenceError) Error() string { return fmt.Sprintf("no answer within %v", e.Within) }

// Unwrap returns the timeout.
func (e *SilenceError) Unwrap() error { return e.Err }

// Silence adds to a timeout how long the node was given, and whether it accepted a
// connection meanwhile.
func Silence(err error, given time.Duration, accepted bool) error {
	if IsTimeout(err) && !errors.Is(err, ErrName) {
		return &SilenceError{Within: given, Accepted: accepted, Err: err}
	}
	return err
}

// ServerNumber is the number of a server's error, 0 for what is none.
func ServerNumber(err error) uint16 {
	var server *mysql.MySQLError
	if errors.As(err, &server) {
		return server.Number
	}
	return 0
}

// IsTimeout is true for every kind of timeout: that of a read, of net.Dialer, and the
// kernel's.
func IsTimeout(err error) bool {
	var network net.Error
	return errors.As(err, &network) && network.Timeout()
}

// IsAny tells whether an error is one of these.
func IsAny(err error, targets ...error) bool {
	return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
}

// PlainText is at most n bytes of what somebody else said, fit for a line of a terminal or a log.
func PlainText(s string, n int) string {
	return strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s[:min(len(s), n)]), "")
}
