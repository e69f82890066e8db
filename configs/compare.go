package configs

import (
	"fmt"
	"net/netip"
	"strconv"
)

// ObservedServer is a server as the running HAProxy shows it in `show servers state`.
type ObservedServer struct {
	Backend, Name string
	ID            int
	// Addr is the address in use, "" or "-" while it is not resolved. Port 0 is not compared.
	Addr string
	Port int
}

// ObservedTable is a stick-table as the running HAProxy shows it in `show table`.
type ObservedTable struct {
	Name, Type string
	Size       int
}

// Difference is one thing that the file and the running HAProxy do not agree on.
type Difference struct {
	// Where is the place in the file that the running HAProxy contradicts.
	Where Position
	// What is a sentence.
	What string
	// Blocking tells that writing would be unsafe: an id could mean another server, or a table is not what the file
	// says. Without it the difference is only worth a report.
	Blocking bool
	// Address: it is a node's address, so that connections go elsewhere than the probe looks.
	Address bool
}

// String gives `file:line: sentence`.
func (d Difference) String() string { return d.Where.String() + ": " + d.What }

// Compare checks what matters to the daemon (the servers of sticky backends, the beacon, the tables) against the
// running HAProxy. Other backends, and tables that nothing here uses, are not compared. An empty result means that
// the running HAProxy can be trusted to be the one that the file describes.
func Compare(t *Topology, servers []ObservedServer, tables []ObservedTable) []Difference {
	c := comparison{running: map[[2]string]ObservedServer{}, tables: map[string]ObservedTable{}}
	for _, s := range servers {
		c.running[[2]string{s.Backend, s.Name}] = s
	}
	for _, table := range tables {
		c.tables[table.Name] = table
	}
	compared := map[string]bool{}
	for _, s := range t.Sticky {
		c.backend(s.Name, s.Pos, s.Servers, servers)
		if table, ok := t.table(s.Table); ok && !compared[s.Table] {
			compared[s.Table] = true
			c.table(table)
		}
	}
	if st := t.Steering; st != nil {
		if table, ok := t.table(st.Table); ok && !compared[st.Table] {
			c.table(table)
		}
		c.one(t, st.BeaconBackend, st.BeaconServer)
		if st.AliveBackend != "" {
			c.one(t, st.AliveBackend, st.AliveServer)
		}
	}
	return c.out
}

type comparison struct {
	running map[[2]string]ObservedServer
	tables  map[string]ObservedTable
	out     []Difference
}

func (c *comparison) add(where Position, blocking bool, what string, args ...any) {
	c.out = append(c.out, Difference{Where: where, Blocking: blocking, What: fmt.Sprintf(what, args...)})
}

func (c *comparison) backend(name string, pos Position, want []Server, running []ObservedServer) {
	declared := map[string]bool{}
	for _, s := range want {
		declared[s.Name] = true
		c.server(name, s, true)
	}
	for _, o := range running {
		if o.Backend == name && !declared[o.Name] {
			c.add(pos, true, "the running HAProxy has server %s (id %d) in backend %s, which the file does not name; reload HAProxy with this file", o.Name, o.ID, name)
		}
	}
}

// server compares one; probed tells that it is a node.
func (c *comparison) server(backend string, s Server, probed bool) {
	o, ok := c.running[[2]string{backend, s.Name}]
	switch {
	case !ok:
		c.add(s.Pos, true, "server %s/%s is in the file and not in the running HAProxy; reload HAProxy with this file", backend, s.Name)
		return
	case o.ID != s.ID:
		c.add(s.Pos, true, "server %s/%s has id %d here and %d in the running HAProxy; give it an explicit id and reload", backend, s.Name, s.ID, o.ID)
	}
	want, err1 := netip.ParseAddr(s.Host)
	have, err2 := netip.ParseAddr(o.Addr)
	if err1 == nil && err2 == nil && want.Unmap() != have.Unmap() || !s.mapped && s.Port != 0 && o.Port != 0 && s.Port != o.Port {
		here := s.Address()
		if probed {
			here += " here, which is probed and voted on,"
		} else {
			here += " here"
		}
		c.add(s.Pos, false, "server %s/%s is %s and %s in the running HAProxy; reload HAProxy with this file", backend, s.Name, here, Server{Host: o.Addr, Port: o.Port}.Address())
		c.out[len(c.out)-1].Address = probed
	}
}

// one compares the daemon's own servers, whose id means nothing.
func (c *comparison) one(t *Topology, backend, server string) {
	b, _ := t.backend(backend)
	s, _ := b.server(server)
	if o, ok := c.running[[2]string{backend, server}]; ok {
		s.ID = o.ID
	}
	c.server(backend, s, false)
}

func (c *comparison) table(t StickTable) {
	o, ok := c.tables[t.Name]
	if !ok {
		c.add(t.Pos, true, "stick-table %s is in the file and not in the running HAProxy; reload HAProxy with this file", t.Name)
		return
	}
	if o.Type != t.Type {
		c.add(t.Pos, true, "stick-table %s has type %s here and %s in the running HAProxy; reload HAProxy with this file", t.Name, t.Type, o.Type)
	}
	if o.Size != t.Size {
		c.add(t.Pos, false, "stick-table %s has size %s here and %s in the running HAProxy; reload HAProxy with this file", t.Name, strconv.Itoa(t.Size), strconv.Itoa(o.Size))
	}
}
