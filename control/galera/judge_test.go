package galera

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/google/go-cmp/cmp"

	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
	"github.com/haproxy-peers/haproxy-peers/e2e/dbtest"
)

const recordedUUID = "e5c1bf26-e6ae-11f1-aa5a-fbb23c3c5330"

func recorded(tb testing.TB, name string) []Row {
	tb.Helper()
	f, err := os.Open(filepath.Join("testdata", "rows", name+".tsv"))
	dbtest.Must(tb, err)
	defer f.Close()
	var rows []Row
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), "\t")
		rows = append(rows, Row{name, value})
	}
	return rows
}

// Row is one name and its value in a server's answer.
type Row struct{ Name, Value string }

// Parse makes a reading of the rows of SHOW STATUS and SHOW VARIABLES, in any order.
func Parse(rows []Row) (Reading, error) {
	p := newParser(Reading{})
	for _, row := range rows {
		if err := p.set([]byte(row.Name), []byte(row.Value)); err != nil {
			return Reading{}, err
		}
	}
	return p.reading()
}

func with(rows []Row, more ...Row) []Row { return append(rows[:len(rows):len(rows)], more...) }

// TestJudgeRecorded is the table of verdicts, on answers of real nodes; what only
// Percona XtraDB has is added to them.
func TestJudgeRecorded(t *testing.T) {
	for _, c := range []struct {
		rows  string
		more  []Row
		want  string // the record's UUID
		kind  Kind
		class Class
	}{
		{rows: "synced", want: recordedUUID, kind: KindHealthy, class: ClassSynced},
		{rows: "synced", want: "", kind: KindHealthy, class: ClassSynced},
		{rows: "synced", want: strings.ToUpper(recordedUUID), kind: KindHealthy, class: ClassSynced},
		{rows: "synced", want: "11111111-2222-3333-4444-555555555555", kind: KindDown, class: ClassOtherCluster},
		{rows: "non-primary", want: recordedUUID, kind: KindDown, class: ClassNotPrimary},
		{rows: "non-primary", want: "11111111-2222-3333-4444-555555555555", kind: KindDown, class: ClassNotPrimary},
		{rows: "standalone", want: recordedUUID, kind: KindDown, class: ClassNotPrimary},
		{rows: "rejecting", want: recordedUUID, kind: KindDown, class: ClassRejecting},
		{rows: "rejecting", more: []Row{{"wsrep_reject_queries", "ALL_KILL"}}, kind: KindDown, class: ClassRejecting},
		{rows: "synced", more: []Row{{"wsrep_ready", "OFF"}}, kind: KindDown, class: ClassNotReady},
		{rows: "donor-rejecting", more: []Row{{"wsrep_ready", "OFF"}}, kind: KindDown, class: ClassNotReady},
		{rows: "synced", more: []Row{{"wsrep_local_state", "1"}}, kind: KindDown, class: ClassNotReady},
		{rows: "donor-rejecting", want: recordedUUID, kind: KindDegraded, class: ClassDonor},
		{rows: "desynced", want: recordedUUID, kind: KindDegraded, class: ClassDonor},
		{rows: "synced", more: []Row{{"wsrep_local_state", "3"}}, kind: KindDegraded, class: ClassDonor},
		{rows: "read-only", want: recordedUUID, kind: KindDegraded, class: ClassReadOnly},
		{rows: "synced", more: []Row{{"read_only", "1"}}, kind: KindDegraded, class: ClassReadOnly},
		{rows: "synced", more: []Row{{"read_only", "NO_LOCK_NO_ADMIN"}}, kind: KindDegraded, class: ClassReadOnly},
		{rows: "synced", more: []Row{{"read_only", "0"}}, kind: KindHealthy, class: ClassSynced},
		{rows: "synced", more: []Row{{"pxc_maint_mode", "DISABLED"}}, kind: KindHealthy, class: ClassSynced},
		{rows: "synced", more: []Row{{"pxc_maint_mode", "MAINTENANCE"}}, kind: KindDegraded, class: ClassMaintenance},
		{rows: "synced", more: []Row{{"pxc_maint_mode", "SHUTDOWN"}}, kind: KindDegraded, class: ClassMaintenance},
		{rows: "desynced", more: []Row{{"pxc_maint_mode", "MAINTENANCE"}, {"read_only", "ON"}}, kind: KindDegraded, class: ClassReadOnly},
	} {
		t.Run(fmt.Sprint(c.rows, c.more, c.want), func(t *testing.T) {
			r, err := Parse(with(recorded(t, c.rows), c.more...))
			dbtest.Must(t, err)
			o := Judge(r, c.want)
			if o.Kind != c.kind || o.Class != c.class || o.Reason == "" {
				t.Errorf("%+v is judged %+v", r, o)
			}
			for _, row := range c.more {
				if o.Kind != KindHealthy && row.Value != "OFF" && row.Name == "pxc_maint_mode" {
					dbtest.Contains(t, o.Reason, row.Value)
				}
			}
		})
	}
}

func TestJudgeRefusedSelect(t *testing.T) {
	r, err := Parse(recorded(t, "synced"))
	dbtest.Must(t, err)
	r.Refused = true
	if o := Judge(r, ""); o.Kind != KindDown || o.Class != ClassRejecting {
		t.Errorf("%+v", o)
	}
}

func TestParseRecorded(t *testing.T) {
	got, err := Parse(with(recorded(t, "synced"), Row{"pxc_maint_mode", "DISABLED"}, Row{"something_new", "1"}))
	dbtest.Must(t, err)
	want := Reading{
		ClusterStatus: "Primary", LocalState: StateSynced, Ready: true, RejectQueries: "NONE", MaintMode: "DISABLED",
		StateUUID: recordedUUID, LastCommitted: got.LastCommitted, ConfID: 1, Size: -1, Weight: -1,
	}
	if diff := cmp.Diff(want, got); diff != "" || got.LastCommitted < 1 {
		t.Error(diff)
	}
	// What wsrep_cluster_conf_id was outside the primary component.
	if n, err := conn.Seqno(nil, []byte("18446744073709551615")); n != -1 || err != nil {
		t.Errorf("an undefined counter is %d, %v", n, err)
	}
}

func TestParseUnusable(t *testing.T) {
	synced := recorded(t, "synced")
	without := func(name string) (rows []Row) {
		for _, row := range synced {
			if row.Name != name {
				rows = append(rows, row)
			}
		}
		return rows
	}
	for _, c := range []struct {
		rows []Row
		want error
	}{
		{nil, conn.ErrNotGalera},
		{[]Row{{"version", "8.0.36"}, {"read_only", "OFF"}}, conn.ErrNotGalera},
		{without("wsrep_ready"), conn.ErrIncomplete},
		{without("wsrep_local_state"), conn.ErrIncomplete},
		{with(synced, Row{"wsrep_local_state", "Synced"}), conn.ErrIncomplete},
		{with(synced, Row{"wsrep_last_committed", ""}), conn.ErrIncomplete},
	} {
		_, err := Parse(c.rows)
		if !errors.Is(err, c.want) {
			t.Errorf("%v: %v, want %v", c.rows, err, c.want)
		}
		if o := JudgeError(err, conn.Account{}); o.Kind != KindUnknown {
			t.Errorf("%v is judged %+v", err, o)
		}
	}
}

// TestJudgeError has the messages of MariaDB 10.11 as recorded, and those of MySQL
// 8.0 as its manual has them.
func TestJudgeError(t *testing.T) {
	server := func(number uint16, message string) error {
		return &mysql.MySQLError{Number: number, Message: message}
	}
	dial := func(errno syscall.Errno) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", errno)}
	}
	for _, c := range []struct {
		err   error
		kind  Kind
		class Class
		says  string
	}{
		{dial(syscall.ECONNREFUSED), KindDown, ClassRefused, "refuses"},
		{dial(syscall.ETIMEDOUT), KindDown, ClassTimeout, ""},
		{dial(syscall.EHOSTUNREACH), KindDown, ClassUnreachable, "no route to host"},
		{dial(syscall.ENETUNREACH), KindDown, ClassUnreachable, ""},
		{&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, KindDown, ClassLost, ""},
		{os.NewSyscallError("write", syscall.EPIPE), KindDown, ClassLost, ""},
		{io.EOF, KindDown, ClassLost, ""},
		{io.ErrUnexpectedEOF, KindDown, ClassLost, ""},
		{&conn.SilenceError{Within: DefaultDeadline, Err: os.ErrDeadlineExceeded}, KindDown, ClassTimeout, "within 1s"},
		{&conn.SilenceError{Within: DefaultDeadline, Accepted: true, Err: os.ErrDeadlineExceeded}, KindDown, ClassSilent, "accepts a connection and does not answer (no answer within 1s)"},
		{context.DeadlineExceeded, KindDown, ClassTimeout, ""},
		{server(1047, "WSREP has not yet prepared node for application use"), KindDown, ClassNotReady, "WSREP has not yet"},
		{server(1053, "Server shutdown in progress"), KindDown, ClassShutdown, ""},
		{server(1927, "Connection was killed"), KindDown, ClassLost, ""},
		{server(3032, "The server is currently in offline mode"), KindDown, ClassRejecting, ""},

		{dial(syscall.EADDRNOTAVAIL), KindUnknown, ClassLocal, ""},
		{dial(syscall.EMFILE), KindUnknown, ClassLocal, ""},
		{dial(syscall.EPERM), KindUnknown, ClassLocal, ""},
		{fmt.Errorf("%w %q: %w", conn.ErrName, "pxc-0", &net.DNSError{Err: "no such host", Name: "pxc-0", IsNotFound: true}), KindUnknown, ClassName, "no such host"},
		{fmt.Errorf("%w %q: %w", conn.ErrName, "pxc-0", &net.DNSError{Err: "i/o timeout", Name: "pxc-0", IsTimeout: true}), KindUnknown, ClassName, "pxc-0"},
		{fmt.Errorf("%w: %w", conn.ErrCredentials, &fs.PathError{Op: "open", Path: "/run/pw", Err: syscall.ENOENT}), KindUnknown, ClassCredentials, "/run/pw"},
		{fmt.Errorf("%w: %w", conn.ErrCredentials, &fs.PathError{Op: "open", Path: "/run/pw", Err: syscall.EACCES}), KindUnknown, ClassCredentials, "/run/pw"},
		{server(1045, "Access denied for user 'probe'@'127.0.0.1' (using password: YES)"), KindUnknown, ClassAccessDenied, "/run/pw"},
		{server(1130, "Host '10.0.0.1' is not allowed to connect to this MariaDB server"), KindUnknown, ClassAccessDenied, "10.0.0.1"},
		{server(4151, "Access denied, this account is locked"), KindUnknown, ClassAccessDenied, "locked"},
		{server(1820, "You must SET PASSWORD before executing this statement"), KindUnknown, ClassAccessDenied, "SET PASSWORD"},
		{server(3159, "Connections using insecure transport are prohibited"), KindUnknown, ClassAccessDenied, "insecure transport"},
		{mysql.ErrNoTLS, KindUnknown, ClassAccessDenied, "TLS"},
		{server(1040, "Too many connections"), KindUnknown, ClassTooManyConns, "Too many"},
		{server(1226, "User 'lim' has exceeded the 'max_user_connections' resource (current value: 1)"), KindUnknown, ClassTooManyConns, ""},
		{server(1129, "Host '10.0.0.1' is blocked because of many connection errors; unblock with 'mariadb-admin flush-hosts'"), KindUnknown, ClassHostBlocked, "FLUSH HOSTS"},
		{server(1135, "Can't create a new thread (errno 11)"), KindUnknown, ClassServerResources, ""},
		{server(1227, "Access denied; you need (at least one of) the SUPER, SLAVE MONITOR privilege(s) for this operation"), KindUnknown, ClassPrivilege, "GRANT SLAVE MONITOR ON *.* TO 'probe'"},
		{server(1227, "Access denied; you need (at least one of) the PROCESS privilege(s) for this operation"), KindUnknown, ClassPrivilege, "GRANT PROCESS ON *.* TO 'probe'"},
		{server(1142, "SELECT command denied to user 'probe'@'127.0.0.1' for table `mysql`.`global_priv`"), KindUnknown, ClassPrivilege, "GRANT SELECT ON `mysql`.`global_priv` TO 'probe'"},
		{server(1142, "SELECT command denied to user 'probe'@'10.0.0.1' for table 'session_status'"), KindUnknown, ClassPrivilege, "GRANT SELECT ON *.* TO 'probe'"},
		{server(1193, "Unknown system variable 'wsrep_sync_wait'"), KindUnknown, ClassNotGalera, "wsrep_sync_wait"},
		{server(1064, "You have an error in your SQL syntax"), KindUnknown, ClassOther, "1064"},
		{mysql.ErrMalformPkt, KindUnknown, ClassProtocol, ""},
		{fmt.Errorf("%w: it begins with %q", conn.ErrProtocol, "HTTP"), KindUnknown, ClassProtocol, "HTTP"},
		{fmt.Errorf("%w: the answer has no end", conn.ErrProtocol), KindUnknown, ClassProtocol, ""},
		{errors.New("tls: failed to verify certificate"), KindUnknown, ClassOther, "certificate"},
	} {
		o := JudgeError(c.err, conn.Account{User: "probe", PasswordFile: "/run/pw"})
		if o.Kind != c.kind || o.Class != c.class {
			t.Errorf("%v is judged %+v", c.err, o)
		}
		dbtest.Contains(t, o.Reason, c.says)
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"synced", "non-primary", "standalone", "donor-rejecting"} {
		var text strings.Builder
		for _, row := range recorded(f, name) {
			fmt.Fprintf(&text, "%s\t%s\n", row.Name, row.Value)
		}
		f.Add(text.String(), recordedUUID)
	}
	f.Fuzz(func(t *testing.T, text, want string) {
		var rows []Row
		for line := range strings.Lines(text) {
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
			rows = append(rows, Row{name, value})
		}
		r, err := Parse(rows)
		if err != nil {
			if o := JudgeError(err, conn.Account{}); o.Kind != KindUnknown {
				t.Fatalf("an answer that cannot be read (%v) is judged %+v", err, o)
			}
			return
		}
		// Whatever was read: only a ready, synced node of the right cluster that rejects
		// nothing may be chosen.
		o := Judge(r, want)
		good := r.ClusterStatus == "Primary" && r.Ready && r.LocalState == StateSynced && !r.ReadOnly &&
			(r.RejectQueries == "" || r.RejectQueries == "NONE") && (r.MaintMode == "" || r.MaintMode == "DISABLED") &&
			(want == "" || r.StateUUID == "" || strings.EqualFold(want, r.StateUUID))
		if (o.Kind == KindHealthy) != good {
			t.Fatalf("%+v is judged %+v", r, o)
		}
	})
}

// A node that left its cluster, as one does that learned of its own eviction, never comes back by itself.
func TestJudgeDisconnected(t *testing.T) {
	r, err := Parse(with(recorded(t, "non-primary"), Row{"wsrep_cluster_status", "Disconnected"}))
	dbtest.Must(t, err)
	if o := Judge(r, recordedUUID); o.Kind != KindDown || o.Class != ClassNotPrimary || !strings.Contains(o.Reason, "as after an eviction: restart mysqld there") {
		t.Errorf("%+v", o)
	}
}
