package plan

import "slices"

// Server is one server line of a sticky backend.
type Server struct {
	Name   string
	ID     int // HAProxy's `id`, what data.server_id means in this backend
	Backup bool
}

// Backend is a sticky backend. Servers are in the order of the file.
type Backend struct {
	Name    string
	Table   string   // the stick-table, usually of the same name
	Keys    []string // the keys a connection can have, as `show table` prints them
	Servers []Server
	// HoldSocket is the unix socket of the frontend through which a connection can
	// be made to the server that the private table's hold key names; "" if the
	// configuration has none.
	HoldSocket string
	// Entrance is host:port of a frontend that clients use, by which a connection can
	// be made to whatever server is theirs; "" if none is known or if connections
	// would not wait there for as long as a hold may last.
	Entrance string
	// Keeps: while the private table's keep key is there, its connections go to the
	// active although HAProxy does not call it up.
	Keeps bool
	// ByAddress: an entry that a connection has made names its server by the address in use, not by its name.
	ByAddress bool
}

// Server returns the server of that name, and whether there is one.
func (b *Backend) Server(name string) (Server, bool) {
	for _, s := range b.Servers {
		if s.Name == name {
			return s, true
		}
	}
	return Server{}, false
}

// Steer is the private table of the layout with a beacon.
type Steer struct {
	Table     string
	ActiveKey string
	FenceKey  string // empty: the configuration has no fence
	HoldKey   string // empty: the configuration cannot hold connections
	KeepKey   string // empty: no backend Keeps
}

// Layout is what the configuration makes possible.
type Layout struct {
	Steer    *Steer // nil: the native tables only
	Backends []Backend
}

// Entry is a stick-table entry that stores a server.
type Entry struct {
	ServerID  int
	ServerKey string // "" where HAProxy prints "-"
}

// ServerNow is what the running HAProxy says of a server.
type ServerNow struct {
	Running  bool // usable for new connections, by load balancing and by stickiness
	Drain    bool // up, for connections that stick to it only
	Sessions int
	// Queue counts the connections that wait for it, Limit is its maxconn (0: no
	// limit), Weight the one in force.
	Queue, Limit, Weight int
	// Address is ADDRESS:PORT as HAProxy has it now, "" while it is not resolved.
	Address string
}

// Observed is one look at a HAProxy.
type Observed struct {
	Tables  map[string]map[string]Entry     // table, key
	Servers map[string]map[string]ServerNow // backend, server name
}

func (o *Observed) entry(table, key string) (Entry, bool) {
	e, ok := o.Tables[table][key]
	return e, ok
}

// Sticks returns the server that an entry leads to, and whether a connection
// follows it: the name if the backend knows it (or the address, where the table
// keeps that; run on 2.6 to 3.4), else the number; and the server
// must be running (HAProxy's sticking ignores `backup`, weight 0 and drain, and
// skips servers in maintenance or down; HAPROXY.md facts 2 and 7).
func Sticks(b *Backend, o *Observed, e Entry) (string, bool) {
	now := o.Servers[b.Name]
	at := slices.IndexFunc(b.Servers, func(s Server) bool {
		if b.ByAddress {
			return e.ServerKey != "" && now[s.Name].Address == e.ServerKey
		}
		return s.Name == e.ServerKey
	})
	if at < 0 {
		at = slices.IndexFunc(b.Servers, func(s Server) bool { return s.ID == e.ServerID })
	}
	if at < 0 {
		return "", false
	}
	name := b.Servers[at].Name
	return name, now[name].Running || now[name].Drain
}

// Balanced returns the server that load balancing would choose: the only usable
// server that is not a backup, else the first usable backup. Several usable
// servers without `backup` have no single answer: "".
func Balanced(b *Backend, o *Observed) string {
	var usable, backups []string
	for _, s := range b.Servers {
		switch {
		case !o.Servers[b.Name][s.Name].Running:
		case s.Backup:
			backups = append(backups, s.Name)
		default:
			usable = append(usable, s.Name)
		}
	}
	switch {
	case len(usable) == 1:
		return usable[0]
	case len(usable) == 0 && len(backups) > 0:
		return backups[0]
	}
	return ""
}

// Route returns the server that a new connection with this key goes to: by the
// tables, where that server runs or the keep key is in force, else by balancing.
// Steered tells whether the private table is asked first (the beacon is up).
func Route(l *Layout, b *Backend, o *Observed, key string, steered bool) string {
	kept := steered && b.Keeps && l.Kept(o)
	if steered && l.Steer != nil {
		if e, ok := o.entry(l.Steer.Table, l.Steer.ActiveKey); ok {
			if name, ok := Sticks(b, o, e); ok || kept && name != "" {
				return name
			}
		}
	}
	if e, ok := o.entry(b.Table, key); ok {
		if name, ok := Sticks(b, o, e); ok || kept && name != "" {
			return name
		}
	}
	return Balanced(b, o)
}
