package configs

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Topology is what the daemon needs to know of a HAProxy configuration.
type Topology struct {
	// Files are the files it was read from, in order.
	Files []string
	// Sockets are the `stats socket` lines of global.
	Sockets []Socket
	Peers   []PeersSection
	// Frontends holds the frontend and listen sections, Backends the backend and listen sections; sections with
	// `disabled` are in neither, and hold frontends, which serve no client, are not among the frontends.
	Frontends []Frontend
	Backends  []Backend
	// Tables are all stick-tables, wherever they are declared.
	Tables []StickTable
	// Sticky are the backends with a stick rule that chooses a server.
	Sticky []StickyBackend
	// Steering is nil where there is no private table: then the native table is the only one (`stick on`).
	Steering *Steering
	// Services are the names of the sticky backends by the servers that they have in common, where it cannot be told which
	// are the database's; none where it can.
	Services [][]string
	// Ways are the lines by which connections of a sticky backend may go elsewhere than its tables lead.
	Ways []Way
	// Halves are the backends whose stick rules make no sticky backend.
	Halves []Way
	// LocalPeer is the name of this HAProxy: of -L (LoadAs), else of `localpeer`, else the host's name.
	// This is HAProxy's own order (section 3.1 of its manual; run on 2.6).
	LocalPeer string
	// Ours tells that one of the files was rendered by haproxyctl.
	Ours bool
	// Preferred is the order in which the nodes were given when the file was rendered; nil if it is not ours.
	Preferred []string

	// externalCheck: a sticky backend has one or, where none sticks, one in mode tcp.
	externalCheck bool
	cutShort      []Position
	// unstuck is a backend that looks like the database's, where nothing says that what sticks is.
	unstuck string
	refused []*Error

	holds    []hold
	sections []*section
}

// Socket is a stats socket.
type Socket struct {
	// Path is the unix socket's path, or ADDRESS:PORT.
	Path string
	// Level is user, operator or admin. HAProxy's default is operator.
	Level string
	// Unix tells that Path is a path.
	Unix bool
	Pos  Position
}

// PeersSection is a peers section.
type PeersSection struct {
	Name  string
	Peers []Peer
	// Shards is the number given with `shards`, 0 for none.
	Shards   int
	Disabled bool
	Pos      Position
}

// Has tells whether a peer of that name is in the section.
func (p PeersSection) Has(name string) bool {
	return slices.ContainsFunc(p.Peers, func(peer Peer) bool { return peer.Name == name })
}

// Peer is one HAProxy of a peers section. Host is empty for the local peer of a section that uses `bind` and `server`
// lines without an address.
type Peer struct {
	Name string
	Host string
	Port int
	Pos  Position
}

// Bind is one listening address. Host is empty or "*" for all addresses; Port is 0 for sockets that are no TCP ones.
type Bind struct {
	Host string
	Port int
	// Unix tells that Host is a path.
	Unix bool
	Pos  Position
}

// Frontend is a frontend or listen section.
type Frontend struct {
	Name string
	// Mode is tcp (HAProxy's default) or http.
	Mode string
	// ID is the number of an `id` line, 0 without one.
	ID             int
	Binds          []Bind
	DefaultBackend string
	// UseBackends are the fixed names of use_backend rules; Dynamic tells of rules whose name is computed.
	UseBackends []string
	Dynamic     bool
	Pos         Position

	section *section
}

// leadsTo tells whether a connection accepted here can end in that backend.
func (f Frontend) leadsTo(backend string) bool {
	return f.DefaultBackend == backend || slices.Contains(f.UseBackends, backend) ||
		f.section.kind == "listen" && f.Name == backend && f.DefaultBackend == ""
}

// Backend is a backend or listen section.
type Backend struct {
	Name string
	// Mode is tcp (HAProxy's default) or http.
	Mode    string
	Servers []Server
	Pos     Position

	section *section
}

func (b Backend) server(name string) (Server, bool) {
	return find(b.Servers, func(s Server) bool { return s.Name == name })
}

// Server is a server of a backend.
type Server struct {
	Name string
	// ID is what `show servers state` shows: the explicit one, else what HAProxy assigns.
	ID         int
	ExplicitID bool
	// Host is a name or an address as the file says it, after variables; Port is 0 where none is given.
	Host   string
	Port   int
	Backup bool
	// SendProxy tells that connections to it begin with a PROXY protocol header, of version 1 or 2: a database that
	// reads it shows the client's address in its process list, not HAProxy's.
	SendProxy bool
	Pos       Position

	opts options
	// template: it is a slot of a server-template line.
	template bool
	// mapped: the line has no port of its own, and connections go to the one that the client came to plus shift. Port is
	// that one where all clients come to the same.
	mapped bool
	shift  int
}

// Address gives host:port.
func (s Server) Address() string { return net.JoinHostPort(s.Host, strconv.Itoa(s.Port)) }

// StickTable is a stick-table.
type StickTable struct {
	// Name is what `show table` calls it: the section's name, or PEERS/NAME for one inside a peers section.
	Name string
	// Type is ip, ipv6, integer, string or binary; Length how many bytes a string table keeps of a key.
	Type   string
	Length int
	// Size is the greatest number of entries.
	Size    int
	NoPurge bool
	// Expire is how long an entry lives that nobody uses, as it is written, "" for ever.
	Expire       string
	PeersSection string
	// ByAddress: it knows its servers by their addresses (`srvkey addr`).
	ByAddress bool
	Pos       Position

	// hidden is the word for which config-parser gives up on the line, "" if it does not.
	hidden string
}

// StickyBackend is a backend whose connections follow a stick-table.
type StickyBackend struct {
	Name string
	// Table is the native table, which may belong to another section.
	Table        string
	PeersSection string
	Key          KeyExpr
	// Keys are the keys that connections can have, as `show table` prints them, sorted; nil if that cannot be known
	// in advance.
	Keys    []string
	Servers []Server
	// ByAddress: an entry that a connection has made names its server by ADDRESS:PORT, as the running HAProxy has it, and
	// not by its name (`srvkey addr`).
	ByAddress bool
	// Stores tells that every connection stores its server in the native table (`stick on`, or match with an unconditional
	// store). Else nothing is stored while the beacon is up (`stick match` and `stick store-request ... unless`).
	Stores bool
	// Steered tells that the private table of Topology.Steering has a rule here.
	Steered bool
	// HoldSocket is the path of the unix socket of a hold frontend, whose connections go to the server of
	// Steering.HoldKey; "" where new connections cannot be held.
	HoldSocket string
	// Entrance is host:port of a frontend whose connections all come here: the daemon's way in where there is no
	// HoldSocket. "" if none is known.
	Entrance string
	// QueueTimeout is how long a connection waits in a server's queue at most.
	QueueTimeout time.Duration
	// KeepKey is the private table's key that, while it is there and the beacon is up, sends connections to the active
	// node also where its check calls it down or an operator has it in maintenance ("" where no rule does).
	KeepKey string
	// Redispatch tells that `option redispatch` is on; see HoldReverts.
	Redispatch bool
	// Pos is the native stick rule's place.
	Pos Position
}

// Steering is the layout with a private table: while BeaconServer is up, Table's ActiveKey chooses the server.
type Steering struct {
	Table string
	// ActiveKey is the key whose entry is the active node; FenceKey the one that makes frontends refuse ("" if no
	// rule does); HoldKey the one whose entry is where the daemon's own connections through hold frontends go ("" where
	// no sticky backend has one); KeepKey the one that keeps connections on the active node (StickyBackend.KeepKey).
	ActiveKey string
	FenceKey  string
	HoldKey   string
	KeepKey   string
	// The beacon tells whether the daemon steers, alive whether it runs at all ("" without a fence rule).
	BeaconBackend string
	BeaconServer  string
	AliveBackend  string
	AliveServer   string
	// PeersSection keeps the private table over a reload ("" if nothing does).
	PeersSection string
	Pos          Position
}

// Load reads one or several haproxy.cfg files as one configuration. Its error is an *Error, one line with the first
// problem's place. What Load accepts need not be usable by the daemon: see Validate.
func Load(files ...string) (*Topology, error) { return LoadAs(Reading{}, files...) }

// Reading says what of a configuration the files do not say themselves. The zero value is nothing.
type Reading struct {
	// LocalPeer is the name that HAProxy is started with (-L). It is also a variable (HAPROXY_LOCALPEER) that any line
	// may use.
	LocalPeer string
	// HAProxy is the program that is asked for conditions of an .if that only it can evaluate (`haproxy -cc`), "" for the
	// one in PATH or where Debian has it.
	HAProxy string
	// Backends are the sticky backends of the database, where there are others that have no server in common with them.
	Backends []string
}

// LoadAs is Load with what the files do not say.
func LoadAs(r Reading, files ...string) (*Topology, error) {
	inputs, err := readInputs(files)
	if err != nil {
		return nil, err
	}
	t, errs := build(inputs, r)
	if len(errs) > 0 {
		return nil, errs[0]
	}
	return t, nil
}

func build(inputs []input, r Reading) (*Topology, []*Error) {
	b := understand(inputs, r)
	return b.t, b.errs
}

func understand(inputs []input, r Reading) *builder {
	hostname, err := os.Hostname()
	if err != nil {
		hostname = "localhost"
	}
	s := newScanner(os.LookupEnv, r.LocalPeer, hostname)
	s.ask = func(predicate string) (bool, error) { return askHAProxy(r.HAProxy, predicate) }
	t := &Topology{}
	for _, in := range inputs {
		t.Files = append(t.Files, in.name)
		if nodes, ok := readHeader(in.text); ok {
			t.Ours, t.Preferred = true, nodes
		}
		s.scan(in)
	}
	t.LocalPeer, t.sections, t.cutShort, t.refused = s.localPeer, s.sections, s.cutShort, s.refused
	b := &builder{t: t, errs: s.errs, only: r.Backends}
	b.run()
	b.doubts(s.doubted)
	return b
}

// Validate tells why the daemon cannot work with this configuration: no sticky backend (ErrNoSticky), no admin
// socket (ErrNoAdminSocket), or a sticky backend whose keys cannot be known. Every problem is a line of the error.
func (t *Topology) Validate() error {
	var problems []error
	switch {
	case len(t.Sticky) > 0:
	case len(t.Halves) > 0:
		w := t.Halves[0]
		problems = append(problems, &Error{Pos: w.Pos, Problem: "no sticky backend: " + w.Problem, Fix: w.Fix, Err: ErrNoSticky})
	default:
		problems = append(problems, &Error{Pos: t.whole(), Problem: "no sticky backend: no backend has a stick rule",
			Fix: "add what is needed with `haproxyctl config adopt`, or render a configuration with `haproxyctl config render`", Err: ErrNoSticky})
	}
	if len(t.Services) > 0 {
		problems = append(problems, errorAt(t.strange().Pos, twoServicesFix, "%s", t.twoServices()))
	}
	if _, err := t.AdminSocket(); err != nil {
		problems = append(problems, err)
	}
	for _, s := range t.Sticky {
		if s.Keys == nil {
			problems = append(problems, errorAt(s.Pos, "stick on int(1), or on fe_name",
				"backend %s sticks on %q, whose keys cannot be known in advance", s.Name, s.Key.Text))
		}
	}
	return errors.Join(problems...)
}

// whole is the position of the configuration as a whole.
func (t *Topology) whole() Position { return Position{File: strings.Join(t.Files, ", ")} }

// AdminSocket gives the path of the first unix stats socket with level admin, which `set server` and
// `shutdown sessions` need. Its error is ErrNoAdminSocket and says what there is instead.
func (t *Topology) AdminSocket() (string, error) {
	const fix = "add `stats socket /run/haproxy/admin.sock mode 660 level admin` to global"
	pos, problem := t.whole(), "there is no stats socket"
	for _, s := range t.Sockets {
		switch {
		case s.Level == "admin" && s.Unix:
			return s.Path, nil
		case s.Level == "admin":
			pos, problem = s.Pos, fmt.Sprintf("the admin-level stats socket %s is not a unix socket", s.Path)
		default:
			pos, problem = s.Pos, fmt.Sprintf("the stats socket %s has level %s, not admin", s.Path, s.Level)
		}
	}
	return "", &Error{Pos: pos, Problem: problem, Fix: fix, Err: ErrNoAdminSocket}
}

// NodeNames gives the database nodes in the configured order: the servers of the first sticky backend, those that
// are not backup first, each in file order.
func (t *Topology) NodeNames() []string {
	if len(t.Sticky) == 0 {
		return nil
	}
	var names []string
	for _, backup := range []bool{false, true} {
		for _, s := range t.Sticky[0].Servers {
			if s.Backup == backup {
				names = append(names, s.Name)
			}
		}
	}
	return names
}

// PeersNamed gives the peers section of that name.
func (t *Topology) PeersNamed(name string) (PeersSection, bool) {
	return find(t.Peers, func(p PeersSection) bool { return p.Name == name })
}

func (t *Topology) backend(name string) (Backend, bool) {
	return find(t.Backends, func(b Backend) bool { return b.Name == name })
}

func (t *Topology) table(name string) (StickTable, bool) {
	return find(t.Tables, func(s StickTable) bool { return s.Name == name })
}

// find gives the first one that is it.
func find[T any](list []T, is func(T) bool) (found T, ok bool) {
	i := slices.IndexFunc(list, is)
	if i < 0 {
		return found, false
	}
	return list[i], true
}
