package galera

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Defaults of the corresponding fields of [Config].
const (
	DefaultInterval        = 100 * time.Millisecond
	DefaultDeadline        = time.Second
	DefaultFailures        = 2
	DefaultConfirmDeadline = 200 * time.Millisecond
)

// confirmPause is the time between a failed attempt and the one that confirms it.
// After an attempt that timed out there is none.
const confirmPause = 50 * time.Millisecond

// ErrNoUser says that no probe user is configured. It is no mistake: the caller
// then goes by the states of HAProxy's own checks.
var ErrNoUser = errors.New("galera: no probe user is configured: set --probe-user and --probe-password-file, or rely on HAProxy's checks")

// Target is one database node to probe.
type Target struct {
	// Name is the node's name, the same as that of the HAProxy server.
	Name string
	// Address is HOST:PORT. A host name is resolved anew for every connection.
	Address string
}

// Config says what to probe and how. Zero durations and counts mean the default.
type Config struct {
	// Nodes are the nodes at the start; see [Prober.SetNodes].
	Nodes []Target
	// User is the account to log in with; without it New returns ErrNoUser.
	User string
	// PasswordFile holds the account's password, without which it is empty. The
	// file is read for every new connection, so a rotated password is picked up as
	// soon as it is there. One line end at the end is not part of the password.
	PasswordFile string
	// SSL says how the probe's connections are encrypted.
	SSL SSL
	// Interval is the time from the start of a probe to that of the next.
	Interval time.Duration
	// Deadline bounds the first attempt that gets no answer, in time during which
	// this process was running. It includes connecting, if that is needed.
	Deadline time.Duration
	// Failures is how many failed attempts in a row are a node that is down.
	Failures int
	// ConfirmDeadline is the deadline of the attempt that confirms a failed one: a node that hung
	// for Deadline is down after Deadline + ConfirmDeadline.
	ConfirmDeadline time.Duration
	// Canary, if set, commits on every node in order to see whether it can. Nil is none.
	Canary *CanaryConfig
	// StuckBy is by how many write sets another node must have gone on in order that one
	// that commits nothing counts as stuck by what can be read, see [StuckAfter].
	StuckBy int64
	// ExpectUUID returns the Galera state UUID of the cluster's record, or "" while
	// there is none. It is called for every reading, from several goroutines.
	ExpectUUID func() string
	// Logger gets changes of verdicts. Nil discards them.
	Logger *slog.Logger
	// Registerer gets the metrics. Nil registers none.
	Registerer prometheus.Registerer
}

// Validate reports everything that is wrong with the configuration. A zero
// duration or count is right: it stands for the default.
func (c Config) Validate() error {
	var errs []error
	if c.User == "" {
		errs = append(errs, ErrNoUser)
	}
	seen := make(map[string]bool, len(c.Nodes))
	for _, t := range c.Nodes {
		if err := t.validate(); err != nil {
			errs = append(errs, err)
		}
		if seen[t.Name] {
			errs = append(errs, fmt.Errorf("galera: node %q is listed twice: give every node a name of its own", t.Name))
		}
		seen[t.Name] = true
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"interval", c.Interval}, {"deadline", c.Deadline},
		{"confirm deadline", c.ConfirmDeadline},
	} {
		if d.value != 0 && d.value < time.Millisecond {
			errs = append(errs, fmt.Errorf("galera: the probe's %s is %v: it must be at least 1ms", d.name, d.value))
		}
	}
	if c.Failures < 0 {
		errs = append(errs, fmt.Errorf("galera: %d failures make a node down: it must be at least 1", c.Failures))
	}
	if c.StuckBy < 0 {
		errs = append(errs, fmt.Errorf("galera: a node is stuck when others went on by %d write sets: it must be at least 1", c.StuckBy))
	}
	if c.Canary != nil {
		errs = append(errs, c.Canary.Validate())
	}
	errs = append(errs, c.SSL.Validate())
	return errors.Join(errs...)
}

func (t Target) validate() error {
	if t.Name == "" {
		return fmt.Errorf("galera: the node at %q has no name", t.Address)
	}
	host, port, err := net.SplitHostPort(t.Address)
	if err != nil || host == "" {
		return fmt.Errorf("galera: node %q has address %q: it must be HOST:PORT", t.Name, t.Address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("galera: node %q has address %q: its port must be a number from 1 to 65535", t.Name, t.Address)
	}
	return nil
}

// login is what the probe and the canary log in with.
func (c Config) login() login {
	return login{account: Account{User: c.User, PasswordFile: c.PasswordFile}, ssl: c.SSL}
}

// stuck is the rule for what can be read. A gap of a deadline and two intervals is
// more than a node that answers ever makes.
func (c Config) stuck() stuckRule {
	return stuckRule{after: StuckAfter, by: c.StuckBy, gap: c.Deadline + 2*c.Interval}
}

func (c Config) withDefaults() Config {
	c.Interval = cmp.Or(c.Interval, DefaultInterval)
	c.Deadline = cmp.Or(c.Deadline, DefaultDeadline)
	c.ConfirmDeadline = min(cmp.Or(c.ConfirmDeadline, DefaultConfirmDeadline), c.Deadline)
	c.Failures = cmp.Or(c.Failures, DefaultFailures)
	c.StuckBy = cmp.Or(c.StuckBy, DefaultStuckBy)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	if c.Canary != nil {
		canary := c.Canary.withDefaults()
		c.Canary = &canary
	}
	if c.ExpectUUID == nil {
		c.ExpectUUID = func() string { return "" }
	}
	return c
}
