package cluster

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/hashicorp/memberlist"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/haproxy-peers/haproxy-peers/cluster/gossip"
)

// DefaultLabel is the gossip label of an installation that sets none.
const DefaultLabel = "haproxyd"

// Config configures a Cluster. Name, DataDir and GossipBind are required.
type Config struct {
	// Name is this member's stable name, the same after every restart. It must
	// be unique: a second live process with it is refused (*gossip.NameTakenError).
	Name string
	// DataDir holds the register's state file. It must survive restarts; a
	// member that lost it comes back as a new voter that the others must admit.
	DataDir string
	// Label keeps installations on one network apart. Default DefaultLabel.
	Label string
	// GossipBind is the ADDR:PORT to listen on, UDP and TCP. ADDR is an IP.
	GossipBind string
	// GossipAdvertise is the ADDR:PORT that others are told. Default: the bind
	// address or, if that is unspecified, the one from which the first member
	// to join is reached.
	GossipAdvertise string
	// KeyFile holds the encryption keys, one base64 or hex key per line, the
	// first being the primary one. Read again when it changes. Empty: none, which
	// is refused (*gossip.SecurityError) unless GossipBind is a loopback address or
	// Insecure is set.
	KeyFile string
	// Encrypt says what the gossip sends and takes where there is a KeyFile;
	// empty is gossip.EncryptRequire.
	Encrypt gossip.Encrypt
	// Insecure allows a gossip without a KeyFile on an address that others reach.
	Insecure bool
	// Join lists the HOST:PORT of the first members; resolved again every 15 s.
	Join []string
	// InitialVoters are the names of the voters of a first start. Empty: this
	// member founds nothing, it waits to be taken in.
	InitialVoters []string
	// Reads says why this version cannot act on a value of the record; such a member
	// stops voting until it is upgraded. Nil takes every value.
	Reads func(value []byte) error
	// BootstrapExpect, if not 0, keeps a first start from happening by itself
	// with fewer initial voters than that; see register.Config.
	BootstrapExpect int
	// MaxVoters is the largest number of voters. Default 5.
	MaxVoters int
	// Witness marks a member without a HAProxy, for the others to see.
	Witness bool
	// Observe marks a member that never writes, for the others to see. It votes
	// on the record like any other: a vote touches no HAProxy.
	Observe bool
	// Version is the daemon's version, for people.
	Version string

	// Logger receives what happens; nil discards it.
	Logger *slog.Logger
	// Registerer receives the metrics; nil keeps them private.
	Registerer prometheus.Registerer

	// Transport replaces the gossip's sockets (tests).
	Transport memberlist.NodeAwareTransport
}

// Validate reports everything that is wrong with c, joined.
func (c Config) Validate() error {
	var errs []error
	if c.DataDir == "" {
		errs = append(errs, errors.New("cluster: the data directory is not set: name one that survives restarts"))
	}
	if c.MaxVoters < 0 || c.MaxVoters > 9 {
		errs = append(errs, fmt.Errorf("cluster: at most %d voters make no sense: take 1 to 9", c.MaxVoters))
	}
	if c.BootstrapExpect < 0 {
		errs = append(errs, fmt.Errorf("cluster: %d initial voters cannot be expected: take 0 (off) or more", c.BootstrapExpect))
	}
	for i, name := range c.InitialVoters {
		if name == "" {
			errs = append(errs, errors.New("cluster: an initial voter has no name"))
		} else if slices.Contains(c.InitialVoters[:i], name) {
			errs = append(errs, fmt.Errorf("cluster: the initial voter %q is named twice", name))
		}
	}
	errs = append(errs, c.gossip(gossip.Meta{Name: c.Name}, nil).Validate())
	return errors.Join(errs...)
}

// gossip returns the gossip's part of the configuration. A nil cluster gives
// one that can be validated, not run.
func (c Config) gossip(meta gossip.Meta, of *Cluster) gossip.Config {
	return gossip.Config{
		Meta: meta, Label: cmp.Or(c.Label, DefaultLabel), Bind: c.GossipBind, Advertise: c.GossipAdvertise,
		KeyFile: c.KeyFile, Encrypt: c.Encrypt, Insecure: c.Insecure, Join: c.Join,
		Deliver: of.deliver, Changed: of.gossipChanged, Status: of.viewStatus, Offered: of.offered, Confirm: of.confirm,
		Logger: c.Logger, Registerer: c.Registerer, Transport: c.Transport,
	}
}
