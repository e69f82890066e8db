package grants

import "strings"

// Outcome words of the procedures.
const (
	OutcomeEvicted         = "evicted"
	OutcomeCleared         = "cleared"
	OutcomeMalformedUUID   = "malformed-uuid"
	OutcomeMalformedPeriod = "malformed-period"
	OutcomeNotPrimary      = "not-primary"
	OutcomeOtherConfID     = "other-conf-id"
	OutcomeNotOperational  = "not-operational"
	OutcomeOwnUUID         = "own-uuid"
	OutcomeNotAMember      = "not-a-member"
	OutcomeWrongSize       = "wrong-size"     // of the cluster, for this procedure
	OutcomeListNotEmpty    = "list-not-empty" // an operator's entry, or one that was not cleared
	// OutcomePeriodUnknown: evs.join_retrans_period is nothing that a clearing could put
	// back: over a minute, or not to be read.
	OutcomePeriodUnknown = "period-unknown"
)

// dialect is what the kinds say differently.
type dialect struct {
	status      string // the table of status variables
	declare     string // variables of its own
	enter, look string // set wsrep_sync_wait; read the period
	leave       string // wsrep_sync_wait as it was
	evict       string // set the period, evict
	clear       string // put the period back, empty the list
}

var dialects = map[Kind]dialect{
	KindMariaDB: {
		status:  "information_schema.GLOBAL_STATUS",
		declare: "  DECLARE sync_wait BIGINT UNSIGNED DEFAULT @@SESSION.wsrep_sync_wait;\n  DECLARE plugin INT;\n",
		enter:   "  SET SESSION wsrep_sync_wait = 0;\n",
		// The plugin may be there in one life of the server and not in the next.
		look: `  SELECT COUNT(*), MAX(VARIABLE_VALUE) INTO plugin, old_period
    FROM information_schema.GLOBAL_VARIABLES WHERE VARIABLE_NAME = 'wsrep_provider_evs_join_retrans_period';
  IF plugin = 0 THEN
    SET old_period = TRIM(SUBSTRING_INDEX(SUBSTRING_INDEX(SUBSTRING_INDEX(
      @@GLOBAL.wsrep_provider_options, 'evs.join_retrans_period', -1), ';', 1), '=', -1));
  END IF;
`,
		leave: "SET SESSION wsrep_sync_wait = sync_wait;",
		evict: `    IF plugin > 0 THEN
      EXECUTE IMMEDIATE 'SET GLOBAL wsrep_provider_evs_join_retrans_period = ?' USING seconds;
      EXECUTE IMMEDIATE 'SET GLOBAL wsrep_provider_evs_evict = ?' USING victim;
    ELSE
      SET GLOBAL wsrep_provider_options = CONCAT('evs.join_retrans_period=PT', seconds, 'S;evs.evict=', victim);
    END IF;
`,
		clear: `    IF plugin > 0 THEN
      EXECUTE IMMEDIATE 'SET GLOBAL wsrep_provider_evs_join_retrans_period = ?' USING seconds;
      EXECUTE IMMEDIATE 'SET GLOBAL wsrep_provider_evs_evict = ?' USING '';
    ELSE
      SET GLOBAL wsrep_provider_options = CONCAT('evs.join_retrans_period=PT', seconds, 'S;evs.evict=');
    END IF;
`,
	},
	KindMySQL: {
		status: "performance_schema.global_status",
		// All that names a variable of wsrep is prepared: a MySQL without wsrep takes the
		// procedure, too, and says not-primary.
		enter: `  SET @haproxyd_sync_wait = NULL, @haproxyd_options = NULL;
  BEGIN
    DECLARE EXIT HANDLER FOR 1193 BEGIN END; -- no such variable: a server without Galera, which is refused below
` + prepared("    ", "'SELECT @@SESSION.wsrep_sync_wait, @@GLOBAL.wsrep_provider_options INTO @haproxyd_sync_wait, @haproxyd_options'") +
			prepared("    ", "'SET SESSION wsrep_sync_wait = 0'") + "  END;\n",
		look: `  SET old_period = TRIM(SUBSTRING_INDEX(SUBSTRING_INDEX(SUBSTRING_INDEX(
    @haproxyd_options, 'evs.join_retrans_period', -1), ';', 1), '=', -1));
`,
		leave: "IF @haproxyd_sync_wait IS NOT NULL THEN\n" +
			prepared("      ", "CONCAT('SET SESSION wsrep_sync_wait = ', CAST(@haproxyd_sync_wait AS UNSIGNED))") + "    END IF;",
		evict: prepared("    ", "CONCAT('SET GLOBAL wsrep_provider_options = ''evs.join_retrans_period=PT', seconds, 'S;evs.evict=', victim, '''')"),
		clear: prepared("    ", "CONCAT('SET GLOBAL wsrep_provider_options = ''evs.join_retrans_period=PT', seconds, 'S;evs.evict=''')"),
	},
}

// prepared runs a statement that is made of a text. MySQL takes it from a variable of the
// session only.
func prepared(indent, text string) string {
	return indent + "SET @haproxyd_statement = " + text + ";\n" +
		indent + "PREPARE haproxyd_statement FROM @haproxyd_statement;\n" +
		indent + "EXECUTE haproxyd_statement;\n" +
		indent + "DEALLOCATE PREPARE haproxyd_statement;\n"
}

const (
	text = "VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin"
	// The shape of a period. The flags of regular expressions are the caller's to set on
	// MariaDB (default_regex_flags: MULTILINE), so a pattern alone proves nothing of a text
	// with a line feed. What it may not contain is searched for as well, and only the number
	// that it is goes on.
	period = "'^(PT[0-9]{1,2}([.][0-9]{1,6})?S|[0-9]{1,2}([.][0-9]{1,6})?)$'"
	// A UUID's pattern has one length, which is compared as well, for the same reason.
	uuid = "'^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'"
)

// seen is what is read at once, and the columns that it becomes.
var seen = []struct{ variable, column string }{
	{"wsrep_cluster_conf_id", "conf_id"},
	{"wsrep_cluster_status", "cluster_status"},
	{"wsrep_evs_state", "evs_state"},
	{"wsrep_cluster_size", "cluster_size"},
	{"wsrep_gcomm_uuid", "gcomm_uuid"},
	{"wsrep_evs_evict_list", "evict_list"},
}

// body is a procedure from its arguments to its end.
func (c Config) body(name string) string {
	d := dialects[c.Kind]
	var b strings.Builder
	if name == ProcedureClear {
		b.WriteString("(IN new_period " + text + ")\n")
	} else {
		b.WriteString("(\n  IN victim " + text + ",\n  IN expected_conf_id BIGINT UNSIGNED,\n  IN new_period " + text + ")\n")
	}
	b.WriteString("  SQL SECURITY DEFINER\nBEGIN\n" + d.declare +
		"  DECLARE outcome, old_period, evict_list_now" + columns(", seen_") + " VARCHAR(2048) CHARACTER SET utf8mb4;\n" +
		"  DECLARE seconds DECIMAL(8,6);\n  DECLARE members INT;\n" +
		"  DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN\n    " + d.leave + "\n    RESIGNAL;\n  END;\n" +
		d.enter + d.look + c.read())
	if name != ProcedureClear {
		b.WriteString("  SELECT COUNT(*) INTO members FROM mysql.wsrep_cluster_members WHERE node_uuid = CONVERT(victim USING utf8mb4);\n")
	}
	b.WriteString("  IF " + wellFormed("new_period") + " THEN\n" +
		"    SET seconds = TRIM(TRAILING 'S' FROM TRIM(LEADING 'PT' FROM new_period));\n  END IF;\n" +
		"  SET outcome = CASE\n" + conditions(name) + "  END;\n")
	if name == ProcedureClear {
		b.WriteString("  IF outcome = '" + OutcomeCleared + "' THEN\n" + d.clear + "  END IF;\n")
	} else {
		b.WriteString("  IF outcome = '" + OutcomeEvicted + "' THEN\n" + d.evict + "  END IF;\n")
	}
	b.WriteString("  SELECT VARIABLE_VALUE INTO evict_list_now FROM " + d.status + " WHERE VARIABLE_NAME = 'wsrep_evs_evict_list';\n" +
		"  " + d.leave + "\n  SELECT outcome")
	for _, s := range seen {
		b.WriteString(", seen_" + s.column + " AS " + s.column)
	}
	b.WriteString(", old_period AS join_retrans_period, evict_list_now;\nEND")
	return b.String()
}

func columns(before string) string {
	var b strings.Builder
	for _, s := range seen {
		b.WriteString(before + s.column)
	}
	return b.String()
}

// read looks at all status variables at once.
func (c Config) read() string {
	var values, names []string
	for _, s := range seen {
		values = append(values, "MAX(IF(VARIABLE_NAME = '"+s.variable+"', VARIABLE_VALUE, NULL))")
		names = append(names, "'"+s.variable+"'")
	}
	return "  SELECT " + strings.Join(values, ",\n      ") + "\n    INTO " + columns(", seen_")[2:] +
		"\n    FROM " + dialects[c.Kind].status + "\n    WHERE VARIABLE_NAME IN (" + strings.Join(names, ", ") + ");\n"
}

func wellFormed(name string) string {
	return name + " REGEXP " + period + " AND " + name + " NOT REGEXP '[^0-9PTS.]'"
}

// conditions end at the first that is not met. What is not there (NULL) meets none.
func conditions(name string) string {
	type condition struct{ unless, outcome string }
	all := []condition{{"seconds BETWEEN 0.1 AND 60", OutcomeMalformedPeriod}}
	done := OutcomeCleared
	if name != ProcedureClear {
		size := "seen_cluster_size >= 3"
		if name == ProcedureEvictLast {
			size = "seen_cluster_size = 2"
		}
		done = OutcomeEvicted
		all = append(all,
			condition{"(CHAR_LENGTH(victim) = 36 AND victim REGEXP " + uuid + ")", OutcomeMalformedUUID},
			condition{"seen_cluster_status = 'Primary'", OutcomeNotPrimary},
			condition{"CAST(seen_conf_id AS UNSIGNED) = expected_conf_id", OutcomeOtherConfID},
			condition{"seen_evs_state = 'OPERATIONAL'", OutcomeNotOperational},
			condition{"seen_gcomm_uuid <> CONVERT(victim USING utf8mb4)", OutcomeOwnUUID},
			condition{"members = 1", OutcomeNotAMember},
			condition{size, OutcomeWrongSize},
			condition{"seen_evict_list = ''", OutcomeListNotEmpty},
			condition{"(" + wellFormed("old_period") + ")", OutcomePeriodUnknown})
	}
	var b strings.Builder
	for _, c := range all {
		b.WriteString("    WHEN (" + c.unless + ") IS NOT TRUE THEN '" + c.outcome + "'\n")
	}
	b.WriteString("    ELSE '" + done + "'\n")
	return b.String()
}
