package sessions

import (
	"testing"

	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
	"github.com/haproxy-peers/haproxy-peers/e2e/dbtest"
)

// TestMySQL asks what an inspector asks of MySQL, whose results are the longest there are here.
func TestMySQL(t *testing.T) {
	admin, address, _ := dbtest.StartMySQL(t)
	for _, statement := range []string{
		"CREATE USER sha2 IDENTIFIED WITH caching_sha2_password BY '" + dbtest.ProbePassword + "'",
		"GRANT PROCESS ON *.* TO sha2",
		"GRANT SELECT ON performance_schema.* TO sha2",
		"SET GLOBAL require_secure_transport=ON",
	} {
		if _, err := admin.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	d, err := conn.NewDialer(address, nil)
	dbtest.Must(t, err)
	s, err := d.Open(t.Context(), conn.Opening{
		Account: conn.Account{User: "sha2", PasswordFile: dbtest.PasswordFile(t, dbtest.ProbePassword)}, Life: t.Context(), Budget: dbtest.Soon,
	})
	dbtest.Must(t, err)
	defer s.Close()
	c := &inspection{Session: s}
	if c.lacks, err = checkProcess(s, ""); err != nil || c.lacks != nil {
		t.Fatal(c.lacks, err)
	}
	if c.sources, err = findSources(s, ""); err != nil || !c.sources.transactions || c.sources.locks != psMetadataLocks || !c.sources.temporary {
		t.Errorf("%+v, %v", c.sources, err)
	}
	list, err := c.list()
	if err != nil || len(list) == 0 {
		t.Errorf("%d sessions, %v", len(list), err)
	}
	for _, one := range list {
		if _, err := c.lookAt(one.ID); err != nil {
			t.Errorf("%+v: %v", one, err)
		}
	}
}
