package lab

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
)

// Groups that the processes of a proxy run in, as root all the same: the owner of a socket's packets can be told by
// its group, though HAProxy and daemon share address and namespace.
const (
	haproxyGroup = 64001
	daemonGroup  = 64002
)

func inGroup(gid uint32) *syscall.Credential { return &syscall.Credential{Uid: 0, Gid: gid} }

// Traffic is whose packets a Breach is about.
type Traffic int

const (
	// Everybody's packets.
	Everybody Traffic = iota
	// OfHAProxy are the packets of the proxy's HAProxy. Its configuration must not change its group.
	OfHAProxy
	// OfDaemon are the packets of the proxy's daemon.
	OfDaemon
)

func (t Traffic) String() string {
	return [...]string{"everybody's", "HAProxy's", "the daemon's"}[t]
}

// Breach is a disturbance of TCP between a proxy's host and another one. Other fields than From and To narrow it.
type Breach struct {
	// From is where the connections come from, the proxy; To is where they go.
	From, To *Host
	// Port is To's port. Default: all.
	Port int
	// Of says whose connections are meant.
	Of Traffic
	// Reject answers with a reset: new connections are refused at once and existing ones end with their next packet.
	// Default: packets are lost without a word, connections hang.
	Reject bool
	// Only limits it to one direction. Default: both.
	Only Direction
}

// Direction is one direction of a Breach.
type Direction int

const (
	// BothWays is there and back.
	BothWays Direction = iota
	// There is from Breach.From to Breach.To.
	There
	// Back is from Breach.To to Breach.From: connections seem to open for To and get no answer at From. With Of, a
	// connection from before the breach is recognised by the first packet it sends under it; what To sends by itself
	// before that gets through.
	Back
)

// Validate names every field that cannot be used.
func (b Breach) Validate() error {
	var errs []error
	if b.From == nil || b.To == nil {
		return errors.New("breach: From and To are needed")
	}
	if b.Of < Everybody || b.Of > OfDaemon {
		errs = append(errs, fmt.Errorf("breach: Of %d: Everybody, OfHAProxy or OfDaemon", int(b.Of)))
	} else if b.Of != Everybody && b.From.lab.Proxy(b.From.Name) == nil {
		errs = append(errs, fmt.Errorf("breach: Of %v: From must be a proxy, %s is none", b.Of, b.From.Name))
	}
	if b.Reject && b.Only == Back {
		errs = append(errs, errors.New("breach: Reject works on what From sends, not on Back alone"))
	}
	if b.Port < 0 || b.Port > 65535 {
		errs = append(errs, fmt.Errorf("breach: Port %d: 1 to 65535", b.Port))
	}
	return errors.Join(errs...)
}

func (b Breach) String() string {
	parts := []string{"loss of", b.Of.String(), "packets"}
	if b.Reject {
		parts[0] = "refusal of"
	}
	parts = append(parts, []string{"between", "from", "back to"}[b.Only], b.From.Name, "and", b.To.Name)
	if b.Port != 0 {
		parts = append(parts, "port", strconv.Itoa(b.Port))
	}
	return strings.Join(parts, " ")
}

// Breach makes a disturbance. UDP is left alone: gossip between daemons has Cut and CutPort.
//
// All rules stand on the proxy's side, where the owner of a packet is known. A TCP sender is not told of a packet that
// is dropped on its way out: the kernel takes it for lost and sends it again.
func (l *Lab) Breach(ctx context.Context, b Breach) (*Fault, error) {
	if err := b.Validate(); err != nil {
		return nil, err
	}
	there := []string{"-p", "tcp", "-d", b.To.IP}
	back := []string{"-p", "tcp", "-s", b.To.IP}
	if b.Port != 0 {
		there = append(there, "--dport", strconv.Itoa(b.Port))
		back = append(back, "--sport", strconv.Itoa(b.Port))
	}
	var rules []rule
	if b.Of != Everybody {
		group := strconv.Itoa(haproxyGroup)
		if b.Of == OfDaemon {
			group = strconv.Itoa(daemonGroup)
		}
		there = append(there, "-m", "owner", "--gid-owner", group)
		if b.Only != There && !b.Reject {
			// A packet that comes in has no owner yet; its connection gets a mark from those that go out.
			rules = append(rules, rule{b.From, "mangle", "OUTPUT", with(there, "-j", "CONNMARK", "--set-mark", group)})
			back = append(back, "-m", "connmark", "--mark", group)
		}
	}
	if b.Only != There && !b.Reject {
		rules = append(rules, rule{b.From, "filter", "INPUT", with(back, "-j", "DROP")})
	}
	switch {
	case b.Reject:
		rules = append(rules, rule{b.From, "filter", "OUTPUT", with(there, "-j", "REJECT", "--reject-with", "tcp-reset")})
	case b.Only != Back:
		rules = append(rules, rule{b.From, "filter", "OUTPUT", with(there, "-j", "DROP")})
	}
	return l.inject(ctx, b.String(), rules...)
}

func with(args []string, more ...string) []string {
	return append(append([]string(nil), args...), more...)
}
