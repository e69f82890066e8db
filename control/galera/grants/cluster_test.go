package grants_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/haproxy-peers/haproxy-peers/control/galera/grants"
	"github.com/haproxy-peers/haproxy-peers/e2e/dbtest"
)

const (
	password  = "secret"
	longStall = 3 * time.Second // Galera's own at its defaults is more than 5 s
	notReady  = 1047            // ER_UNKNOWN_COM_ERROR: "WSREP has not yet prepared node for application use"
)

// cluster is a real one that the printed text was given to, and the account on each node.
type cluster struct {
	nodes    []*dbtest.MariaDB
	account  []*sql.Conn
	uuids    []string
	variable bool // each option is a variable
}

func startCluster(t *testing.T, server dbtest.Server, variable bool) *cluster {
	c := &cluster{nodes: dbtest.StartGalera(t, server, 4), variable: variable}
	statements, err := grants.Statements(grants.Config{
		Kind: grants.KindMariaDB, User: "haproxyd", Host: "%", CanarySchema: "haproxyd", Parts: grants.Parts(),
	})
	dbtest.Must(t, err)
	// Given to one node, and again, as after an upgrade of the daemon; it is there on all.
	for range 2 {
		for _, s := range statements {
			c.nodes[1].Do(t, s)
		}
	}
	c.nodes[1].Do(t, "ALTER USER 'haproxyd'@'%' IDENTIFIED BY '"+password+"' ACCOUNT UNLOCK")
	c.nodes[1].Do(t, "CREATE DATABASE d")
	c.nodes[1].Do(t, "CREATE TABLE d.t (id INT AUTO_INCREMENT PRIMARY KEY) ENGINE=InnoDB")
	for i, n := range c.nodes {
		cfg := mysql.NewConfig()
		cfg.User, cfg.Passwd, cfg.Net, cfg.Addr, cfg.Logger, cfg.MultiStatements = "haproxyd", password, "tcp", n.Address, &mysql.NopLogger{}, true
		connector, err := mysql.NewConnector(cfg)
		dbtest.Must(t, err)
		db := sql.OpenDB(connector)
		t.Cleanup(func() { _ = db.Close() })
		// The statements above are applied here when a causal read says so.
		n.Do(t, "SET SESSION wsrep_sync_wait=1")
		n.Do(t, "SELECT COUNT(*) FROM d.t")
		n.Do(t, "SET SESSION wsrep_sync_wait=0")
		conn, err := db.Conn(t.Context())
		dbtest.Must(t, err)
		c.account = append(c.account, conn)
		c.uuids = append(c.uuids, c.status(t, i, "wsrep_gcomm_uuid"))
	}
	return c
}

func (c *cluster) status(t *testing.T, node int, name string) (value string) {
	t.Helper()
	dbtest.Must(t, c.nodes[node].Admin.QueryRow("SHOW GLOBAL STATUS LIKE '"+name+"'").Scan(&name, &value))
	return value
}

func (c *cluster) confID(t *testing.T, node int) string {
	return c.status(t, node, "wsrep_cluster_conf_id")
}

// period is evs.join_retrans_period in Galera's own words.
func (c *cluster) period(t *testing.T, node int) string {
	t.Helper()
	var options string
	dbtest.Must(t, c.nodes[node].Admin.QueryRow("SELECT @@GLOBAL.wsrep_provider_options").Scan(&options))
	_, after, _ := strings.Cut(options, "evs.join_retrans_period = ")
	value, _, _ := strings.Cut(after, ";")
	return value
}

// setOption is the superuser's own way.
func (c *cluster) setOption(t *testing.T, node int, option, value string) {
	t.Helper()
	if c.variable {
		if _, err := strconv.ParseFloat(value, 64); err != nil {
			value = "'" + value + "'" // a number in quotes is refused
		}
		c.nodes[node].Do(t, "SET GLOBAL wsrep_provider_"+strings.ReplaceAll(option, ".", "_")+"="+value)
		return
	}
	c.nodes[node].Do(t, "SET GLOBAL wsrep_provider_options='"+option+"="+value+"'")
}

// call has the account call a procedure, and returns the row by its columns.
func (c *cluster) call(node int, call string) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	rows, err := c.account[node].QueryContext(ctx, "CALL "+grants.Schema+"."+call)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	if !rows.Next() {
		return nil, errors.Join(errors.New("no row"), rows.Err())
	}
	values, into := make([]sql.NullString, len(names)), make([]any, len(names))
	for i := range values {
		into[i] = &values[i]
	}
	row := map[string]string{}
	err = rows.Scan(into...)
	for i, name := range names {
		row[name] = values[i].String
	}
	return row, err
}

func (c *cluster) wants(t *testing.T, node int, call, outcome string) map[string]string {
	t.Helper()
	row, err := c.call(node, call)
	if err != nil || row["outcome"] != outcome {
		t.Errorf("%s: %v, %v, want %s", call, row, err, outcome)
	}
	return row
}

func (c *cluster) do(node int, statement string) error {
	_, err := c.account[node].ExecContext(context.Background(), statement)
	return err
}

func isServerError(err error, numbers ...uint16) bool {
	var e *mysql.MySQLError
	if !errors.As(err, &e) {
		return false
	}
	for _, n := range numbers {
		if e.Number == n {
			return true
		}
	}
	return false
}

func atoi(t *testing.T, s string) (n int) {
	t.Helper()
	_, err := fmt.Sscan(s, &n)
	dbtest.Must(t, err)
	return n
}
