package lab

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// Config says what a lab consists of. The zero value is a lab of three nodes and three proxies.
type Config struct {
	// ID is the part of the namespaces' and the folder's names that tells labs apart: 1 to 6 lower-case letters or
	// digits. Default: four random hex digits.
	ID string

	// Parent is the folder in which the lab makes its own. Default: /dev/shm where it has a GiB to spare, so that no
	// disk's fsync time is measured, else os.TempDir().
	Parent string

	// Nodes is the number of database nodes, 1 to 9. Default 3. With NetworkOnly they are hosts without a database.
	Nodes int

	// Proxies is the number of proxies, 1 to 9. Default 3.
	Proxies int

	// NetworkOnly leaves the databases out: namespaces, HAProxies and daemons only, up in a tenth of a second.
	NetworkOnly bool

	// StockPeriods leaves Galera's evs.keepalive_period, evs.inactive_check_period and evs.join_retrans_period near
	// their defaults (0.5 s, 0.5 s, 1 s), as installations have them: a kill then stops the survivors for about
	// three seconds. Default false: 0.1 s each, which FastFloor needs, since Galera reads them at start only.
	StockPeriods bool

	// GaleraDefaults leaves every timing of Galera's group layer at its default, so that a kill stops the survivors for
	// six seconds. It wins over StockPeriods. Not with FastFloor.
	GaleraDefaults bool

	// MaxConnections is the nodes' max_connections. Default 400.
	MaxConnections int

	// Server is the folder of another MariaDB than the installed one, as e2e/mariadb-server.sh unpacks it: it holds mariadbd
	// and libgalera_smm.so, and the databases' user may read it. Default: $LAB_SERVER, else the installed one.
	Server string

	// HAProxy is the haproxy binary. Default: $LAB_HAPROXY, else "haproxy" from the path.
	HAProxy string

	// Haproxyd is the daemon's binary. Default: $LAB_HAPROXYD, else "haproxyd" from the path. Looked up when a daemon
	// is started, so a lab without daemons needs none.
	Haproxyd string

	// Haproxyctl is the admin command's binary. Default: $LAB_HAPROXYCTL, else "haproxyctl" from the path.
	Haproxyctl string

	// Logger receives what the lab does. Default: discarded.
	Logger *slog.Logger
}

const (
	defaultHosts          = 3
	maxHosts              = 9
	defaultMaxConnections = 400
	// leastMaxConnections leaves room for the load's clients, probes and the lab's own connections.
	leastMaxConnections = 20
)

var labID = regexp.MustCompile(`^[a-z0-9]{1,6}$`)

// withDefaults returns the configuration with every empty field filled in. It does not judge what was given.
func (c Config) withDefaults() Config {
	if c.Nodes == 0 {
		c.Nodes = defaultHosts
	}
	if c.Proxies == 0 {
		c.Proxies = defaultHosts
	}
	if c.MaxConnections == 0 {
		c.MaxConnections = defaultMaxConnections
	}
	c.Server = firstOf(c.Server, os.Getenv("LAB_SERVER"))
	c.HAProxy = firstOf(c.HAProxy, os.Getenv("LAB_HAPROXY"), "haproxy")
	c.Haproxyd = firstOf(c.Haproxyd, os.Getenv("LAB_HAPROXYD"), "haproxyd")
	c.Haproxyctl = firstOf(c.Haproxyctl, os.Getenv("LAB_HAPROXYCTL"), "haproxyctl")
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// mariadbd is the databases' program.
func (c Config) mariadbd() string {
	if c.Server == "" {
		return "mariadbd"
	}
	return filepath.Join(c.Server, "mariadbd")
}

// provider is the databases' Galera.
func (c Config) provider() string {
	if c.Server == "" {
		return "/usr/lib/galera/libgalera_smm.so"
	}
	return filepath.Join(c.Server, "libgalera_smm.so")
}

// Validate names every field that cannot be used, in one error (errors.Join). Zero values are valid.
func (c Config) Validate() error {
	var errs []error
	if c.ID != "" && !labID.MatchString(c.ID) {
		errs = append(errs, fmt.Errorf("config: ID %q: 1 to 6 lower-case letters or digits", c.ID))
	}
	if c.Nodes < 0 || c.Nodes > maxHosts {
		errs = append(errs, fmt.Errorf("config: Nodes %d: 1 to %d", c.Nodes, maxHosts))
	}
	if c.Proxies < 0 || c.Proxies > maxHosts {
		errs = append(errs, fmt.Errorf("config: Proxies %d: 1 to %d", c.Proxies, maxHosts))
	}
	if c.MaxConnections != 0 && c.MaxConnections < leastMaxConnections {
		errs = append(errs, fmt.Errorf("config: MaxConnections %d: at least %d", c.MaxConnections, leastMaxConnections))
	}
	if c.Parent != "" {
		if info, err := os.Stat(c.Parent); err != nil {
			errs = append(errs, fmt.Errorf("config: Parent: %w", err))
		} else if !info.IsDir() {
			errs = append(errs, fmt.Errorf("config: Parent %q is not a folder", c.Parent))
		}
	}
	return errors.Join(errs...)
}

// Requirements returns nil if this machine can run the lab of a configuration, else one error that names everything
// that is missing. Tests skip with it.
func Requirements(c Config) error {
	c = c.withDefaults()
	var missing []string
	if os.Geteuid() != 0 {
		missing = append(missing, "root (network namespaces)")
	}
	need := []string{"ip", "iptables", c.HAProxy}
	if !c.NetworkOnly {
		need = append(need, c.mariadbd(), "mariadb-install-db", "rsync", "lsof", "mariadb-backup", "socat", "tc")
		if _, err := os.Stat(c.provider()); err != nil {
			missing = append(missing, c.provider())
		}
	}
	for _, name := range need {
		if _, err := exec.LookPath(name); err != nil {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s (Debian: haproxy mariadb-server mariadb-backup galera-4 rsync socat lsof iproute2 iptables)",
		ErrMissing, strings.Join(missing, ", "))
}

// ErrMissing is wrapped by the error of Requirements.
var ErrMissing = errors.New("this machine cannot run the lab, it lacks")

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
