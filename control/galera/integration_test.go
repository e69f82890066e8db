package galera

import (
	"context"
	"database/sql/driver"
	"errors"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
	"github.com/haproxy-peers/haproxy-peers/e2e/dbtest"
)

// TestMariaDB goes through what a real node can show, ending with its death.
func TestMariaDB(t *testing.T) {
	m := dbtest.StartMariaDB(t)
	file := dbtest.PasswordFile(t, dbtest.ProbePassword)
	var want atomic.Value
	want.Store("")
	registry := prometheus.NewRegistry()
	p := startProber(t, Config{
		Account:    conn.Account{PasswordFile: file},
		ExpectUUID: func() string { return want.Load().(string) },
		Registerer: registry,
	}, m.Address)
	connects := func() float64 { return testutil.ToFloat64(p.metrics.connects.WithLabelValues("n")) }

	t.Run("healthy", func(t *testing.T) {
		s, _ := await(t, p, dbtest.Soon, "healthy", healthy)
		if s.StateUUID == "" || s.ClusterStatus != "Primary" || s.LocalState != StateSynced || s.LastCommitted < 1 {
			t.Errorf("incomplete: %+v", s)
		}
		want.Store(s.StateUUID)
	})

	for _, c := range []struct {
		name, do, undo string
		class          Class
		verdict        Verdict
	}{
		{"desynced", "SET GLOBAL wsrep_desync=ON", "SET GLOBAL wsrep_desync=OFF", ClassDonor, Healthy},
		{"read-only", "SET GLOBAL read_only=ON", "SET GLOBAL read_only=OFF", ClassReadOnly, Healthy},
		{"rejecting", "SET GLOBAL wsrep_reject_queries=ALL", "SET GLOBAL wsrep_reject_queries=NONE", ClassRejecting, Down},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := connects()
			m.Do(t, c.do)
			s, _ := await(t, p, dbtest.Soon, c.name, is(c.verdict, c.class))
			if s.Eligible || s.Avoid != (c.verdict == Healthy) {
				t.Errorf("%s: eligible %t, avoid %t", c.name, s.Eligible, s.Avoid)
			}
			t.Log(s.Reason)
			m.Do(t, c.undo)
			await(t, p, dbtest.Soon, "healthy again", healthy)
			if connects() != before {
				t.Error("the connection was not kept")
			}
		})
	}

	t.Run("another cluster", func(t *testing.T) {
		was := want.Swap("11111111-2222-3333-4444-555555555555")
		s, _ := await(t, p, dbtest.Soon, "down", is(Down, ClassOtherCluster))
		if s.Eligible || s.Avoid || !s.OtherCluster {
			t.Errorf("%+v", s.State)
		}
		want.Store(was)
		await(t, p, dbtest.Soon, "healthy again", healthy)
	})

	t.Run("connection killed", func(t *testing.T) {
		before := connects()
		m.KillProbes(t)
		await(t, p, dbtest.Soon, "on a new connection", func(s NodeStatus) bool {
			if s.Verdict != Healthy {
				t.Errorf("one lost connection made the node %v: %s", s.Verdict, s.Reason)
			}
			return healthy(s) && connects() == before+1
		})
	})

	t.Run("password rotated", func(t *testing.T) {
		before := connects()
		m.Do(t, "ALTER USER probe IDENTIFIED BY 'rotated'")
		at := p.Status()[0].At
		await(t, p, dbtest.Soon, "probed on", func(s NodeStatus) bool { return s.At.Sub(at) > 500*time.Millisecond })
		if s := p.Status()[0]; !healthy(s) || connects() != before {
			t.Errorf("the rotation moved something: %+v", s.State)
		}
		m.KillProbes(t)
		s, _ := await(t, p, dbtest.Soon, "denied", is(Unknown, ClassAccessDenied))
		dbtest.Contains(t, s.Reason, dbtest.ProbeUser, file, "error 1045")
		if s.Eligible || s.Avoid {
			t.Errorf("%+v", s.State)
		}
		dbtest.Must(t, os.Remove(file))
		s, _ = await(t, p, dbtest.Soon, "without a password", is(Unknown, ClassCredentials))
		dbtest.Contains(t, s.Reason, file)
		dbtest.Must(t, os.WriteFile(file, []byte("rotated"), 0o600))
		await(t, p, dbtest.Soon, "healthy again", healthy)
	})

	t.Run("too many connections", func(t *testing.T) {
		m.Do(t, "SET GLOBAL max_connections=10")
		crowd := occupy(t, m.Address, "rotated")
		newcomer := startProber(t, Config{Account: conn.Account{PasswordFile: file}}, m.Address)
		s, _ := await(t, newcomer, dbtest.Soon, "unknown", is(Unknown, ClassTooManyConns))
		dbtest.Contains(t, s.Reason, "error 1040")
		if !healthy(p.Status()[0]) {
			t.Error("the prober that is connected is disturbed")
		}
		for _, c := range crowd {
			_ = c.Close()
		}
		await(t, newcomer, dbtest.Soon, "healthy", healthy)
		m.Do(t, "SET GLOBAL max_connections=100")
	})

	t.Run("missing privilege", func(t *testing.T) {
		for query, grant := range map[string]string{
			"SHOW REPLICA STATUS":             "GRANT SLAVE MONITOR ON *.* TO 'probe'",
			"SELECT 1 FROM mysql.global_priv": "GRANT SELECT ON `mysql`.`global_priv` TO 'probe'",
		} {
			_, err := connectAs(t, m.Address, "rotated").(driver.QueryerContext).QueryContext(context.Background(), query, nil)
			o := JudgeError(err, conn.Account{User: dbtest.ProbeUser})
			if o.Kind != KindUnknown || o.Class != ClassPrivilege {
				t.Errorf("%s: %v is %+v", query, err, o)
			}
			dbtest.Contains(t, o.Reason, grant)
		}
	})

	t.Run("hung", func(t *testing.T) {
		m.Signal(t, syscall.SIGSTOP)
		began := time.Now()
		s, took := await(t, p, dbtest.Soon, "down", is(Down, ClassSilent))
		t.Logf("down after %v: %s", took, s.Reason)
		if bound := DefaultInterval + DefaultDeadline + 250*time.Millisecond; took > bound {
			t.Errorf("down after %v, bound %v", took, bound)
		}
		// The status stays fresh while the node keeps silent.
		await(t, p, dbtest.Soon, "still watched", func(s NodeStatus) bool {
			if age := time.Since(s.At); age > DefaultDeadline+300*time.Millisecond {
				t.Errorf("the status is %v old", age)
			}
			return time.Since(began) > 4*time.Second
		})
		before := connects()
		m.Signal(t, syscall.SIGCONT)
		_, took = await(t, p, dbtest.Soon, "healthy again", healthy)
		t.Logf("healthy %v after SIGCONT, %v connections made since", took, connects()-before)
		if connects() != before {
			t.Error("connections were given up while the node hung")
		}
	})

	t.Run("killed", func(t *testing.T) {
		dbtest.Must(t, m.Cmd.Process.Kill())
		began := time.Now()
		s, _ := await(t, p, dbtest.Soon, "down", is(Down, ClassRefused))
		took := time.Since(began)
		t.Logf("down after %v: %s", took, s.Reason)
		if took > 300*time.Millisecond {
			t.Errorf("down after %v", took)
		}
	})
	if n := testutil.ToFloat64(p.metrics.verdict.WithLabelValues("n", "down")); n != 1 {
		t.Errorf("the verdict's metric is %v", n)
	}
}

// connectAs logs in as the probe's user.
func connectAs(t *testing.T, address, password string) driver.Conn {
	t.Helper()
	conn, err := dialAs(address, password)
	dbtest.Must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func dialAs(address, password string) (driver.Conn, error) {
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.Net, cfg.Addr, cfg.Logger = dbtest.ProbeUser, password, "tcp", address, &mysql.NopLogger{}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	return connector.Connect(context.Background())
}

// occupy takes all connections that the server has.
func occupy(t *testing.T, address, password string) []driver.Conn {
	t.Helper()
	var crowd []driver.Conn
	for {
		conn, err := dialAs(address, password)
		var full *mysql.MySQLError
		if errors.As(err, &full) && full.Number == erConCount {
			return crowd
		}
		dbtest.Must(t, err)
		crowd = append(crowd, conn)
		t.Cleanup(func() { _ = conn.Close() })
	}
}
