package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// settings are the daemon's flags. Every flag is also an environment variable
// (HAPROXYD_GOSSIP_BIND) and a key of the YAML file (gossip-bind). A flag beats
// the environment, the environment beats the file.
type settings struct {
	HAProxyCfg      []string
	Name            string
	Config          string
	DataDir         string
	AdminSocket     string
	GossipBind      string
	GossipAdvertise string
	GossipKeyFile   string
	GossipLabel     string
	Join            []string
	HTTPBind        string
	ProbeUser       string
	ProbePassword   string
	ProbeInterval   time.Duration
	ProbeDeadline   time.Duration
	MaxAutoMoves    int
	LastResort      bool
	RewriteConfig   bool
	LogFormat       string
	LogLevel        string
	Observe         bool
	Witness         bool
}

// flags declares every flag with its help.
func (s *settings) flags(f *pflag.FlagSet) {
	f.StringArrayVar(&s.HAProxyCfg, "haproxy-cfg", nil, "haproxy.cfg `FILE`; again for each further one, in the order in which HAProxy gets them")
	f.StringVar(&s.Name, "name", "", "this member's stable `NAME` (default: the local peer's name in haproxy.cfg, that is, -L or the hostname)")
	f.StringVar(&s.Config, "config", "", "YAML `FILE` with these settings, the flags' names as keys")
	f.StringVar(&s.DataDir, "data-dir", "/var/lib/haproxyd", "`DIR` of the replicated record; keep it over restarts")
	f.StringVar(&s.AdminSocket, "admin-socket", "/run/haproxyd/admin.sock", "`PATH` of the admin API's unix socket, for haproxyctl")
	f.StringVar(&s.GossipBind, "gossip-bind", "0.0.0.0:7946", "`ADDR:PORT` of the gossip, TCP and UDP")
	f.StringVar(&s.GossipAdvertise, "gossip-advertise", "", "`ADDR:PORT` that the others reach this gossip at (default: this host's address)")
	f.StringVar(&s.GossipKeyFile, "gossip-key-file", "", "`FILE` of gossip keys, one in base64 or hex a line, the first one encrypts; read again when it changes")
	f.StringVar(&s.GossipLabel, "gossip-label", "haproxyd", "`LABEL` of this installation: members with another one are not heard")
	f.StringSliceVar(&s.Join, "join", nil, "`HOST:PORT,...` of first members (default: the hosts of the peers section with the gossip's port)")
	f.StringVar(&s.HTTPBind, "http-bind", "0.0.0.0:9102", "`ADDR:PORT` of /beacon, /healthz, /readyz, /metrics and /active")
	f.StringVar(&s.ProbeUser, "probe-user", "", "database `USER` of the probe (default: none; HAProxy's own checks are the votes then)")
	f.StringVar(&s.ProbePassword, "probe-password-file", "", "`FILE` with the probe user's password; read again when access is denied")
	f.DurationVar(&s.ProbeInterval, "probe-interval", 100*time.Millisecond, "`TIME` between probes of a node")
	f.DurationVar(&s.ProbeDeadline, "probe-deadline", time.Second, "`TIME` after which a node that does not answer counts as hanging")
	f.IntVar(&s.MaxAutoMoves, "max-auto-moves", 6, "`N` automatic moves within an hour are made, one more freezes (0: no limit)")
	f.BoolVar(&s.LastResort, "last-resort", false, "choose a donor, desynced or read-only node when nothing else is left")
	f.BoolVar(&s.RewriteConfig, "rewrite-config", true, "after a move put the active first in a haproxy.cfg that haproxyctl rendered; others are never touched")
	f.StringVar(&s.LogFormat, "log-format", "text", "`json|text`")
	f.StringVar(&s.LogLevel, "log-level", "info", "`debug|info|warn|error`")
	f.BoolVar(&s.Observe, "observe", false, "watch and report, never write: how a careful operator starts")
	f.BoolVar(&s.Witness, "witness", false, "a voter without a HAProxy, for installations with two")
}

// fill sets, from the environment and the file, the flags that the command line
// did not set.
func fill(f *pflag.FlagSet, lookup func(string) (string, bool)) error {
	var errs []error
	fromLine := map[string]bool{}
	f.Visit(func(fl *pflag.Flag) { fromLine[fl.Name] = true })
	fromEnv := map[string]bool{}
	f.VisitAll(func(fl *pflag.Flag) {
		name := envName(fl.Name)
		v, ok := lookup(name)
		if !ok || fromLine[fl.Name] || fl.Name == "help" || fl.Name == "version" {
			return
		}
		fromEnv[fl.Name] = true
		if err := set(f, fl, splitEnv(fl, v)); err != nil {
			errs = append(errs, fmt.Errorf("environment variable %s: %w", name, err))
		}
	})
	path, err := f.GetString("config")
	if err != nil {
		return err
	}
	if path != "" {
		errs = append(errs, fillFile(f, path, func(name string) bool { return fromLine[name] || fromEnv[name] }))
	}
	return errors.Join(errs...)
}

func envName(flag string) string {
	return "HAPROXYD_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// splitEnv separates the values of a flag that may be repeated.
func splitEnv(fl *pflag.Flag, v string) []string {
	if fl.Value.Type() == "stringArray" {
		return strings.Split(v, ",")
	}
	return []string{v}
}

func set(f *pflag.FlagSet, fl *pflag.Flag, values []string) error {
	for _, v := range values {
		if err := f.Set(fl.Name, v); err != nil {
			return err
		}
	}
	return nil
}

// fillFile reads the YAML file. Unknown keys are errors, with their line.
func fillFile(f *pflag.FlagSet, path string, taken func(string) bool) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("config: %w", err)
	}
	var doc yaml.Node
	if err := yaml.NewDecoder(bytes.NewReader(data)).Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil // an empty file
		}
		return fmt.Errorf("config %s: %w", path, err)
	}
	if len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return fmt.Errorf("config %s: expected `key: value` lines", path)
	}
	var errs []error
	var seen []string
	m := doc.Content[0].Content
	for i := 0; i+1 < len(m); i += 2 {
		key, value := m[i], m[i+1]
		fl := f.Lookup(key.Value)
		switch {
		case fl == nil || key.Value == "config" || key.Value == "help" || key.Value == "version":
			errs = append(errs, fmt.Errorf("config %s:%d: unknown key %q; the keys are the flags' names", path, key.Line, key.Value))
			continue
		case slices.Contains(seen, key.Value):
			errs = append(errs, fmt.Errorf("config %s:%d: key %q stands twice", path, key.Line, key.Value))
			continue
		}
		seen = append(seen, key.Value)
		values, err := scalars(value)
		if err == nil && !taken(key.Value) {
			err = set(f, fl, values)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("config %s:%d: %s: %w", path, key.Line, key.Value, err))
		}
	}
	return errors.Join(errs...)
}

func scalars(n *yaml.Node) ([]string, error) {
	switch n.Kind {
	case yaml.ScalarNode:
		return []string{n.Value}, nil
	case yaml.SequenceNode:
		var out []string
		for _, c := range n.Content {
			if c.Kind != yaml.ScalarNode {
				return nil, errors.New("expected a list of plain values")
			}
			out = append(out, c.Value)
		}
		return out, nil
	}
	return nil, errors.New("expected a value or a list of values")
}
