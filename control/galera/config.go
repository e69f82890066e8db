package galera

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
)

// Defaults of the corresponding fields of [Config].
const (
	DefaultInterval = 100 * time.Millisecond
	DefaultDeadline = time.Second
)

// failures is how many failed attempts in a row are a node that is down.
const failures = 2

// confirmWithin bounds the attempt that confirms a failed one. It is short: a node that
// hangs has been waited for the whole deadline already.
const confirmWithin = 150 * time.Millisecond

// confirmPause is the time between a failed attempt and the one that confirms it.
// After an attempt that timed out there is none.
const confirmPause = 50 * time.Millisecond

// Target is one database node to probe.
type Target struct {
	// Name is the node's name, the same as that of the HAProxy server.
	Name string
	// Address is HOST:PORT. A host name is resolved anew for every connection.
	Address string
}

// Config says what to probe and how. Zero durations mean the default.
type Config struct {
	// Nodes are the nodes at the start; see [Prober.SetNodes].
	Nodes []Target
	// Account is whom to log in as; without a user New returns [conn.ErrNoUser].
	Account conn.Account
	// SSL says how the probe's connections are encrypted.
	SSL conn.SSL
	// Interval is the time from the start of a probe to that of the next.
	Interval time.Duration
	// Deadline bounds the first attempt that gets no answer, in time during which
	// this process was running. It includes connecting, if that is needed.
	Deadline time.Duration
	// Canary, if set, commits on every node in order to see whether it can. Nil is none.
	Canary *CanaryConfig
	// Witness: causal reads are asked of the other nodes while one looks as if it had ended. It costs two connections to each
	// for as long.
	Witness bool
	// EvictLast: it is asked whether the account may keep the last of two nodes.
	EvictLast bool
	// Arbitrators are the group ports (HOST:PORT) of members without a database (garbd), which count in a quorum.
	Arbitrators []string
	// ExpectUUID returns the Galera state UUID of the cluster's record, or "" while
	// there is none. It is called for every reading, from several goroutines.
	ExpectUUID func() string
	// Logger gets changes of verdicts. Nil discards them.
	Logger *slog.Logger
	// Registerer gets the metrics. Nil registers none.
	Registerer prometheus.Registerer
}

// Validate reports everything that is wrong with the configuration. A zero
// duration is right: it stands for the default.
func (c Config) Validate() error {
	var errs []error
	if c.Account.User == "" {
		errs = append(errs, conn.ErrNoUser)
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
	errs = append(errs, CheckArbitrators(c.Arbitrators))
	errs = append(errs, atLeast("probe's interval", c.Interval, time.Millisecond), atLeast("probe's deadline", c.Deadline, time.Millisecond))
	if c.Canary != nil {
		errs = append(errs, c.Canary.Validate())
	}
	errs = append(errs, c.SSL.Validate())
	return errors.Join(errs...)
}

// CheckArbitrators reports each address that is none.
func CheckArbitrators(addresses []string) error {
	var errs []error
	for _, address := range addresses {
		if conn.CheckAddress("", address) != nil {
			errs = append(errs, fmt.Errorf("arbitrator %q: give HOST:PORT, the address of its group port (10.0.0.9:4567)", address))
		}
	}
	return errors.Join(errs...)
}

// atLeast reports a duration that is set and shorter.
func atLeast(what string, d, least time.Duration) error {
	if d != 0 && d < least {
		return fmt.Errorf("galera: the %s is %v: it must be at least %v", what, d, least)
	}
	return nil
}

func (t Target) validate() error {
	if t.Name == "" {
		return fmt.Errorf("galera: the node at %q has no name", t.Address)
	}
	return conn.CheckAddress(t.Name, t.Address)
}

// opening is how the probe and the canary log in.
func (c Config) opening(life context.Context, budget time.Duration) conn.Opening {
	return conn.Opening{Account: c.Account, SSL: c.SSL, Life: life, Budget: budget}
}

// gap between two readings, and the greatest age of the last, is more than a node that
// answers ever makes.
func (c Config) gap() time.Duration { return c.Deadline + 2*c.Interval }

func (c Config) withDefaults() Config {
	c.Interval = cmp.Or(c.Interval, DefaultInterval)
	c.Deadline = cmp.Or(c.Deadline, DefaultDeadline)
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
