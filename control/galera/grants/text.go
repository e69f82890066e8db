package grants

import (
	"slices"
	"strings"
)

// section is one part of the text.
type section struct {
	comment    []string // lines
	statements []string // without a delimiter
	after      []string // lines of a comment
}

// SQL is the text for the command line client (mariadb, mysql), which takes it from a
// pipe as well as pasted. It may be run again: what is there already is kept, but
// the procedures are replaced.
func SQL(c Config) (string, error) {
	sections, err := sections(c)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for i, s := range sections {
		if i > 0 {
			b.WriteString("\n")
		}
		writeComment(&b, s.comment)
		for _, statement := range s.statements {
			writeStatement(&b, statement)
		}
		writeComment(&b, s.after)
	}
	return b.String(), nil
}

// Statements are the statements of [SQL], one by one, for a driver. They set sql_mode, so
// they belong on one connection, which then has it back.
func Statements(c Config) ([]string, error) {
	sections, err := sections(c)
	var all []string
	for _, s := range sections {
		all = append(all, s.statements...)
	}
	return all, err
}

func writeComment(b *strings.Builder, lines []string) {
	for _, line := range lines {
		b.WriteString(strings.TrimRight("-- "+line, " ") + "\n")
	}
}

// writeStatement ends a statement. The client splits at each ; unless it is told of
// another delimiter.
func writeStatement(b *strings.Builder, statement string) {
	if strings.Contains(statement, ";") {
		b.WriteString("DELIMITER //\n" + statement + "//\nDELIMITER ;\n")
		return
	}
	b.WriteString(statement + ";\n")
}

func sections(c Config) ([]section, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	account := Account(c.User, c.Host)
	wanted := func(p Part) bool { return slices.Contains(c.Parts, p) }
	all := []section{head(c)}
	if wanted(PartProbe) {
		all = append(all, probe(account))
	}
	if wanted(PartDrain) {
		all = append(all, drain(account))
	}
	if wanted(PartCanary) {
		all = append(all, canary(c.CanarySchema, account))
	}
	if slices.ContainsFunc(c.Parts, Part.Evicts) {
		all = append(all, c.definer(), c.procedure(ProcedureClear, account))
	}
	if wanted(PartEvict) {
		all = append(all, c.procedure(ProcedureEvict, account))
	}
	if wanted(PartEvictLast) {
		all = append(all, c.procedure(ProcedureEvictLast, account))
	}
	return all, nil
}

func head(c Config) section {
	s := section{comment: []string{
		"The rights of haproxyd's account. Run this once, on one node, as an administrator: accounts,",
		"grants and procedures are DDL, which Galera carries to all nodes (wsrep_OSU_method TOI, the default).",
	}}
	if c.Kind == KindMySQL {
		s.comment = append(s.comment, "",
			"For MySQL and Percona XtraDB Cluster 8: the accounts, grants and procedures were accepted by a MySQL without",
			"Galera. What the procedures do was READ in the manuals, NOT RUN: Percona XtraDB Cluster could not be had.")
	}
	return s
}

func probe(account string) section {
	return section{
		comment: []string{
			"probe: is a node usable? Needs no privilege but to log in. Without it HAProxy's own checks are the",
			"votes, at their own pace, and none of the other parts works.",
		},
		statements: []string{"CREATE USER IF NOT EXISTS " + account + " ACCOUNT LOCK"},
		after: []string{
			"A new account is locked until you give it the password that is in the file of --probe-password-file:",
			"  ALTER USER " + account + " IDENTIFIED BY 'PASSWORD' ACCOUNT UNLOCK;",
		},
	}
}

func drain(account string) section {
	return section{
		comment: []string{
			"drain: who is between transactions? Without the first, active set cuts sessions within transactions.",
			"The second also sees a bare BEGIN, user locks and table locks, where performance_schema is on.",
		},
		statements: []string{Process(account), PerformanceSchema(account)},
	}
}

func canary(schema, account string) section {
	return section{
		comment: []string{
			"canary (--canary): a commit of its own on every node. Without it a node that cannot commit is told from",
			"an idle one only where others commit. CREATE is for the schema and its table, which the daemon makes.",
		},
		statements: []string{Canary(schema, account)},
	}
}

// definer makes the account that the procedures run as.
func (c Config) definer() section {
	s := section{comment: []string{
		"evict and evict-last run as an account that nobody can log in as. It alone may set Galera's options, and",
		"it does so only as the procedures below say. It reads who is a member in Galera's own table.",
	}}
	create, right := "CREATE USER IF NOT EXISTS "+Definer, "SYSTEM_VARIABLES_ADMIN"
	if c.Kind == KindMariaDB {
		// 'invalid' is no password's hash: not even unlocked it lets anybody in.
		create, right = create+" IDENTIFIED VIA mysql_native_password USING 'invalid'", "SUPER"
	}
	s.statements = []string{
		create + " ACCOUNT LOCK",
		"GRANT " + right + " ON *.* TO " + Definer,
		"GRANT SELECT ON mysql.wsrep_cluster_members TO " + Definer,
		"CREATE SCHEMA IF NOT EXISTS " + Schema,
	}
	return s
}

var purposes = map[string][]string{
	ProcedureClear: {
		"evict, evict-last: empties the list of evicted members, all of it, and puts evs.join_retrans_period back.",
	},
	ProcedureEvict: {
		"evict (--evict): tells Galera that a dead node is dead. Without it every crash of a node stops all commits for",
		"Galera's own time, about 6 s by default. Does nothing unless this node is Primary at that conf_id, OPERATIONAL, in a",
		"cluster of three members or more, the list is empty, and the victim is another member.",
	},
	ProcedureEvictLast: {
		"evict-last (--evict-last): the same for the last of two: it stays Primary by itself. RISK: if the other one is not",
		"dead but cut off, and whoever calls this is wrong about it, there are two clusters with different data.",
	},
}

// procedure replaces a procedure and lets the account, and its own definer, call it:
// MariaDB asks for the definer's right, too.
func (c Config) procedure(name, account string) section {
	s := section{comment: purposes[name]}
	s.statements = append(s.statements,
		// A procedure keeps the sql_mode that it was made with, which can make it another one.
		"SET @haproxyd_sql_mode = @@SESSION.sql_mode",
		"SET SESSION sql_mode = 'STRICT_ALL_TABLES'")
	create := "CREATE OR REPLACE"
	if c.Kind == KindMySQL {
		s.statements = append(s.statements, "DROP PROCEDURE IF EXISTS "+Schema+"."+name)
		create = "CREATE"
	}
	s.statements = append(s.statements,
		create+" DEFINER = "+Definer+" PROCEDURE "+Schema+"."+name+c.body(name),
		"SET SESSION sql_mode = @haproxyd_sql_mode",
		execute(name, Definer), execute(name, account))
	return s
}
