package grants_test

import (
	"database/sql"
	"errors"
	"testing"

	"github.com/haproxy-peers/haproxy-peers/control/galera/grants"
	"github.com/haproxy-peers/haproxy-peers/e2e/dbtest"
)

// A MySQL without wsrep takes all that is printed for Percona XtraDB Cluster, and the
// procedures then refuse, for it is in no cluster.
func TestMySQL(t *testing.T) {
	admin, _, _ := dbtest.StartMySQL(t)
	admin.SetMaxOpenConns(1) // the statements set sql_mode
	run := func(statement string) {
		t.Helper()
		if _, err := admin.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	run("CREATE TABLE mysql.wsrep_cluster_members (node_uuid CHAR(36) PRIMARY KEY)") // as wsrep makes it
	statements, err := grants.Statements(grants.Config{
		Kind: grants.KindMySQL, User: "haproxyd", Host: "%", CanarySchema: "haproxyd", Parts: grants.Parts(),
	})
	dbtest.Must(t, err)
	for range 2 {
		for _, s := range statements {
			run(s)
		}
	}
	for call, want := range map[string]string{
		"evict('00000000-1111-2222-3333-444444444444', 1, '0.1')":                   grants.OutcomeNotPrimary,
		"evict_last('00000000-1111-2222-3333-444444444444', 1, 'PT0.1S')":           grants.OutcomeNotPrimary,
		"evict('00000000-1111-2222-3333-44444444444;', 1, '0.1')":                   grants.OutcomeMalformedUUID,
		"evict(CONCAT('00000000-1111-2222-3333-444444444444', CHAR(10)), 1, '0.1')": grants.OutcomeMalformedUUID,
		"evict('00000000-1111-2222-3333-444444444444', 1, '0.1;evs.evict=')":        grants.OutcomeMalformedPeriod,
		"clear_evicted('0.01')":                grants.OutcomeMalformedPeriod,
		"clear_evicted(CONCAT('1', CHAR(10)))": grants.OutcomeMalformedPeriod,
	} {
		outcome, err := outcomeOf(admin, call)
		if err != nil {
			t.Fatalf("%s: %v", call, err)
		}
		if outcome != want {
			t.Errorf("%s: %s, want %s", call, outcome, want)
		}
	}
}

func outcomeOf(db *sql.DB, call string) (outcome string, err error) {
	rows, err := db.Query("CALL " + grants.Schema + "." + call)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	if !rows.Next() {
		return "", errors.Join(errors.New("no row"), rows.Err())
	}
	var rest [8]any
	err = rows.Scan(&outcome, &rest[0], &rest[1], &rest[2], &rest[3], &rest[4], &rest[5], &rest[6], &rest[7])
	return outcome, err
}
