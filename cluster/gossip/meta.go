package gossip

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/memberlist"
)

// Protocol is the newest format of messages that this build reads and writes. It
// is spread in the metadata; what a member reads beyond it is in the constant Reads.
const Protocol = 1

// Reads is the newest protocol that this build reads: 1 is that of the versions
// that announced none, 2 seals packets and streams against being played again,
// and is what all formats that are later than 1 begin with; 3 is nothing new here: it says that
// this build reads what the record and the views have from then on. It is announced as
// memberlist's delegate protocol (DelegateProtocolMax), which the older versions
// ignore, each being a member whose spoken protocol is 0.
const Reads = 3

// ReadsSealed is the first protocol with the seal: once no member reads less,
// SetStrict(true) is due.
const ReadsSealed = 2

// metaFormat is the version of Meta's own encoding.
const metaFormat = 1

// Meta is what a member tells all others about itself, in memberlist's metadata.
type Meta struct {
	// Name is the stable name: the same after every restart of this member.
	Name string
	// Disk is the id of the data directory. A lost disk comes back as another id.
	Disk uint64
	// Cluster is the id of the cluster that the disk belongs to, 0 while it
	// belongs to none.
	Cluster uint64
	// Generation is the recovery generation of what the disk holds.
	Generation uint64
	// Initial is a hash of the voters that this member would start a new
	// cluster with.
	Initial uint64
	// Order is the newest record that this member knew when it last changed
	// its metadata.
	Order Order
	// Version is the daemon's version, for people.
	Version string
	// Voter says that this member believes to be a voter.
	Voter bool
	// Willing says that this member may be made a voter.
	Willing bool
	// Witness marks a voter without a HAProxy.
	Witness bool
	// Observer marks a member that watches and never writes.
	Observer bool
	// Settled says that no other live process has this stable name, as far as
	// this process could find out by asking. Before that it must not vote.
	Settled bool
	// Leaving says that this member is about to stop for good.
	Leaving bool
}

// flags are the flags of the encoding, from the lowest bit.
func (m *Meta) flags() []*bool {
	return []*bool{&m.Voter, &m.Willing, &m.Witness, &m.Observer, &m.Settled, &m.Leaving}
}

// encode returns at most memberlist.MetaMaxSize bytes, given that Validate
// accepted the lengths.
func (m Meta) encode() []byte {
	var flags byte
	for bit, on := range m.flags() {
		if *on {
			flags |= 1 << bit
		}
	}
	w := writer{}
	w.byte(metaFormat)
	w.byte(Protocol)
	w.byte(flags)
	w.fixed(m.Disk)
	w.fixed(m.Cluster)
	w.uint(m.Generation)
	w.fixed(m.Initial)
	w.order(m.Order)
	w.string(cut(m.Name, MaxName))
	w.string(cut(m.Version, maxVersion))
	return w.b
}

// decodeMeta reads what encode wrote. ErrNewer is returned for a later format.
func decodeMeta(b []byte) (Meta, error) {
	if len(b) > memberlist.MetaMaxSize {
		return Meta{}, errField
	}
	r := reader{b: b}
	if f := r.byte(); r.err == nil && f != metaFormat {
		if f > metaFormat {
			return Meta{}, fmt.Errorf("%w: metadata format %d, this build reads %d", ErrNewer, f, metaFormat)
		}
		return Meta{}, errField
	}
	r.byte() // its Protocol; nobody acts on it since Reads is announced
	var m Meta
	flags := r.byte()
	for bit, on := range m.flags() {
		*on = flags>>bit&1 != 0
	}
	if flags>>len(m.flags()) != 0 {
		r.fail(errField)
	}
	m.Disk = r.fixed()
	m.Cluster = r.fixed()
	m.Generation = r.uint()
	m.Initial = r.fixed()
	m.Order = r.order()
	m.Name = r.string(MaxName)
	m.Version = r.string(maxVersion)
	if err := r.end(); err != nil {
		return Meta{}, err
	}
	if m.Name == "" {
		return Meta{}, errors.New("metadata without a name")
	}
	return m, nil
}

func cut(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

// newProcess returns a memberlist name that no other process has: the stable
// name, a dash and eight random hex digits.
func newProcess(name string) string {
	return fmt.Sprintf("%s-%08x", name, uint32(token()))
}

// belongs reports whether process can be a process of the stable name.
func belongs(process, name string) bool {
	rest, ok := strings.CutPrefix(process, name+"-")
	return ok && len(rest) == 8
}
