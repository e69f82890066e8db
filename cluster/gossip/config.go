package gossip

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/prometheus/client_golang/prometheus"
)

// Limits of what fits into the metadata, which memberlist bounds at 512 bytes.
const (
	// MaxName is the longest stable name, in bytes.
	MaxName = 128
	// maxVersion is the longest daemon version that is spread; a longer one is cut.
	maxVersion = 64
)

// Config configures a Gossip. Name, Label and Bind are required.
type Config struct {
	// Meta is what the members are told of this one at first; SetMeta changes
	// it later. Meta.Name, the stable name, is required.
	Meta Meta

	// Label is put on every packet and stream, and is authenticated when there
	// is a key. Packets with another label are dropped, so that two
	// installations on one network never mix. Required.
	Label string

	// Bind is the ADDR:PORT to listen on, for both UDP and TCP. ADDR must be an
	// IP address. Port 0 takes a free one (tests).
	Bind string

	// Advertise is the ADDR:PORT or HOST:PORT that others are told. Empty means
	// the bind address or, if that is unspecified (0.0.0.0), the address from
	// which this machine reaches the first join host.
	Advertise string

	// KeyFile holds the encryption keys, one base64 or hex key of 16, 24 or 32
	// bytes per line, the first being the one to encrypt with and all of them
	// being accepted. It is read again when it changes. A file that the group or
	// others may write is refused. Empty: no encryption, which is refused
	// (*SecurityError) unless Bind is a loopback address or Insecure is set.
	KeyFile string
	// Encrypt says what is sent and taken where there is a KeyFile; empty is
	// EncryptRequire.
	Encrypt Encrypt
	// Insecure allows a gossip without a KeyFile on an address that others reach.
	Insecure bool

	// Join lists the HOST:PORT of first members. They are resolved again every 15 s,
	// so that a member that came back at a new address, or an
	// island left by a restart of everything, is found.
	Join []string

	// Deliver receives the direct messages to this member. It is called from
	// one goroutine and must not block. Required.
	Deliver func(Message)

	// Changed is called after the members, a view or the record changed. It is
	// called from several goroutines, sometimes under memberlist's lock: it must
	// not block, nor call anything here.
	Changed func()

	// Status returns what a publication of this member's view says beside the
	// data. It is called at the moment of each publication, from several
	// goroutines, and must not block. Required.
	Status func() Status

	// Offered receives the records that other members spread. Nothing but
	// PublishRecord changes the record that this member keeps and spreads: a
	// record is one sender's word, and the largest order would keep every true
	// one from spreading. It is called from one goroutine, each record at most
	// once a second, must not block, and Data must not be modified.
	Offered func(Record)

	// Confirm is asked whether another live process of this member's name, on
	// the disk of its metadata, has the better right to it. This process stops
	// for it once it is settled itself only if that is so. It must not block.
	// nil: it never is.
	Confirm func(rival Member) bool

	// Logger receives what happens; nil discards it.
	Logger *slog.Logger
	// Registerer receives the metrics; nil keeps them private.
	Registerer prometheus.Registerer
	// Resolver resolves the hosts of Join; nil is net.DefaultResolver.
	Resolver Resolver
	// Transport replaces the sockets (tests); nil opens them on Bind.
	Transport memberlist.NodeAwareTransport

	// times are in a test's hurry, and maxMembers the crowd that it can make; zero
	// values are the defaults.
	times      times
	maxMembers int
}

// times are how often what is repeated is done.
type times struct {
	// pushPull is the time between two complete exchanges with a random member;
	// default 10 s.
	pushPull time.Duration
	// resolve is the time between two resolutions of Join; default 15 s.
	resolve time.Duration
	// keys is the time between two looks at KeyFile; default 2 s.
	keys time.Duration
	// beat is the time between two repetitions of an unchanged voter's view;
	// default 500 ms.
	beat time.Duration
}

const (
	// probeInterval is the time between two probes of a member, probeTimeout how
	// long a probe waits for its answer.
	probeInterval, probeTimeout = 500 * time.Millisecond, 200 * time.Millisecond
	// gossipInterval is the time between two rounds of the queue.
	gossipInterval = 100 * time.Millisecond
	// streamTimeout bounds every stream to another member.
	streamTimeout = 2 * time.Second
)

// Validate reports everything that is wrong with c, joined.
func (c Config) Validate() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf("gossip: "+format, args...)) }
	switch {
	case c.Meta.Name == "":
		fail("the name is empty: give this member the name that the others know it by")
	case len(c.Meta.Name) > MaxName:
		fail("the name %q is longer than %d bytes", c.Meta.Name, MaxName)
	}
	switch {
	case c.Label == "":
		fail("the label is empty: give all members of one installation the same label")
	case len(c.Label) > memberlist.LabelMaxSize:
		fail("the label %q is longer than %d bytes", c.Label, memberlist.LabelMaxSize)
	}
	if c.Deliver == nil {
		fail("no receiver for direct messages")
	}
	if c.Status == nil {
		fail("no source of the view's status")
	}
	if host, _, err := splitHostPort(c.Bind); err != nil {
		fail("bind address %q: %w", c.Bind, err)
	} else if net.ParseIP(host) == nil {
		fail("bind address %q: the host must be an IP address", c.Bind)
	}
	if err := c.checkOpen(); err != nil {
		errs = append(errs, err)
	}
	if c.Advertise != "" {
		if host, port, err := splitHostPort(c.Advertise); err != nil {
			fail("advertise address %q: %w", c.Advertise, err)
		} else if ip := net.ParseIP(host); port == 0 || (ip != nil && ip.IsUnspecified()) {
			fail("advertise address %q: others cannot reach that; give an address and a port of this machine", c.Advertise)
		}
	}
	for _, j := range c.Join {
		if _, port, err := splitHostPort(j); err != nil {
			fail("join address %q: %w", j, err)
		} else if port == 0 {
			fail("join address %q: the port is 0", j)
		}
	}
	return errors.Join(errs...)
}

// withDefaults returns c with the zero values replaced.
func (c Config) withDefaults() Config {
	c.times.pushPull = cmp.Or(c.times.pushPull, 10*time.Second)
	c.times.resolve = cmp.Or(c.times.resolve, 15*time.Second)
	c.times.keys = cmp.Or(c.times.keys, 2*time.Second)
	c.times.beat = cmp.Or(c.times.beat, 500*time.Millisecond)
	c.maxMembers = cmp.Or(c.maxMembers, maxMembers)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Registerer == nil {
		c.Registerer = prometheus.NewRegistry()
	}
	if c.Resolver == nil {
		c.Resolver = net.DefaultResolver
	}
	if c.Changed == nil {
		c.Changed = func() {}
	}
	if c.Offered == nil {
		c.Offered = func(Record) {}
	}
	return c
}

// splitHostPort splits ADDR:PORT and checks the port.
func splitHostPort(s string) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(s)
	if err != nil {
		return "", 0, fmt.Errorf("want HOST:PORT: %w", err)
	}
	if strings.TrimSpace(host) == "" {
		return "", 0, errors.New("want HOST:PORT: the host is empty")
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("want HOST:PORT: %q is no port", p)
	}
	return host, int(n), nil
}
