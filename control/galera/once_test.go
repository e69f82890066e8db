package galera

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
	"github.com/haproxy-peers/haproxy-peers/e2e/dbtest"
)

// A glance at a real node says what the prober would, and lasts no longer than it
// may.
func TestOnceReal(t *testing.T) {
	m := dbtest.StartMariaDB(t)
	right := conn.Account{User: dbtest.ProbeUser, PasswordFile: dbtest.PasswordFile(t, dbtest.ProbePassword)}
	look := func(what string, cfg OnceConfig) Glance {
		t.Helper()
		cfg.Address = m.Address
		began := time.Now()
		g, err := Once(t.Context(), cfg)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("%s: it took %v", what, took)
		}
		return g
	}
	expect := func(what string, g Glance, greeted bool, k Kind, c Class) {
		t.Helper()
		if g.Greeted != greeted || g.Kind != k || g.Class != c {
			t.Errorf("%s: %+v, want greeted %v, kind %v, class %v", what, g, greeted, k, c)
		}
	}
	expect("healthy", look("healthy", OnceConfig{Account: right}), true, KindHealthy, ClassSynced)
	expect("another cluster", look("another cluster", OnceConfig{Account: right, ExpectUUID: "6ff4e0a3-d2a5-11f0-8de2-0242ac110002"}), true, KindDown, ClassOtherCluster)
	expect("nobody", look("nobody", OnceConfig{}), true, KindUnknown, ClassNotProbed)
	expect("wrong password", look("wrong password", OnceConfig{Account: conn.Account{User: dbtest.ProbeUser, PasswordFile: dbtest.PasswordFile(t, "wrong")}}), true, KindUnknown, ClassAccessDenied)
	expect("no password file", look("no password file", OnceConfig{Account: conn.Account{User: dbtest.ProbeUser, PasswordFile: filepath.Join(t.TempDir(), "none")}}), true, KindUnknown, ClassCredentials)

	m.Do(t, "SET GLOBAL wsrep_desync=ON")
	expect("donor", look("donor", OnceConfig{Account: right}), true, KindDegraded, ClassDonor)
	m.Do(t, "SET GLOBAL wsrep_desync=OFF")
	m.Do(t, "SET GLOBAL max_connections=10")
	var open []net.Conn
	for range 11 {
		c, err := net.Dial("tcp", m.Address)
		dbtest.Must(t, err)
		open = append(open, c)
		_, err = (&dbtest.Fake{Conn: c}).Hear()
		dbtest.Must(t, err)
	}
	expect("no connection left", look("no connection left", OnceConfig{}), true, KindUnknown, ClassTooManyConns)
	expect("no connection left to log in", look("no connection left to log in", OnceConfig{Account: right}), true, KindUnknown, ClassTooManyConns)
	for _, c := range open {
		dbtest.Must(t, c.Close())
	}

	m.Signal(t, syscall.SIGSTOP)
	expect("hanging", look("hanging", OnceConfig{Account: right, Within: 300 * time.Millisecond}), false, KindDown, ClassTimeout)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Once(ctx, OnceConfig{Address: m.Address, Account: right}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("its context is over: %v", err)
	}
	m.Kill()
	expect("dead", look("dead", OnceConfig{Account: right}), false, KindDown, ClassRefused)
	if _, err := Once(t.Context(), OnceConfig{Address: "nowhere"}); err == nil {
		t.Error("an address without a port is no error")
	}
}
