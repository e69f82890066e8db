package galera

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	"github.com/go-sql-driver/mysql"

	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
)

// Numbers of server errors that only this package tells apart (MySQL 8.0 "Server
// Error Message Reference", MariaDB "Error Codes").
const (
	erConCount          = 1040 // too many connections
	erOutOfResources    = 1041
	erUnknownCom        = 1047 // "WSREP has not yet prepared node for application use"
	erUnknownDatabase   = 1049
	erServerShutdown    = 1053
	erHostBlocked       = 1129
	erHostNotPrivileged = 1130
	erCantCreateThread  = 1135
	erUnknownVariable   = 1193
	erTooManyUserConns  = 1203
	erLockWait          = 1205
	erDeadlock          = 1213
	erUserLimitReached  = 1226
	erAuthMode          = 1251
	erQueryInterrupted  = 1317
	erRoutineDenied     = 1370
	erPluginNotLoaded   = 1524
	erAccessNoPassword  = 1698
	erMustChange        = 1820
	erMustChangeLogin   = 1862
	erConnectionKilled  = 1927 // MariaDB
	erStatementTimeout  = 1969 // MariaDB
	erQueryTimeout      = 3024 // MySQL
	erOfflineMode       = 3032 // MySQL
	erAccountLocked     = 3118 // MySQL
	erAccountBlocked    = 3955 // MySQL, after failed logins
	erIdleDisconnect    = 4031 // MySQL
	erLocked            = 4151 // MariaDB
)

// JudgeError says what a failed attempt means: down if the node does not serve,
// unknown if the failure may be the probe's own.
func JudgeError(err error, who conn.Account) Outcome {
	var failed *conn.TLSError
	var server *mysql.MySQLError
	switch {
	case errors.Is(err, conn.ErrName):
		return unknown(ClassName, "the node's name cannot be resolved: "+err.Error())
	case errors.Is(err, conn.ErrCredentials):
		return unknown(ClassCredentials, err.Error())
	case errors.As(err, &failed) && !conn.IsTimeout(err) && (!errors.As(err, &server) || server.Number == conn.ErTLSRequired):
		return unknown(ClassTLS, failed.Advice())
	case errors.As(err, &server):
		o := judgeServerError(server, who)
		if o.Class == ClassAccessDenied && failed != nil {
			o.Reason += "; or it wants TLS, which the probe does not have (" + conn.PlainText(failed.Err.Error(), 200) + ")"
		}
		return o
	case errors.Is(err, conn.ErrNotGalera):
		return unknown(ClassNotGalera, "the server has no wsrep status: is it a Galera node?")
	case errors.Is(err, conn.ErrIncomplete):
		return unknown(ClassProtocol, err.Error())
	}
	return judgeNetworkError(err)
}

func judgeNetworkError(err error) Outcome {
	var silence *conn.SilenceError
	switch {
	case errors.As(err, &silence) && silence.Accepted:
		return down(ClassSilent, "the node accepts a connection and does not answer ("+err.Error()+")")
	case conn.IsTimeout(err):
		return down(ClassTimeout, "the node does not answer ("+err.Error()+")")
	case errors.Is(err, syscall.ECONNREFUSED):
		return down(ClassRefused, "the node refuses connections")
	case conn.IsAny(err, io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED):
		return down(ClassLost, "the node closes the connection")
	case conn.IsAny(err, syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.ENETDOWN):
		return down(ClassUnreachable, "the node cannot be reached: "+err.Error())
	case conn.IsAny(err, syscall.EMFILE, syscall.ENFILE, syscall.EADDRNOTAVAIL, syscall.ENOBUFS, syscall.ENOMEM, syscall.EPERM, syscall.EACCES):
		return unknown(ClassLocal, "this machine cannot make a connection: "+err.Error())
	case conn.IsAny(err, conn.ErrProtocol, mysql.ErrMalformPkt, mysql.ErrPktSync, mysql.ErrPktSyncMul, mysql.ErrOldProtocol, mysql.ErrInvalidConn):
		return unknown(ClassProtocol, "what answers at the node's address is no MySQL server: "+err.Error())
	case conn.IsAny(err, mysql.ErrNoTLS, mysql.ErrCleartextPassword, mysql.ErrNativePassword, mysql.ErrOldPassword, mysql.ErrUnknownPlugin):
		return unknown(ClassAccessDenied, "the probe cannot log in: "+err.Error())
	}
	return unknown(ClassOther, "the probe failed: "+err.Error())
}

func judgeServerError(e *mysql.MySQLError, who conn.Account) Outcome {
	said := inItsWords(e)
	switch e.Number {
	case erUnknownCom:
		return down(ClassNotReady, "the node is not ready for queries ("+said+")")
	case erServerShutdown:
		return down(ClassShutdown, "the node is shutting down")
	case erOfflineMode:
		return down(ClassRejecting, "the node is in offline mode ("+said+")")
	case erConnectionKilled, erQueryInterrupted, erIdleDisconnect:
		return down(ClassLost, "the node closes the connection ("+said+")")
	case erStatementTimeout, erQueryTimeout:
		return down(ClassTimeout, "the node does not answer in time ("+said+")")
	case erConCount, erTooManyUserConns, erUserLimitReached:
		return unknown(ClassTooManyConns, "the node has no connection left for the probe ("+said+")")
	case erOutOfResources, erCantCreateThread:
		return unknown(ClassServerResources, "the node lacks resources for a connection ("+said+")")
	case erHostBlocked:
		return unknown(ClassHostBlocked, "the node blocks this host: run FLUSH HOSTS there ("+said+")")
	case conn.ErAccessDenied, conn.ErDBAccessDenied, erAccessNoPassword, erHostNotPrivileged:
		return unknown(ClassAccessDenied, fmt.Sprintf("the node refuses user %q: check that it exists for this host and that %s holds its password (%s)", who.User, cmp.Or(who.PasswordFile, "an empty password is right, or --probe-password-file"), said))
	case erMustChange, erMustChangeLogin, erAccountLocked, erAccountBlocked, erLocked, erAuthMode, erPluginNotLoaded:
		return unknown(ClassAccessDenied, fmt.Sprintf("the node does not let user %q in (%s)", who.User, said))
	case conn.ErTLSRequired:
		return unknown(ClassAccessDenied, "the node takes encrypted connections only: set --probe-ssl-mode to REQUIRED, or leave it at PREFERRED ("+said+")")
	case conn.ErTableAccessDenied, conn.ErColumnDenied, conn.ErSpecificAccess, erRoutineDenied:
		return unknown(ClassPrivilege, fmt.Sprintf("user %q lacks a privilege: %s (%s)", who.User, missingGrant(e, who.User), said))
	case erUnknownVariable:
		return unknown(ClassNotGalera, "the server lacks a wsrep variable: is it a Galera node? ("+said+")")
	}
	return unknown(ClassOther, "the node answers the probe with "+said)
}

// inItsWords is a server's error as it says it.
func inItsWords(e *mysql.MySQLError) string {
	return fmt.Sprintf("error %d: %s", e.Number, conn.PlainText(e.Message, 200))
}

// missingGrant words the statement that gives what the server's message says is
// missing. The messages are those of MariaDB 10.11 and MySQL 8.0:
//
//	Access denied; you need (at least one of) the SUPER, SLAVE MONITOR privilege(s) for this operation
//	SELECT command denied to user 'probe'@'10.0.0.1' for table `mysql`.`global_priv`
func missingGrant(e *mysql.MySQLError, user string) string {
	grant := func(what, on string) string {
		return fmt.Sprintf("GRANT %s ON %s TO '%s'", what, on, user)
	}
	if _, rest, ok := strings.Cut(e.Message, "(at least one of) the "); ok {
		if names, _, ok := strings.Cut(rest, " privilege(s)"); ok {
			alternatives := strings.Split(names, ", ")
			return grant(alternatives[len(alternatives)-1], "*.*")
		}
	}
	if what, rest, ok := strings.Cut(e.Message, " command denied to user "); ok {
		on := "*.*"
		if i := strings.LastIndex(rest, "for table "); i >= 0 {
			if table := rest[i+len("for table "):]; strings.Contains(table, ".") {
				on = table
			}
		}
		return grant(what, on)
	}
	return "grant it"
}
