// Package stack puts the project's own parts into a lab: a HAProxy with a rendered
// (or an existing kind of) configuration and a haproxyd on every proxy. The
// end-to-end tests, the demo and the benchmark start from it.
package stack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/haproxy-peers/haproxy-peers/configs"
	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/galera/grants"
	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

// Options vary a stack. The zero value is three proxies with the rendered
// configuration, checks every second, and a probing daemon each.
type Options struct {
	// StickOn takes an existing kind of configuration instead of the rendered
	// one: `stick on` and no private table. Key is its key expression.
	StickOn bool
	Key     string
	// Rewrite changes the text of a StickOn configuration; nil: it stays.
	Rewrite func(string) string
	// CheckInterval is HAProxy's own `inter` (default 1 s).
	CheckInterval time.Duration
	// Check is the absolute path of an external check's command. Default: HAProxy
	// connects to the nodes, and no more.
	Check string
	// HAProxy is the haproxy binary and Version what it says of itself (default: the
	// lab's, and before 3.0, for which the rendered file is made).
	HAProxy, Version string
	// CheckPort is what HAProxy checks instead of the nodes' own port.
	CheckPort int
	// Order lists the nodes in the order of the file; the first is the main one.
	Order []string
	// MasterWorker starts HAProxy as Percona's image does.
	MasterWorker bool
	// NoProbe starts the daemons without a probe user.
	NoProbe bool
	// Sticky is how many of the sticky services (writers, admin, mysqlx) the
	// rendered configuration has, 1 to 3 (default 1). In the lab all of them
	// lead to the nodes' one port.
	Sticky int
	// DaemonArgs are added to every daemon's arguments.
	DaemonArgs []string
}

// Stack is a lab with everything in it.
type Stack struct {
	*lab.Lab
	Options Options
	// Password is the file with the probe's password, one for all daemons.
	Password string
}

// New is a stack of which nothing runs yet, in a lab that is empty (new or reset).
func New(l *lab.Lab, o Options) (*Stack, error) {
	s := &Stack{Lab: l, Options: o, Password: filepath.Join(l.Dir, "probe-password")}
	return s, s.WritePassword(lab.Password)
}

// Up starts the HAProxies and daemons of a lab that is empty (new or reset),
// and waits until every daemon steers.
func Up(ctx context.Context, l *lab.Lab, o Options) (*Stack, error) {
	s, err := New(l, o)
	if err != nil {
		return nil, err
	}
	if err := s.StartHAProxies(ctx); err != nil {
		return nil, err
	}
	if err := s.StartDaemons(ctx); err != nil {
		return nil, err
	}
	return s, s.WaitSteering(ctx, len(l.PX))
}

// WritePassword writes the probe's password file.
func (s *Stack) WritePassword(password string) error {
	return os.WriteFile(s.Password, []byte(password+"\n"), 0o600)
}

// StartHAProxies starts every HAProxy with its configuration.
func (s *Stack) StartHAProxies(ctx context.Context) error {
	for _, p := range s.PX {
		text, err := s.Config(p)
		if err != nil {
			return err
		}
		if err := p.Start(ctx, lab.HAProxyOptions{Config: text, MasterWorker: s.Options.MasterWorker, Binary: s.Options.HAProxy}); err != nil {
			return err
		}
	}
	return nil
}

// Config is the configuration of one proxy's HAProxy.
func (s *Stack) Config(p *lab.Proxy) (string, error) { return s.ConfigNaming(p, s.PX) }

// ConfigNaming is Config with these proxies as the peers, the proxy's own among them.
func (s *Stack) ConfigNaming(p *lab.Proxy, peers []*lab.Proxy) (string, error) {
	o := s.Options
	if o.CheckInterval == 0 {
		o.CheckInterval = time.Second
	}
	if len(o.Order) == 0 {
		for _, n := range s.DB {
			o.Order = append(o.Order, n.Name)
		}
	}
	if o.StickOn {
		text := withKey(p, o.Key, s.StickyConfig(p, lab.Sticky{
			Key: o.Key, Order: o.Order, CheckInterval: fmt.Sprint(o.CheckInterval.Milliseconds()), Check: o.Check,
		}))
		if o.Rewrite != nil {
			text = o.Rewrite(text)
		}
		return text, nil
	}
	in := configs.RenderInput{
		LocalProxy: p.Name, StatsSocket: p.AdminSocket, StatsSocketMode: "600", HAProxyVersion: o.Version,
		Services: []configs.RenderService{configs.Writers()},
		Check:    configs.RenderCheck{Inter: o.CheckInterval, FastInter: o.CheckInterval, Rise: 1, Fall: 2, Port: o.CheckPort},
	}
	if o.Check != "" {
		in.Check.Method, in.Check.Command = configs.CheckExternal, o.Check
	}
	for _, service := range []configs.RenderService{configs.Admin(), configs.MySQLX()}[:max(o.Sticky, 1)-1] {
		service.NodePort = lab.MySQLPort
		in.Services = append(in.Services, service)
	}
	in.Services = append(in.Services, configs.Readers())
	for _, name := range o.Order {
		n := s.Node(name)
		if n == nil {
			return "", fmt.Errorf("the lab has no node %s", name)
		}
		in.Nodes = append(in.Nodes, configs.RenderNode{Name: n.Name, Host: n.IP, ID: slices.Index(s.DB, n) + 1})
	}
	for _, q := range peers {
		in.Proxies = append(in.Proxies, configs.RenderProxy{Name: q.Name, Host: q.IP})
	}
	text, err := configs.Render(in)
	return string(text), err
}

// SecondPort is the port of the second frontend that a StickOn configuration by
// `fe_name` has: each frontend is a key of its own.
const SecondPort = 3308

// withKey fits a `stick on` configuration to a key that is no integer.
func withKey(p *lab.Proxy, key, config string) string {
	if key != "fe_name" {
		return config
	}
	return strings.Replace(config, "type integer", "type string len 32", 1) +
		fmt.Sprintf("frontend galera-in-2\n\tbind %s:%d\n\tdefault_backend galera-nodes\n", p.IP, SecondPort)
}

// DaemonArgs are the arguments of one proxy's daemon.
func (s *Stack) DaemonArgs(p *lab.Proxy) []string { return p.Daemon.Arguments(s.moreArgs()...) }

// Keyless are the arguments of a daemon that has no gossip key.
func (s *Stack) Keyless(p *lab.Proxy) []string { return p.Daemon.Keyless(s.moreArgs()...) }

func (s *Stack) moreArgs() []string {
	more := []string{"--http-bind", "127.0.0.1:9102"}
	if !s.Options.NoProbe {
		more = append(more, "--probe-user", lab.ProbeUser, "--probe-password-file", s.Password)
	}
	return append(more, s.Options.DaemonArgs...)
}

// StartDaemons starts every daemon and waits for its admin socket.
func (s *Stack) StartDaemons(ctx context.Context) error {
	for _, p := range s.PX {
		if err := p.Daemon.Start(lab.DaemonOptions{Args: s.DaemonArgs(p)}); err != nil {
			return err
		}
	}
	for _, p := range s.PX {
		if err := p.Daemon.WaitSocket(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Active asks one proxy's daemon.
func (s *Stack) Active(ctx context.Context, p *lab.Proxy) (api.Active, error) {
	// Not by haproxyctl: waiting asks fifty times a second, and a process for
	// each question would take the machine from what is measured.
	return api.New(p.Daemon.AdminSocket).Active(ctx)
}

// Ask runs haproxyctl with -o json on a proxy and decodes what it says.
func (s *Stack) Ask(ctx context.Context, p *lab.Proxy, into any, args ...string) error {
	r, err := p.Daemon.Ctl(ctx, append([]string{"-o", "json"}, args...)...)
	if err != nil {
		return err
	}
	if r.Exit != 0 {
		return &CtlError{Args: args, Exit: r.Exit, Stderr: strings.TrimSpace(r.Stderr)}
	}
	if err := json.Unmarshal([]byte(r.Stdout), into); err != nil {
		return fmt.Errorf("haproxyctl %s on %s: %w: %s", strings.Join(args, " "), p.Name, err, r.Stdout)
	}
	return nil
}

// CtlError is a haproxyctl that did not end with 0.
type CtlError struct {
	Args   []string
	Exit   int
	Stderr string
}

// Error names the command, its exit status and its words.
func (e *CtlError) Error() string {
	return fmt.Sprintf("haproxyctl %s: exit %d: %s", strings.Join(e.Args, " "), e.Exit, e.Stderr)
}

// GrantEviction gives the probe's account the right to evict, as an administrator does; by default grants.PartEvict.
func (s *Stack) GrantEviction(ctx context.Context, parts ...grants.Part) error {
	if parts == nil {
		parts = []grants.Part{grants.PartEvict}
	}
	text, err := grants.SQL(grants.Config{
		Kind: grants.KindMariaDB, User: lab.ProbeUser, Host: "%", CanarySchema: grants.DefaultCanarySchema, Parts: parts,
	})
	if err != nil {
		return err
	}
	n := s.DB[0]
	if r, err := n.Command(ctx, text, "mariadb", "-uroot", "-S", n.Socket); err != nil {
		return fmt.Errorf("the grants: %w: %s", err, r.Stderr)
	}
	return nil
}

// WaitEvictable waits until every daemon says that any node's death would stop nobody for long: its process was met at its
// group port, and it is known that the account may evict.
func (s *Stack) WaitEvictable(ctx context.Context) error {
	for {
		why := s.notEvictable(ctx)
		if why == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited for every node to be one whose death stops nobody: %s", why)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (s *Stack) notEvictable(ctx context.Context) string {
	for _, p := range s.PX {
		nodes, err := api.New(p.Daemon.AdminSocket).Nodes(ctx)
		if err != nil {
			return err.Error()
		}
		for _, n := range nodes {
			if stall := time.Duration(n.StallMS) * time.Millisecond; stall == 0 || stall > 500*time.Millisecond {
				return fmt.Sprintf("%s of %s: %s", p.Name, n.Name, n.Stall)
			}
		}
	}
	return ""
}

// Set moves the active through one proxy's daemon and waits until all have
// converged (haproxyctl's own waiting).
func (s *Stack) Set(ctx context.Context, p *lab.Proxy, node string, args ...string) (api.SetResponse, error) {
	var r api.SetResponse
	err := s.Ask(ctx, p, &r, append([]string{"active", "set", node}, args...)...)
	return r, err
}

// WaitSteering waits until every proxy's daemon says that n proxies steer and
// have converged.
func (s *Stack) WaitSteering(ctx context.Context, n int) error {
	return s.WaitAll(ctx, fmt.Sprintf("%d proxies to steer", n), func(a api.Active) bool {
		return a.Agreed && a.Steering >= n && a.Converged >= n
	})
}

// WaitActive waits until every running daemon says that node is the active and
// that n proxies have converged to it.
func (s *Stack) WaitActive(ctx context.Context, node string, n int) error {
	return s.WaitAll(ctx, node+" to be the active", func(a api.Active) bool {
		return a.Agreed && a.Active == node && a.Converged >= n
	})
}

// WaitAll polls the daemons that run until all of them satisfy ok.
func (s *Stack) WaitAll(ctx context.Context, what string, ok func(api.Active) bool) error {
	var last error
	for {
		waiting := 0
		for _, p := range s.PX {
			if !p.Daemon.Running() {
				continue
			}
			a, err := s.Active(ctx, p)
			if err == nil && ok(a) {
				continue
			}
			waiting++
			last = errors.Join(err, fmt.Errorf("%s says %+v", p.Name, a))
		}
		if waiting == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited for %s: %w; last: %w", what, ctx.Err(), last)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
