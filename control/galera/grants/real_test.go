package grants_test

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/haproxy-peers/haproxy-peers/control/galera/grants"
	"github.com/haproxy-peers/haproxy-peers/e2e/dbtest"
)

func TestInstalledMariaDB(t *testing.T) { testProcedures(t, dbtest.InstalledServer(t), false) }

// MariaDB 11, whose options of the provider are variables.
func TestUnpackedMariaDB(t *testing.T) { testProcedures(t, dbtest.UnpackedServer(t), true) }

// The whole life of a cluster that ends node by node. The parts build on one another.
func testProcedures(t *testing.T, server dbtest.Server, variable bool) {
	c := startCluster(t, server, variable)
	c.leastRights(t)
	c.refusals(t)
	if variable {
		c.gathers(t, 3) // gmcast.isolate is no variable
	} else {
		c.isolated(t, 3)
	}
	c.evictsDead(t, 2)
	c.evictsLast(t)
}

// leastRights: the account has what is printed for it and nothing more, and nobody is the
// definer.
func (c *cluster) leastRights(t *testing.T) {
	set := "SET GLOBAL wsrep_provider_options='evs.evict='"
	if c.variable {
		set = "SET GLOBAL wsrep_provider_evs_evict=''"
	}
	for _, statement := range []string{
		set,
		"SELECT * FROM mysql.wsrep_cluster_members",
		"DROP PROCEDURE " + grants.Schema + ".evict",
		"ALTER PROCEDURE " + grants.Schema + ".evict SQL SECURITY INVOKER",
		"CREATE TABLE " + grants.Schema + ".t (i INT)",
		"CREATE PROCEDURE " + grants.Schema + ".p() SELECT 1",
		"CREATE DEFINER=" + grants.Definer + " PROCEDURE haproxyd.p() SELECT 1",
		"SET ROLE root",
	} {
		if err := c.do(0, statement); !isServerError(err, 1044, 1142, 1227, 1370, 1959) {
			t.Errorf("%s: %v, want it denied", statement, err)
		}
	}
	for _, statement := range []string{ // what is its own
		"CREATE SCHEMA IF NOT EXISTS haproxyd", "CREATE TABLE haproxyd.canary (i INT PRIMARY KEY)",
		"INSERT INTO haproxyd.canary VALUES (1)", "DO (SELECT COUNT(*) FROM information_schema.INNODB_TRX)",
	} {
		if err := c.do(0, statement); err != nil {
			t.Errorf("%s: %v", statement, err)
		}
	}
	for _, p := range []string{"", "invalid", password} {
		cfg := mysql.NewConfig()
		cfg.User, cfg.Passwd, cfg.Net, cfg.Addr, cfg.Logger, cfg.AllowNativePasswords = "haproxyd_definer", p, "tcp", c.nodes[0].Address, &mysql.NopLogger{}, true
		connector, err := mysql.NewConnector(cfg)
		dbtest.Must(t, err)
		db := sql.OpenDB(connector)
		if err := db.Ping(); !isServerError(err, 1045, 4151) {
			t.Errorf("the definer's login with %q: %v", p, err)
		}
		_ = db.Close()
	}
}

// refusals: nothing is done for whoever is wrong about anything.
func (c *cluster) refusals(t *testing.T) {
	conf, victim, own := c.confID(t, 0), c.uuids[3], c.uuids[0]
	stranger := "00000000-1111-2222-3333-444444444444"
	evict := func(uuid, conf, period string) string { return "evict(" + uuid + ", " + conf + ", " + period + ")" }
	quoted := func(s string) string { return "'" + s + "'" }
	good := quoted(victim)
	var tests []struct{ session, call, outcome string }
	add := func(session, call, outcome string) {
		tests = append(tests, struct{ session, call, outcome string }{session, call, outcome})
	}
	add("", evict(good, conf+"+1", "'0.1'"), grants.OutcomeOtherConfID)
	add("", evict(good, conf+"-1", "'0.1'"), grants.OutcomeOtherConfID)
	add("", evict(good, "NULL", "'0.1'"), grants.OutcomeOtherConfID)
	add("", evict(quoted(own), conf, "'0.1'"), grants.OutcomeOwnUUID)
	add("", evict(quoted(stranger), conf, "'0.1'"), grants.OutcomeNotAMember)
	add("", "evict_last("+good+", "+conf+", '0.1')", grants.OutcomeWrongSize)
	for _, uuid := range []string{
		"NULL", "''", quoted(victim[:35]), quoted(victim + "0"), quoted(strings.ToUpper(victim)), quoted(victim + "\n"), quoted("\n" + victim),
		quoted(victim + ";evs.evict="), quoted(victim + `\'; SET GLOBAL max_connections=1; -- `), quoted(`'';pc.ignore_sb=true;evs.evict=` + victim[:10]),
		quoted(strings.ReplaceAll(victim, "-", ";")), quoted(`\\` + victim[1:]), quoted(`"` + victim[1:]), quoted(victim[:35] + "`"),
		quoted(victim[:35] + `\0`), "CONCAT(" + good + ", CHAR(0))", "CONCAT('x', CHAR(10), " + good + ")",
	} {
		add("", evict(uuid, conf, "'0.1'"), grants.OutcomeMalformedUUID)
		// A caller has its own flags of regular expressions.
		add("default_regex_flags='MULTILINE,DOTALL,EXTENDED,UNGREEDY'", evict(uuid, conf, "'0.1'"), grants.OutcomeMalformedUUID)
		add("sql_mode='NO_BACKSLASH_ESCAPES,ANSI'", evict(strings.ReplaceAll(uuid, `\'`, "''"), conf, "'0.1'"), grants.OutcomeMalformedUUID)
	}
	for _, period := range []string{
		"NULL", "''", "'0'", "'0.05'", "'0.099999'", "'60.1'", "'61'", "'1e1'", "'-1'", "'+1'", "' 1'", "'PT1'", "'1S'", "'PTS'", "'PTPT1S'", "'PT1SS'", "'P1D'", "'PT1M'", "'.5'", "'0.1;evs.evict='",
		"'0.1\n'", "CONCAT('0.1', CHAR(10), ';evs.evict=x')", `'0.1\';'`, "'0.1''; SET GLOBAL max_connections=1; -- '", "'0,1'", "'0x1'", "'1 OR 1=1'",
	} {
		for _, session := range []string{"", "default_regex_flags='MULTILINE,DOTALL,EXTENDED'"} {
			add(session, evict(good, conf, period), grants.OutcomeMalformedPeriod)
			add(session, "clear_evicted("+period+")", grants.OutcomeMalformedPeriod)
		}
	}
	var maxConnections string
	dbtest.Must(t, c.nodes[0].Admin.QueryRow("SELECT @@GLOBAL.max_connections").Scan(&maxConnections))
	for _, test := range tests {
		dbtest.Must(t, c.do(0, "SET SESSION wsrep_sync_wait=5"))
		if test.session != "" {
			dbtest.Must(t, c.do(0, "SET SESSION "+test.session))
		}
		c.wants(t, 0, test.call, test.outcome)
		var wait int
		dbtest.Must(t, c.account[0].QueryRowContext(t.Context(), "SELECT @@SESSION.wsrep_sync_wait").Scan(&wait))
		if wait != 5 {
			t.Errorf("%s: wsrep_sync_wait is %d afterwards", test.call, wait)
		}
		dbtest.Must(t, c.do(0, "SET SESSION wsrep_sync_wait=0, default_regex_flags='', sql_mode=DEFAULT"))
	}
	c.refusedErrors(t, good, conf)

	// An entry of somebody else's. It is of no member, so that no view changes.
	c.setOption(t, 0, "evs.evict", stranger)
	row := c.wants(t, 0, evict(good, conf, "'0.1'"), grants.OutcomeListNotEmpty)
	if row["evict_list"] != stranger || row["evict_list_now"] != stranger || row["gcomm_uuid"] != own || row["conf_id"] != conf ||
		row["cluster_size"] != "4" || row["cluster_status"] != "Primary" || row["evs_state"] != "OPERATIONAL" {
		t.Errorf("it saw %v", row)
	}
	row = c.wants(t, 0, "clear_evicted('"+row["join_retrans_period"]+"')", grants.OutcomeCleared)
	if row["evict_list"] != stranger || row["evict_list_now"] != "" {
		t.Errorf("the clearing saw %v", row)
	}
	// A period that cannot be put back is left alone.
	c.setOption(t, 0, "evs.join_retrans_period", "100")
	c.wants(t, 0, evict(good, conf, "'0.1'"), grants.OutcomePeriodUnknown)
	c.wants(t, 0, "clear_evicted('1')", grants.OutcomeCleared)
	if got := c.period(t, 0); got != "PT1S" || c.status(t, 0, "wsrep_evs_evict_list") != "" || c.confID(t, 0) != conf {
		t.Errorf("after all refusals: period %s, list %q, conf_id %s, it was %s", got, c.status(t, 0, "wsrep_evs_evict_list"), c.confID(t, 0), conf)
	}
	var now string
	dbtest.Must(t, c.nodes[0].Admin.QueryRow("SELECT @@GLOBAL.max_connections").Scan(&now))
	if now != maxConnections {
		t.Errorf("max_connections is %s, it was %s", now, maxConnections)
	}
}

// refusedErrors are arguments that are not even taken, with wsrep_sync_wait as it was.
func (c *cluster) refusedErrors(t *testing.T, uuid, conf string) {
	for _, call := range []string{
		"evict(" + uuid + ", -1, '0.1')", "evict(" + uuid + ", 'x', '0.1')", "evict(" + uuid + ", 1e30, '0.1')",
		"evict('ü', " + conf + ", '0.1')", "evict(" + uuid + ", " + conf + ", '１')",
		"evict(REPEAT('x', 300), " + conf + ", '0.1')", "evict(" + uuid + ", " + conf + ", REPEAT('1', 300))",
	} {
		dbtest.Must(t, c.do(0, "SET SESSION wsrep_sync_wait=5"))
		if row, err := c.call(0, call); !isServerError(err, 1264, 1366, 1406) {
			t.Errorf("%s: %v, %v", call, row, err)
		}
		var wait int
		dbtest.Must(t, c.account[0].QueryRowContext(t.Context(), "SELECT @@SESSION.wsrep_sync_wait").Scan(&wait))
		if wait != 5 {
			t.Errorf("%s: wsrep_sync_wait is %d afterwards", call, wait)
		}
		dbtest.Must(t, c.do(0, "SET SESSION wsrep_sync_wait=0"))
	}
}

// isolated: a node that loses the others leaves OPERATIONAL, then Primary. It then takes no
// CALL but from those who read dirty.
func (c *cluster) isolated(t *testing.T, node int) {
	own := "evict('" + c.uuids[node] + "', " + c.confID(t, node) + ", '0.1')"
	c.setOption(t, node, "gmcast.isolate", "1")
	saw := map[string]int{}
	var err error
	for give := time.Now().Add(30 * time.Second); time.Now().Before(give) && !isServerError(err, notReady); time.Sleep(2 * time.Millisecond) {
		var row map[string]string
		row, err = c.call(node, own)
		saw[row["outcome"]]++
	}
	t.Logf("while it loses the others: %v, then %v", saw, err)
	if saw[grants.OutcomeNotOperational] == 0 || saw[grants.OutcomeEvicted] != 0 || !isServerError(err, notReady) {
		t.Errorf("while it loses the others it says %v, then %v", saw, err)
	}
	if _, err := c.call(node, "clear_evicted('1')"); !isServerError(err, notReady) {
		t.Errorf("a clearing where the node is not Primary: %v", err)
	}
	dbtest.Must(t, c.do(node, "SET SESSION wsrep_dirty_reads=ON"))
	c.wants(t, node, own, grants.OutcomeNotPrimary)
	c.wants(t, node, "evict_last"+strings.TrimPrefix(own, "evict"), grants.OutcomeNotPrimary)
	c.wants(t, node, "clear_evicted('1')", grants.OutcomeCleared)
	c.nodes[node].Kill()
	c.waitSize(t, 0, "3")
}

// gathers: a node is killed and not evicted, and the others do nothing while they make up
// their minds.
func (c *cluster) gathers(t *testing.T, node int) {
	own := "evict('" + c.uuids[0] + "', " + c.confID(t, 0) + ", '0.1')"
	c.nodes[node].Kill()
	killed := time.Now()
	saw := map[string]int{}
	for give := killed.Add(30 * time.Second); time.Now().Before(give) && saw[grants.OutcomeOtherConfID] == 0; time.Sleep(2 * time.Millisecond) {
		row, err := c.call(0, own)
		if err != nil {
			t.Fatal(err)
		}
		saw[row["outcome"]]++
	}
	t.Logf("without an eviction: %v, and another view after %v", saw, time.Since(killed))
	if saw[grants.OutcomeNotOperational] == 0 || saw[grants.OutcomeEvicted] != 0 || saw[grants.OutcomeOtherConfID] == 0 {
		t.Errorf("while the others wait for it they say %v", saw)
	}
	c.waitSize(t, 0, "3")
}

func (c *cluster) waitSize(t *testing.T, node int, size string) {
	t.Helper()
	for give := time.Now().Add(30 * time.Second); c.status(t, node, "wsrep_cluster_size") != size || c.status(t, node, "wsrep_evs_state") != "OPERATIONAL"; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(give) {
			t.Fatalf("node %d does not see %s members", node, size)
		}
	}
}

// evictsDead: three members, one of them is killed.
func (c *cluster) evictsDead(t *testing.T, victim int) {
	conf := c.confID(t, 0)
	c.wants(t, 0, "evict('"+c.uuids[3]+"', "+conf+", '0.1')", grants.OutcomeNotAMember) // it was one
	c.nodes[victim].Kill()
	killed := time.Now()
	time.Sleep(100 * time.Millisecond) // what the daemons need to be sure
	told := time.Now()
	row := c.wants(t, 0, "evict('"+c.uuids[victim]+"', "+conf+", 'PT0.1S')", grants.OutcomeEvicted)
	took := time.Since(told)
	for i := range victim {
		c.nodes[i].Do(t, "INSERT INTO d.t VALUES ()")
		t.Logf("node %d commits %v after the kill, %v after the statement, which took %v", i, time.Since(killed), time.Since(told), took)
	}
	if stall := time.Since(killed); stall > longStall {
		t.Errorf("the stall was %v", stall)
	}
	for i := range victim {
		c.waitSize(t, i, "2")
		if got, want := c.confID(t, i), fmt.Sprint(atoi(t, conf)+1); got != want {
			t.Errorf("node %d: conf_id %s, want %s", i, got, want)
		}
		if i == 0 && (c.period(t, i) != "PT0.1S" || c.status(t, i, "wsrep_evs_evict_list") != c.uuids[victim]) {
			t.Errorf("node %d: period %s, list %q", i, c.period(t, i), c.status(t, i, "wsrep_evs_evict_list"))
		}
	}
	// A late second executor.
	c.wants(t, 0, "evict('"+c.uuids[victim]+"', "+conf+", '0.1')", grants.OutcomeOtherConfID)
	for i := range victim {
		cleared := c.wants(t, i, "clear_evicted('"+row["join_retrans_period"]+"')", grants.OutcomeCleared)
		if cleared["evict_list"] != c.uuids[victim] {
			t.Errorf("node %d had the list %q before it was cleared", i, cleared["evict_list"])
		}
	}
	for i := range victim {
		if got := c.period(t, i); got != "PT1S" || c.status(t, i, "wsrep_evs_evict_list") != "" {
			t.Errorf("node %d after the clearing: period %s, list %q", i, got, c.status(t, i, "wsrep_evs_evict_list"))
		}
	}
}

// evictsLast: of two one is killed, and the other stays Primary.
func (c *cluster) evictsLast(t *testing.T) {
	args := "('" + c.uuids[1] + "', " + c.confID(t, 0) + ", '0.1')"
	c.nodes[1].Kill()
	killed := time.Now()
	time.Sleep(50 * time.Millisecond)
	c.wants(t, 0, "evict"+args, grants.OutcomeWrongSize)
	c.wants(t, 0, "evict_last"+args, grants.OutcomeEvicted)
	// It loses Primary before it makes itself Primary again: what commits meanwhile fails.
	_, err := c.nodes[0].Admin.Exec("INSERT INTO d.t VALUES ()")
	first := err
	for err != nil && time.Since(killed) < longStall {
		time.Sleep(time.Millisecond)
		_, err = c.nodes[0].Admin.Exec("INSERT INTO d.t VALUES ()")
	}
	t.Logf("the last of two commits %v after the kill; the first try: %v", time.Since(killed), first)
	if stall := time.Since(killed); stall > longStall {
		t.Errorf("the stall was %v", stall)
	}
	c.wants(t, 0, "clear_evicted('1')", grants.OutcomeCleared)
	if got := c.status(t, 0, "wsrep_evs_evict_list") + c.status(t, 0, "wsrep_cluster_status") + c.period(t, 0); got != "PrimaryPT1S" {
		t.Errorf("list, status and period are %q", got)
	}
}
