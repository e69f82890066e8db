package gossip

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster/safefile"
)

// Encrypt says what a member with keys sends and takes. The three words are the
// steps in which a live cluster goes from no key to keys, one member at a time:
// any two members that are at most one step apart understand each other, and one
// without keys understands accept.
type Encrypt string

const (
	// EncryptAccept sends plain, takes plain and encrypted.
	EncryptAccept Encrypt = "accept"
	// EncryptSend sends encrypted, takes plain and encrypted.
	EncryptSend Encrypt = "send"
	// EncryptRequire sends encrypted and takes nothing else: the default.
	EncryptRequire Encrypt = "require"
)

// SecurityError says that this configuration would leave the gossip open: no
// key, or a key file that others may write. It is the operator's to mend, so that
// starting again at once is no use. Its text is one line that says what to do.
type SecurityError struct{ Text string }

func (e *SecurityError) Error() string { return e.Text }

// NewKey returns a new random key of 32 bytes (AES-256) as a line of a key file,
// without the newline.
func NewKey() string {
	var b [32]byte
	// crypto/rand.Read never fails since Go 1.24; it ends the program instead.
	_, _ = rand.Read(b[:])
	return base64.StdEncoding.EncodeToString(b[:])
}

// checkOpen refuses a gossip that anybody could take part in.
func (c Config) checkOpen() error {
	switch c.Encrypt {
	case "", EncryptRequire:
	case EncryptAccept, EncryptSend:
		if c.KeyFile == "" {
			return fmt.Errorf("gossip: the encryption is %q, which needs a key file: give one, made with haproxyctl gossip-key", c.Encrypt)
		}
	default:
		return fmt.Errorf("gossip: the encryption is %q: take accept, send or require", c.Encrypt)
	}
	// A transport that is given opens no socket of ours.
	if c.KeyFile != "" || c.Insecure || c.Transport != nil {
		return nil
	}
	host, _, _ := net.SplitHostPort(c.Bind)
	if ip := net.ParseIP(host); ip == nil || ip.IsLoopback() {
		return nil // what is no address at all is reported as such
	}
	return &SecurityError{Text: fmt.Sprintf(
		"gossip on %s without a key: whoever reaches that port could take part; make a key with haproxyctl gossip-key and give its file to every member (--gossip-key-file), or bind to a loopback address, or allow it with --gossip-insecure", c.Bind)}
}

// readKeyFile reads a key file and checks who else may: others must not write it
// (*SecurityError), and warning says so where they may read it. The group may
// read: that is how Kubernetes mounts a Secret with an fsGroup. It follows links,
// as such a Secret is one, and looks at the file that it has opened.
func readKeyFile(name string) (text []byte, warning string, err error) {
	text, warning, err = safefile.Read(name)
	if unsafe, ok := errors.AsType[*safefile.UnsafeError](err); ok {
		return nil, "", &SecurityError{Text: "gossip key file " + unsafe.Error()}
	}
	if err != nil {
		return nil, "", fmt.Errorf("gossip key file: %w", err)
	}
	return text, warning, nil
}

// Security is how safe the gossip is now.
type Security struct {
	// Keyed says that there is a key.
	Keyed bool
	// Mode is what is sent and taken where there is one.
	Mode Encrypt
	// ReplayProtected says that packets and streams that were recorded are
	// refused when they come again: it needs EncryptRequire, and the word that all
	// members speak the sealed format (SetStrict).
	ReplayProtected bool
	// Plain names the live members, and the addresses (ADDR:PORT) of senders that
	// are none, from which a plain packet came within the last 15 s; it is kept
	// while Mode is accept or send.
	Plain []string
}

// Security returns how safe the gossip is now.
func (g *Gossip) Security() Security {
	if g.seal == nil {
		return Security{}
	}
	out := Security{Keyed: true, Mode: g.seal.mode, ReplayProtected: g.seal.refusesOld()}
	names := g.liveNames()
	for _, address := range g.seal.plain.lately(time.Now()) {
		if name := names[address]; name != "" {
			address = name
		}
		out.Plain = append(out.Plain, address)
	}
	slices.Sort(out.Plain)
	out.Plain = slices.Compact(out.Plain)
	return out
}

// SetStrict says whether every member speaks the sealed format. If so, and where
// the encryption is required, everything that is not sealed is refused and
// counted. It is false at first: a process that starts has to be told by who
// knows what the members agreed on, before Run if that is on its disk.
func (g *Gossip) SetStrict(strict bool) {
	if g.seal == nil || g.seal.strict.Swap(strict) == strict {
		return
	}
	g.metrics.protected.Set(0)
	if g.seal.refusesOld() {
		g.metrics.protected.Set(1)
	}
	g.log.Info("the members' agreed gossip format has changed", "sealed_only", strict)
}
