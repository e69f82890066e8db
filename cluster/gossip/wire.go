package gossip

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// ErrNewer is wrapped by what a decoder returns for a message, or for metadata,
// of a format later than this build's. Such a message is dropped and counted.
var ErrNewer = errors.New("format is newer than this build")

// errGarbage is what a decoder returns for bytes that are no message at all.
var errGarbage = errors.New("not a message of this program")

// magic starts every envelope; it tells our messages from another memberlist
// user's on the same port when neither a key nor another label keeps them apart.
const magic = 'h'

// kind says what follows an envelope.
type kind byte

const (
	kindDirect    kind = iota + 1 // one member to another, opaque
	kindView                      // a member's view: header and data
	kindBeat                      // a member's view: header only
	kindRecord                    // the newest committed record
	kindChallenge                 // "are you alive, holder of my name?"
	kindAnswer                    // the answer to it
	kindState                     // a push/pull: several of the others
)

// maxString bounds process names and addresses in messages.
const maxString = 256

// maxStateMessages bounds the messages of a push/pull: a view of each process
// that is a member or was one lately, and a record.
const maxStateMessages = stateNodes + 1

// maxAge bounds the age that a message carries, in milliseconds: 24 days.
const maxAge = 1 << 31

// sealed starts a message of kind k.
func sealed(k kind) writer { return writer{b: []byte{magic, Protocol, byte(k)}} }

// open checks an envelope and returns its kind and a reader of the rest.
func open(b []byte) (kind, reader, error) {
	if len(b) < 3 || b[0] != magic || b[1] == 0 {
		return 0, reader{}, errGarbage
	}
	if b[1] > Protocol {
		return 0, reader{}, fmt.Errorf("%w: message format %d, this build reads %d", ErrNewer, b[1], Protocol)
	}
	if k := kind(b[2]); k >= kindDirect && k <= kindState {
		return k, reader{b: b[3:]}, nil
	}
	return 0, reader{}, errGarbage
}

// Message is one direct message between two members.
type Message struct {
	// From is the process that sent it, as it says itself.
	From string
	// Channel is the sender's word on what Data is; Gossip does not look at it.
	Channel byte
	// Data is opaque.
	Data []byte
}

func (m Message) encode() []byte {
	w := sealed(kindDirect)
	w.string(m.From)
	w.byte(m.Channel)
	w.bytes(m.Data)
	return w.b
}

func decodeMessage(r reader) (Message, error) {
	m := Message{From: r.string(maxString), Channel: r.byte(), Data: r.bytes()}
	return m, r.end()
}

// Order orders records, most significant number first. It is opaque here.
type Order [3]uint64

// Compare returns -1, 0 or 1 as o is before, equal to or after p.
func (o Order) Compare(p Order) int { return slices.Compare(o[:], p[:]) }

func (w *writer) order(o Order) {
	for _, v := range o {
		w.uint(v)
	}
}

func (r *reader) order() Order { return Order{r.uint(), r.uint(), r.uint()} }

// Record is a committed record as it is spread to all members.
type Record struct {
	// Cluster is the id of the cluster that it belongs to.
	Cluster uint64
	// Order decides which of two records is the newer one.
	Order Order
	// Data is opaque.
	Data []byte
}

func (v Record) encode() []byte {
	w := sealed(kindRecord)
	w.fixed(v.Cluster)
	w.order(v.Order)
	w.bytes(v.Data)
	return w.b
}

func decodeRecord(r reader) (Record, error) {
	v := Record{Cluster: r.fixed(), Order: r.order(), Data: r.bytes()}
	return v, r.end()
}

// Header is what every repetition of a view carries.
type Header struct {
	// Name, Process and Disk say whose view it is.
	Name, Process string
	Disk          uint64
	// Seq numbers the publications of a process, from 1.
	Seq uint64
	// DataSeq is the Seq at which the data last changed.
	DataSeq uint64
	Status
}

// Status is what every publication of a view says beside the data.
type Status struct {
	// Cluster is the sender's cluster id, 0 if it has none.
	Cluster uint64
	// Voter says that the sender is a voter as far as it knows.
	Voter bool
	// Quorum says that the sender hears a majority of the voters.
	Quorum bool
	// Order is the newest committed record that the sender knows.
	Order Order
}

const (
	headerVoter = 1 << iota
	headerQuorum
	headerFlags
)

func (h Header) write(w *writer) {
	w.string(h.Name)
	w.string(h.Process)
	w.fixed(h.Disk)
	w.uint(h.Seq)
	w.uint(h.DataSeq)
	w.fixed(h.Cluster)
	var flags byte
	if h.Voter {
		flags |= headerVoter
	}
	if h.Quorum {
		flags |= headerQuorum
	}
	w.byte(flags)
	w.order(h.Order)
}

func readHeader(r *reader) Header {
	h := Header{
		Name: r.string(MaxName), Process: r.string(maxString), Disk: r.fixed(),
		Seq: r.uint(), DataSeq: r.uint(), Status: Status{Cluster: r.fixed()},
	}
	flags := r.byte()
	if flags >= headerFlags {
		r.fail(errField)
	}
	h.Voter, h.Quorum = flags&headerVoter != 0, flags&headerQuorum != 0
	h.Order = r.order()
	if r.err == nil && (h.Seq == 0 || h.DataSeq > h.Seq || !belongs(h.Process, h.Name)) {
		r.fail(errField)
	}
	return h
}

// encodeView writes a view, or a beat if full is false. The age comes first and
// has a fixed width, so that a queued message can be brought up to date in place.
func encodeView(h Header, data []byte, full bool, age time.Duration) []byte {
	k := kindBeat
	if full {
		k = kindView
	}
	w := sealed(k)
	w.fixed(ageMillis(age))
	h.write(&w)
	if full {
		w.bytes(data)
	}
	return w.b
}

// setAge overwrites the age of an encoded view or beat.
func setAge(b []byte, age time.Duration) {
	w := writer{b: b[:3]}
	w.fixed(ageMillis(age))
}

func ageMillis(d time.Duration) uint64 { return uint64(min(max(d.Milliseconds(), 0), maxAge)) }

func decodeView(k kind, r reader) (h Header, data []byte, age time.Duration, err error) {
	ms := r.fixed()
	if ms > maxAge {
		r.fail(errField)
	}
	h = readHeader(&r)
	if k == kindView {
		data = r.bytes()
	}
	return h, data, time.Duration(ms) * time.Millisecond, r.end()
}

// challenge asks another process of the same name whether it is alive.
type challenge struct {
	Name, From string // the stable name, and the asking process
	Nonce      uint64
	Settled    bool // the rank that the asking process takes towards this rival
}

func (c challenge) encode() []byte {
	w := sealed(kindChallenge)
	w.string(c.Name)
	w.string(c.From)
	w.fixed(c.Nonce)
	w.bool(c.Settled)
	return w.b
}

func decodeChallenge(r reader) (challenge, error) {
	c := challenge{Name: r.string(MaxName), From: r.string(maxString), Nonce: r.fixed(), Settled: r.bool()}
	return c, r.end()
}

// answer is the asked process's verdict on the asking one.
type answer struct {
	From  string // the answering process
	Nonce uint64 // of the challenge
	Stop  bool   // the asking process has to stop
}

func (a answer) encode() []byte {
	w := sealed(kindAnswer)
	w.string(a.From)
	w.fixed(a.Nonce)
	w.bool(a.Stop)
	return w.b
}

func decodeAnswer(r reader) (answer, error) {
	a := answer{From: r.string(maxString), Nonce: r.fixed(), Stop: r.bool()}
	return a, r.end()
}

// encodeState packs messages for a push/pull.
func encodeState(messages [][]byte) []byte {
	w := sealed(kindState)
	w.uint(uint64(len(messages)))
	for _, m := range messages {
		w.bytes(m)
	}
	return w.b
}

// decodeState returns the messages of a push/pull, still sealed.
func decodeState(r reader) ([][]byte, error) {
	n := r.uint()
	if n > uint64(len(r.b)) { // every message takes a byte at least
		return nil, errTruncated
	}
	if n > maxStateMessages {
		return nil, errField
	}
	messages := make([][]byte, 0, n)
	for range n {
		messages = append(messages, r.bytes())
	}
	return messages, r.end()
}

func (w *writer) bool(v bool) {
	if v {
		w.byte(1)
	} else {
		w.byte(0)
	}
}

func (r *reader) bool() bool {
	v := r.byte()
	if v > 1 {
		r.fail(errField)
	}
	return v == 1
}
