package control

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/evict"
	"github.com/haproxy-peers/haproxy-peers/control/galera"
	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
	"github.com/haproxy-peers/haproxy-peers/control/notify"
	"github.com/haproxy-peers/haproxy-peers/control/scrape"
	"github.com/haproxy-peers/haproxy-peers/control/serving"
	"github.com/haproxy-peers/haproxy-peers/control/steer"
)

// What a proxy does without a majority (Config.OnNoMajority).
const (
	NoMajorityNative = "native" // HAProxy's own checks and stickiness rule
	NoMajorityFence  = "fence"  // after Config.FenceAfter it serves nobody
)

// UIOff is a Config.UIBind: no page.
const UIOff = "off"

// Config is what a daemon needs to know. Every duration has a default; zero
// means "the default".
type Config struct {
	// Name is this member's stable name, the local peer's name in haproxy.cfg.
	Name string
	// Version is shown to the other members and by `haproxyctl version`.
	Version string
	// Files are the haproxy.cfg files, in HAProxy's own order, read as one.
	Files []string
	// Backends are the sticky backends of the database, where haproxy.cfg has others that
	// have no server in common with them; none where it can be told.
	Backends []string
	// DataDir keeps the replicated record and what HAProxy last did.
	DataDir string
	// AdminSocket is the path of the admin API's unix socket.
	AdminSocket string
	// HTTPBind is ADDR:PORT of /beacon, /healthz, /readyz, /metrics and /active.
	HTTPBind string
	// AdminBind is ADDR:PORT of the admin API for who has a certificate, "" for none, and AdminCerts its files.
	AdminBind  string
	AdminCerts serving.Certificates
	// Scrape is a listener of the metrics' own.
	Scrape scrape.Config
	// UIBind is ADDR:PORT of the page for people, UIOff for none.
	UIBind string
	// Observe: watch and report, never write.
	Observe bool
	// Witness: a voter without a HAProxy.
	Witness bool
	// Policy is what may be chosen about decisions.
	Policy decide.Policy
	// InitialVoters are the voters of a first start where the peers section does
	// not name them: one that has the local peer alone. Empty: the peers.
	InitialVoters []string
	// Warnings are sentences on how this daemon is set up, which status shows as
	// long as it runs: a gossip without a key.
	Warnings []string
	// RewriteConfig lets the daemon put the active first in a haproxy.cfg that
	// haproxyctl rendered, after a move, so that a HAProxy that starts before
	// its daemon starts right. Files that are not ours are never touched.
	RewriteConfig bool

	// ProbeUser and ProbePasswordFile are what `haproxyctl check` logs in with when
	// the daemon does not answer; it finds them beside the admin socket.
	ProbeUser, ProbePasswordFile string
	// ProbeSSL says how to encrypt that connection.
	ProbeSSL conn.SSL
	// Canary says that the probe commits on every node (galera.CanaryConfig).
	Canary bool
	// Evict is whether a dead database process is evicted from Galera's view: evict.ModeGone (the default),
	// ModeSilent or ModeOff. It needs rights that an operator gives (haproxyctl galera grants).
	Evict string
	// EvictLast: the last of two database nodes is kept primary, if every voter says that the other one's process is gone.
	EvictLast bool
	// Receivers are told of events.
	Receivers []notify.Receiver
	// OnBlind is what a proxy does that cannot reach the active: BlindFence (the
	// default), BlindFollow or BlindServe.
	OnBlind string
	// OnNoMajority is what it does without a majority: NoMajorityNative (the
	// default) or NoMajorityFence after FenceAfter (default 3 s).
	OnNoMajority string
	FenceAfter   time.Duration
	// Readers is what reader backends do with the active: ReadersAll (the default)
	// leaves them alone, ReadersExcludeActive drains it there.
	Readers string

	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Gatherer   prometheus.Gatherer
}

// withDefaults fills what is zero.
func (c Config) withDefaults() Config {
	c.FenceAfter = cmp.Or(c.FenceAfter, 3*time.Second)
	c.Evict = cmp.Or(c.Evict, evict.ModeGone)
	c.OnBlind = cmp.Or(c.OnBlind, steer.BlindFence)
	c.OnNoMajority = cmp.Or(c.OnNoMajority, NoMajorityNative)
	c.UIBind = cmp.Or(c.UIBind, UIOff)
	c.Readers = cmp.Or(c.Readers, steer.ReadersAll)
	c.Policy.Follow = c.OnBlind == steer.BlindFollow
	if c.OnNoMajority == NoMajorityFence {
		c.Policy.FenceAfter = c.FenceAfter
	}
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	return c
}

// Validate tells everything that is missing or contradicts itself.
func (c *Config) Validate() error {
	var errs []error
	if c.Name == "" {
		errs = append(errs, errors.New("name: empty; give --name, or a hostname that is a peer in haproxy.cfg"))
	}
	if len(c.Files) == 0 {
		errs = append(errs, errors.New("haproxy-cfg: no file; the daemon learns everything from it"))
	}
	if c.DataDir == "" {
		errs = append(errs, errors.New("data-dir: empty"))
	}
	if c.AdminSocket == "" {
		errs = append(errs, errors.New("admin-socket: empty"))
	}
	if c.HTTPBind == "" {
		errs = append(errs, errors.New("http-bind: empty"))
	}
	if none := (serving.Certificates{}); c.AdminBind == "" && c.AdminCerts != none {
		errs = append(errs, errors.New("admin-tls-cert, admin-tls-key and admin-tls-client-ca are for admin-bind, which is not given"))
	}
	if a := c.AdminCerts; c.AdminBind != "" && (a.Cert == "" || a.Key == "" || a.ClientCA == "") {
		errs = append(errs, errors.New("admin-bind takes orders from who has a certificate: give admin-tls-cert, admin-tls-key and admin-tls-client-ca"))
	}
	if _, _, err := net.SplitHostPort(c.UIBind); err != nil && c.UIBind != "" && c.UIBind != UIOff {
		errs = append(errs, fmt.Errorf("ui-bind %q: give ADDR:PORT, or off", c.UIBind))
	}
	if err := c.Scrape.Validate(); err != nil {
		errs = append(errs, err)
	}
	if err := c.ProbeSSL.Validate(); err != nil {
		errs = append(errs, err)
	}
	if c.Observe && c.Witness {
		errs = append(errs, errors.New("observe and witness: a witness has no HAProxy to observe; give one of them"))
	}
	oneOf := func(flag, value string, known ...string) {
		if value != "" && !slices.Contains(known, value) {
			errs = append(errs, fmt.Errorf("%s %q: give %s", flag, value, strings.Join(known, ", ")))
		}
	}
	if c.EvictLast && c.Evict == evict.ModeOff {
		errs = append(errs, errors.New("evict-last with evict off: it does nothing; leave one of them away"))
	}
	oneOf("evict", c.Evict, evict.ModeGone, evict.ModeSilent, evict.ModeOff)
	oneOf("on-blind", c.OnBlind, steer.BlindFence, steer.BlindFollow, steer.BlindServe)
	oneOf("on-no-majority", c.OnNoMajority, NoMajorityNative, NoMajorityFence)
	oneOf("readers", c.Readers, steer.ReadersAll, steer.ReadersExcludeActive)
	for _, class := range c.Policy.Leave {
		oneOf("leave", class, string(galera.ClassMaintenance), string(galera.ClassDonor), string(galera.ClassReadOnly))
	}
	if c.FenceAfter < 0 || c.FenceAfter > 0 && c.FenceAfter < 2*time.Second {
		errs = append(errs, fmt.Errorf("fence-after %v: at least 2s, or an election would fence everybody", c.FenceAfter))
	}
	if c.Policy.LeaveTimeout < 0 {
		errs = append(errs, fmt.Errorf("leave-timeout: %v is negative", c.Policy.LeaveTimeout))
	}
	if c.Policy.MinStay < 0 {
		errs = append(errs, fmt.Errorf("min-stay: %v is negative", c.Policy.MinStay))
	}
	if c.Policy.MaxLag < 0 {
		errs = append(errs, fmt.Errorf("max-lag: %d is negative (0: no limit)", c.Policy.MaxLag))
	}
	if c.Policy.MaxAutoMoves < 0 {
		errs = append(errs, fmt.Errorf("max-auto-moves: %d is negative", c.Policy.MaxAutoMoves))
	}
	return errors.Join(errs...)
}
