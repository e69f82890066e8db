package lab

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Fault is one disturbance of the network. Undo lifts it; so do Lab.HealAll and Lab.Reset.
type Fault struct {
	what string
	mu   sync.Mutex
	undo func(context.Context) error
}

// Undo lifts the fault. A second call does nothing.
func (f *Fault) Undo(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.undo == nil {
		return nil
	}
	if err := f.undo(ctx); err != nil {
		return fmt.Errorf("lift %s: %w", f.what, err)
	}
	f.undo = nil
	return nil
}

// Cut loses every packet between two hosts, both ways, without a word to either: connections hang.
func (l *Lab) Cut(ctx context.Context, a, b *Host) (*Fault, error) {
	return l.inject(ctx, fmt.Sprintf("cut between %s and %s", a.Name, b.Name),
		drop(b, a), drop(a, b))
}

// OneWay loses every packet from one host to another; the other direction works.
func (l *Lab) OneWay(ctx context.Context, from, to *Host) (*Fault, error) {
	return l.inject(ctx, fmt.Sprintf("one-way loss from %s to %s", from.Name, to.Name), drop(from, to))
}

// CutPort loses packets from one host to a TCP or UDP port of another; the answers' direction works. Existing
// connections are cut too.
func (l *Lab) CutPort(ctx context.Context, from, to *Host, port int) (*Fault, error) {
	p := strconv.Itoa(port)
	return l.inject(ctx, fmt.Sprintf("loss from %s to %s:%d", from.Name, to.Name, port),
		input(to, "-s", from.IP, "-p", "tcp", "--dport", p, "-j", "DROP"),
		input(to, "-s", from.IP, "-p", "udp", "--dport", p, "-j", "DROP"))
}

// Refuse answers every packet from one host to a TCP port of another with a reset: new connections are refused and
// existing ones end, as if nothing listened there.
func (l *Lab) Refuse(ctx context.Context, from, to *Host, port int) (*Fault, error) {
	return l.inject(ctx, fmt.Sprintf("refusal from %s to %s:%d", from.Name, to.Name, port),
		input(to, "-s", from.IP, "-p", "tcp", "--dport", strconv.Itoa(port), "-j", "REJECT", "--reject-with", "tcp-reset"))
}

// Wall is Refuse, or where silent the loss, of whatever reaches some TCP ports of a host from others, all at once: a
// firewall before a process that lives.
func (l *Lab) Wall(ctx context.Context, to *Host, silent bool, ports []int, from ...*Host) (*Fault, error) {
	var addresses []string
	for _, h := range from {
		addresses = append(addresses, h.IP)
	}
	verdict := []string{"-j", "REJECT", "--reject-with", "tcp-reset"}
	if silent {
		verdict = []string{"-j", "DROP"}
	}
	var rules []rule
	for _, port := range ports {
		rules = append(rules, input(to, append([]string{"-s", strings.Join(addresses, ","), "-p", "tcp", "--dport", strconv.Itoa(port)}, verdict...)...))
	}
	return l.inject(ctx, fmt.Sprintf("a wall before %s", to.Name), rules...)
}

// Lossy loses a share of the packets that a host sends ("0.05"), as a bad cable does.
func (l *Lab) Lossy(ctx context.Context, h *Host, share string) (*Fault, error) {
	var rules []rule
	for _, other := range l.hosts {
		if other != h {
			rules = append(rules, input(other, "-s", h.IP, "-m", "statistic", "--mode", "random", "--probability", share, "-j", "DROP"))
		}
	}
	return l.inject(ctx, "loss at "+h.Name, rules...)
}

// Isolate takes a host off the bridge: packets to and from everybody are lost, its own loopback works.
func (l *Lab) Isolate(_ context.Context, h *Host) (*Fault, error) {
	br := l.namespace(bridgeName)
	// The port leaves the bridge and its link stays up: a link that is down would be reported to the senders.
	if err := ip("-n", br, "link", "set", h.Name, "nomaster"); err != nil {
		return nil, fmt.Errorf("isolate %s: %w", h.Name, err)
	}
	return l.remember(&Fault{what: "isolation of " + h.Name, undo: func(context.Context) error {
		return ip("-n", br, "link", "set", h.Name, "master", bridge)
	}}), nil
}

// HealAll lifts every fault, the last one first.
func (l *Lab) HealAll(ctx context.Context) error {
	l.mu.Lock()
	faults := l.faults
	l.faults = nil
	l.mu.Unlock()
	var errs []error
	for i := len(faults) - 1; i >= 0; i-- {
		errs = append(errs, faults[i].Undo(ctx))
	}
	return errors.Join(errs...)
}

// rule is an iptables rule of a host.
type rule struct {
	host         *Host
	table, chain string
	args         []string
}

// input is a rule of a host's INPUT chain. Loss is made where packets arrive: a UDP packet that is dropped where it
// leaves would be told to the sender (EPERM).
func input(host *Host, args ...string) rule { return rule{host, "filter", "INPUT", args} }

func drop(from, to *Host) rule { return input(to, "-s", from.IP, "-j", "DROP") }

func (r rule) apply(ctx context.Context, action string) error {
	_, err := r.host.Run(ctx, "iptables", append([]string{"-w", "5", "-t", r.table, action, r.chain}, r.args...)...)
	return err
}

func (l *Lab) inject(ctx context.Context, what string, rules ...rule) (*Fault, error) {
	var done []rule
	undo := func(ctx context.Context) error {
		return each(done, func(r rule) error { return r.apply(ctx, "-D") })
	}
	for _, r := range rules {
		if err := r.apply(ctx, "-A"); err != nil {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			return nil, errors.Join(fmt.Errorf("make %s: %w", what, err), undo(ctx))
		}
		done = append(done, r)
	}
	return l.remember(&Fault{what: what, undo: undo}), nil
}

func (l *Lab) remember(f *Fault) *Fault {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults = append(l.faults, f)
	l.log.Info("fault injected", "fault", f.what)
	return f
}
