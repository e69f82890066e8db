package galera

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A glance at a real node says what the prober would, and lasts no longer than it
// may.
func TestOnceReal(t *testing.T) {
	m := startMariaDB(t)
	right := Account{User: probeUser, PasswordFile: passwordFile(t, probePassword)}
	look := func(what string, cfg OnceConfig) Glance {
		t.Helper()
		cfg.Address = m.address
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
	expect("wrong password", look("wrong password", OnceConfig{Account: Account{User: probeUser, PasswordFile: passwordFile(t, "wrong")}}), true, KindUnknown, ClassAccessDenied)
	expect("no password file", look("no password file", OnceConfig{Account: Account{User: probeUser, PasswordFile: filepath.Join(t.TempDir(), "none")}}), true, KindUnknown, ClassCredentials)

	m.do(t, "SET GLOBAL wsrep_desync=ON")
	expect("donor", look("donor", OnceConfig{Account: right}), true, KindDegraded, ClassDonor)
	m.do(t, "SET GLOBAL wsrep_desync=OFF")
	m.do(t, "SET GLOBAL max_connections=10")
	var open []net.Conn
	for range 11 {
		c, err := net.Dial("tcp", m.address)
		must(t, err)
		open = append(open, c)
		_, err = readGreeting(c)
		must(t, err)
	}
	expect("no connection left", look("no connection left", OnceConfig{}), false, KindUnknown, ClassTooManyConns)
	for _, c := range open {
		must(t, c.Close())
	}

	m.signal(t, syscall.SIGSTOP)
	expect("hanging", look("hanging", OnceConfig{Account: right, Within: 300 * time.Millisecond}), false, KindDown, ClassTimeout)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Once(ctx, OnceConfig{Address: m.address, Account: right}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("its context is over: %v", err)
	}
	m.kill()
	expect("dead", look("dead", OnceConfig{Account: right}), false, KindDown, ClassRefused)
	if _, err := Once(t.Context(), OnceConfig{Address: "nowhere"}); err == nil {
		t.Error("an address without a port is no error")
	}
}
