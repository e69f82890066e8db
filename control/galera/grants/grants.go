package grants

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Kind is a family of servers with one dialect.
type Kind string

// The kinds. MySQL is also Percona XtraDB Cluster.
const (
	KindMariaDB Kind = "mariadb"
	KindMySQL   Kind = "mysql"
)

// Kinds are all of them.
func Kinds() []Kind { return []Kind{KindMariaDB, KindMySQL} }

// Part is something that the daemon does and that needs rights of its own.
type Part string

// The parts, in the order in which they are written.
const (
	PartProbe     Part = "probe"
	PartDrain     Part = "drain"
	PartCanary    Part = "canary"
	PartEvict     Part = "evict"
	PartEvictLast Part = "evict-last"
)

// Parts are all of them.
func Parts() []Part {
	return []Part{PartProbe, PartDrain, PartCanary, PartEvict, PartEvictLast}
}

// DefaultParts are those that cost nobody anything: without [PartEvictLast], which trades
// the safety of two nodes that are cut from each other.
func DefaultParts() []Part { return []Part{PartProbe, PartDrain, PartCanary, PartEvict} }

// Evicts tells whether the part is one of those that change the group's members.
func (p Part) Evicts() bool { return p == PartEvict || p == PartEvictLast }

// Schema has the procedures. It is not the canary's: the account may create there.
const Schema = "haproxyd_galera"

// Names of the procedures in [Schema].
const (
	ProcedureEvict     = "evict"
	ProcedureEvictLast = "evict_last"
	ProcedureClear     = "clear_evicted"
)

// Definer is the account that the procedures run as. It is locked.
const Definer = "'haproxyd_definer'@'localhost'"

// Defaults of the fields of [Config].
const (
	DefaultUser         = "haproxyd"
	DefaultHost         = "%"
	DefaultCanarySchema = "haproxyd"
)

// Config says what is wanted.
type Config struct {
	Kind Kind
	// User and Host are the daemon's account, as CREATE USER has them.
	User, Host string
	// Parts are what it is for.
	Parts []Part
	// CanarySchema is where the canary has its table (--canary-schema).
	CanarySchema string
}

// Names and hosts are put between quotes, which nothing here can end, whatever sql_mode
// makes of a backslash. MySQL's user names have at most 32 characters.
var (
	userName   = regexp.MustCompile(`^[0-9A-Za-z_.$-]{1,32}$`)
	hostName   = regexp.MustCompile(`^[0-9A-Za-z_.%:/-]{1,255}$`)
	schemaName = regexp.MustCompile(`^[0-9A-Za-z_$]{1,64}$`)
)

// Validate reports everything that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	if !slices.Contains(Kinds(), c.Kind) {
		errs = append(errs, fmt.Errorf("%q is no kind of server: give %s", c.Kind, list(Kinds())))
	}
	if !userName.MatchString(c.User) {
		errs = append(errs, fmt.Errorf("the user %q must be 1 to 32 letters, digits, _, ., $ or -", c.User))
	}
	if !hostName.MatchString(c.Host) {
		errs = append(errs, fmt.Errorf("the host %q must be letters, digits, ., %%, :, /, _ or -", c.Host))
	}
	if !schemaName.MatchString(c.CanarySchema) {
		errs = append(errs, fmt.Errorf("the canary's schema %q must be up to 64 letters, digits, _ or $", c.CanarySchema))
	}
	if len(c.Parts) == 0 {
		errs = append(errs, fmt.Errorf("no part is wanted: give some of %s", list(Parts())))
	}
	for _, p := range c.Parts {
		if !slices.Contains(Parts(), p) {
			errs = append(errs, fmt.Errorf("%q is no part: give some of %s", p, list(Parts())))
		}
	}
	return errors.Join(errs...)
}

func list[T ~string](words []T) string {
	var s []string
	for _, w := range words {
		s = append(s, string(w))
	}
	return strings.Join(s, ", ")
}

// Account is an account as SQL has it.
func Account(user, host string) string { return "'" + user + "'@'" + host + "'" }

// Process is the statement that lets an account see the sessions of others.
func Process(account string) string { return "GRANT PROCESS ON *.* TO " + account }

// PerformanceSchema is the statement that lets it see bare BEGINs and locks, too.
func PerformanceSchema(account string) string {
	return "GRANT SELECT ON performance_schema.* TO " + account
}

// Canary is the statement that lets it make and write the canary's table. In the name of
// a schema _ stands for any character here, unless it is escaped.
func Canary(schema, account string) string {
	return "GRANT CREATE, SELECT, INSERT, UPDATE ON `" + strings.ReplaceAll(schema, "_", `\_`) + "`.* TO " + account
}

// execute is the statement that lets an account call a procedure.
func execute(procedure, account string) string {
	return "GRANT EXECUTE ON PROCEDURE " + Schema + "." + procedure + " TO " + account
}

// KindOf tells the kind of server from the version in its greeting, and the version
// without what MariaDB 10 puts before it for old replicas ("5.5.5-"). A server that
// was given another version (--version) may be taken for the wrong kind.
func KindOf(greeting string) (kind Kind, version string) {
	version, replica := strings.CutPrefix(greeting, "5.5.5-")
	if replica || strings.Contains(strings.ToLower(version), "mariadb") {
		return KindMariaDB, version
	}
	return KindMySQL, version
}
