// Command flood attacks one of three daemons, under a normal load on the proxies,
// in each of the ways that somebody has who reaches its ports, or who has become
// what it speaks with. It prints what was really sent and what it did to the
// daemon: generator, databases, proxies and daemons share this machine's
// processors. It ends with 1 if a bound of the design is broken.
package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
	"github.com/haproxy-peers/haproxy-peers/e2e/stack"
)

// The bounds.
const (
	maxRSS    = 64 << 20 // bytes
	maxBeacon = 100 * time.Millisecond
	maxAfar   = time.Second
	maxLines  = 10 // a second
)

func main() { os.Exit(status()) }

func status() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The same binary is the generator, inside a host of the lab.
	role := flag.String("role", "", "what this process does inside a host of the lab; for flood's own use")
	to := flag.String("to", "", "the attacked host's `ADDRESS`")
	long := flag.Duration("for", 10*time.Second, "`TIME` of each attack")
	only := flag.String("only", "", "a part of the `NAME` of the attacks to run")
	flag.Parse()
	var err error
	if *role != "" {
		err = play(ctx, *role, *to, *long)
	} else {
		err = run(ctx, *long, *only)
	}
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "flood:", err)
		return 1
	}
	return 0
}

// attack is one way to attack a daemon.
type attack struct {
	name string
	// role is the generator's; it runs on the client host, or on the attacked daemon's
	// own. "" for a stub's attack.
	role string
	here bool
	// stub puts something in the place of what the daemon speaks with, until undone,
	// which says what it did.
	stub func(ctx context.Context, f *flood, target *lab.Proxy) (undo func() (string, error), err error)
	// blind: the attacked daemon's proxy does not steer meanwhile, which is right.
	blind bool
	// avoid is a node to which no move leads, for it is the attack.
	avoid string
}

// keyed are the attacks on daemons with a gossip key, insecure those without one.
var (
	keyed = []attack{
		{name: "at rest"},
		{name: "datagrams of garbage", role: "garbage"},
		{name: "datagrams of valid shape, no key", role: "shaped"},
		{name: "views of invented members, no key", role: "views"},
		{name: "500 streams that stop in the middle", role: "streams"},
		{name: "5,000 unfinished HTTP requests", role: "unfinished"},
		{name: "5,000 of them from its own host", role: "unfinished", here: true},
		{name: "1,000 /metrics a second", role: "metrics"},
		{name: "2,000 that look at the page", role: "pages"},
		{name: "TLS handshakes without a certificate", role: "handshakes"},
		{name: "a HAProxy that trickles", stub: trickling, blind: true},
		{name: "a HAProxy that answers without end", stub: endless, blind: true},
		{name: "a database that trickles", stub: database("greeting"), avoid: "db2"},
		{name: "a database whose result trickles", stub: database("result"), avoid: "db2"},
	}
	insecure = []attack{
		{name: "insecure: datagrams of garbage", role: "garbage"},
		{name: "insecure: views of invented members", role: "views"},
		{name: "insecure: 500 streams that stop", role: "streams"},
	}
)

// flood is the stage.
type flood struct {
	*stack.Stack
	self   string // this program
	out    []result
	broken int
}

func run(ctx context.Context, long time.Duration, only string) (err error) {
	if err := lab.Requirements(lab.Config{}); err != nil {
		return fmt.Errorf("%w; e2e/install-deps.sh installs them", err)
	}
	dir, err := os.MkdirTemp("", "haproxy-peers-flood-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	haproxyd, haproxyctl, err := lab.Build(ctx, dir)
	if err != nil {
		return err
	}
	l, err := lab.New(ctx, lab.Config{Haproxyd: haproxyd, Haproxyctl: haproxyctl})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	f := &flood{}
	if f.self, err = os.Executable(); err != nil {
		return err
	}
	key, err := keyFile(dir)
	if err != nil {
		return err
	}
	certs, err := certificates(ctx, dir)
	if err != nil {
		return err
	}
	var open []string
	if help, err := l.Client.Run(ctx, haproxyd, "--help"); err == nil && strings.Contains(help.Stdout, "--gossip-insecure") {
		open = []string{"--gossip-insecure"}
	}
	for _, part := range []struct {
		args    []string
		attacks []attack
	}{{append([]string{"--gossip-key-file", key, "--ui-bind", "0.0.0.0:" + pagePort}, certs...), keyed}, {open, insecure}} {
		f.Stack = nil
		for i := range part.attacks {
			if !strings.Contains(part.attacks[i].name, only) {
				continue
			}
			if err := f.one(ctx, l, part.args, &part.attacks[i], long); err != nil {
				return fmt.Errorf("%s: %w", part.attacks[i].name, err)
			}
		}
	}
	f.print(os.Stdout)
	if f.broken > 0 {
		return fmt.Errorf("%d of %d attacks broke a bound", f.broken, len(f.out))
	}
	return nil
}

func keyFile(dir string) (string, error) {
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails: crypto/rand
	path := filepath.Join(dir, "gossip-key")
	return path, os.WriteFile(path, []byte(base64.StdEncoding.EncodeToString(key[:])+"\n"), 0o600)
}

// certificates are the flags of an admin API for who has a certificate. Nobody has one.
func certificates(ctx context.Context, dir string) ([]string, error) {
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "cert.key")
	out, err := exec.CommandContext(ctx, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
		"-subj", "/CN=flood", "-keyout", key, "-out", cert).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("make a certificate (Debian: openssl): %w: %s", err, out)
	}
	return []string{"--admin-bind", "0.0.0.0:" + adminPort, "--admin-tls-cert", cert, "--admin-tls-key", key, "--admin-tls-client-ca", cert}, nil
}

// one runs one attack, on daemons that steer.
func (f *flood) one(ctx context.Context, l *lab.Lab, args []string, a *attack, long time.Duration) error {
	if f.Stack == nil {
		if err := l.Reset(ctx); err != nil {
			return err
		}
		// A stranger reaches the port, which the lab's daemons bind to loopback else.
		s, err := stack.Up(ctx, l, stack.Options{DaemonArgs: append([]string{"--http-bind", "0.0.0.0:9102"}, args...)})
		if err != nil {
			return err
		}
		f.Stack = s
		if _, err := s.StartLoad(ctx, lab.LoadConfig{Clients: 4, Rate: 100, ReconnectEvery: 10}); err != nil {
			return err
		}
		sleep(ctx, 12*time.Second) // a HAProxy that has just started is watched closely for ten seconds
	}
	_, _ = fmt.Fprintln(os.Stderr, "attack:", a.name)
	r, err := f.attack(ctx, a, long)
	if err != nil {
		return err
	}
	// What follows must not start from what this one has left.
	wctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := f.WaitSteering(wctx, len(f.PX)); err != nil {
		if ctx.Err() != nil {
			return err
		}
		r.broken = append(r.broken, "not all steer 30 s later")
		f.Stack = nil
	}
	if len(r.broken) > 0 {
		f.broken++
	}
	f.out = append(f.out, *r)
	_, _ = fmt.Fprintf(os.Stderr, "  %+v\n", *r)
	return nil
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
