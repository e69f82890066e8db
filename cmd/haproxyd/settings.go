package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/cluster/gossip"
	"github.com/haproxy-peers/haproxy-peers/control"
	"github.com/haproxy-peers/haproxy-peers/control/evict"
	"github.com/haproxy-peers/haproxy-peers/control/galera"
	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
	"github.com/haproxy-peers/haproxy-peers/control/kube"
	"github.com/haproxy-peers/haproxy-peers/control/steer"
)

// settings are the daemon's flags. Every flag is also an environment variable
// (HAPROXYD_GOSSIP_BIND) and a key of the YAML file (gossip-bind). A flag beats
// the environment, the environment beats the file.
type settings struct {
	control.Config
	// Of these four the flags set a part; the rest is filled in when they are used.
	Cluster    cluster.Config
	Probe      galera.Config
	CanaryRow  galera.CanaryConfig
	Kubernetes kube.Config
	// OnEvent and Webhooks are who is told of events.
	OnEvent, Webhooks []string
	LogFormat         string
	LogLevel          string
	Supervise         string
}

// flags declares every flag with its help.
func (s *settings) flags(f *pflag.FlagSet) {
	f.StringArrayVar(&s.Files, "haproxy-cfg", nil, "haproxy.cfg `FILE`, or a folder; again for each further one, in the order in which HAProxy gets them")
	f.StringVar(&s.Name, "name", "", "this member's stable `NAME` (default: the local peer's name in haproxy.cfg, that is, -L or the hostname)")
	f.String("config", "", "YAML `FILE` with these settings, the flags' names as keys")
	f.StringVar(&s.DataDir, "data-dir", "/var/lib/haproxyd", "`DIR` of the replicated record; keep it over restarts")
	f.StringVar(&s.AdminSocket, "admin-socket", "/run/haproxyd/admin.sock", "`PATH` of the admin API's unix socket, for haproxyctl")
	f.StringVar(&s.Cluster.GossipBind, "gossip-bind", "0.0.0.0:7946", "`ADDR:PORT` of the gossip, TCP and UDP")
	f.StringVar(&s.Cluster.GossipAdvertise, "gossip-advertise", "", "`ADDR:PORT` that the others reach this gossip at (default: this host's address)")
	f.StringVar(&s.Cluster.KeyFile, "gossip-key-file", "", "`FILE` of gossip keys (haproxyctl gossip-key makes one), one in base64 or hex a line, the first one encrypts; read again when it changes. Required, unless the gossip is bound to loopback")
	f.BoolVar(&s.Cluster.Insecure, "gossip-insecure", false, "start without a gossip key: whoever reaches the gossip's port can take part in decisions then. With a key it means nothing")
	f.StringVar((*string)(&s.Cluster.Encrypt), "gossip-encrypt", string(gossip.EncryptRequire), "how the gossip key is used: `accept|send|require`: plain messages are sent, encrypted ones are taken as well; encrypted ones are sent, plain ones are taken as well; nothing plain is sent or taken. One after the other, each on all members before the next, they bring a key into a cluster that runs without one")
	f.StringVar(&s.Cluster.Label, "gossip-label", "haproxyd", "`LABEL` of this installation: members with another one are not heard")
	f.StringSliceVar(&s.Cluster.Join, "join", nil, "`HOST:PORT,...` of first members (default: the hosts of the peers section with the gossip's port)")
	f.StringSliceVar(&s.Backends, "backends", nil, "`NAME,...` of the sticky backends of the database, where haproxy.cfg has those of other services, too (default: all that have servers in common)")
	f.StringSliceVar(&s.InitialVoters, "initial-voters", nil, "`NAME,...` of the voters of a first start, the same for all members (default: the names in the peers section), or dns:HOST: whoever has an address there, looked up until a record is known; for a haproxy.cfg whose peers section does not name them all")
	f.IntVar(&s.Cluster.BootstrapExpect, "bootstrap-expect", 0, "never start the first record by itself with fewer than `N` initial voters, nor before all of them mean the same ones; more than half of all members (0: off)")
	f.StringVar(&s.HTTPBind, "http-bind", "0.0.0.0:9102", "`ADDR:PORT` of /beacon, /healthz, /readyz, /metrics and /active")
	f.StringVar(&s.Scrape.Bind, "metrics-bind", "", "`ADDR:PORT` of /metrics on a port of its own, for --metrics-web-config (default: on --http-bind alone, which stays plain: HAProxy's checks are)")
	f.StringVar(&s.Scrape.WebConfig, "metrics-web-config", "", "`FILE` with TLS and passwords for it, as Prometheus and its exporters have it (web.yml of exporter-toolkit); read again for each request, but whether there is TLS is decided at the start")
	f.StringVar(&s.AdminBind, "admin-bind", "", "`ADDR:PORT` (9104) of the admin API for haproxyctl --endpoint, over TLS, for who shows a certificate (default: the unix socket alone)")
	f.StringVar(&s.AdminCerts.Cert, "admin-tls-cert", "", "PEM `FILE` of this daemon's certificate for it; this and the next two are read again when they change")
	f.StringVar(&s.AdminCerts.Key, "admin-tls-key", "", "PEM `FILE` of that certificate's key")
	f.StringVar(&s.AdminCerts.ClientCA, "admin-tls-client-ca", "", "PEM `FILE` of the CA that signs the clients' certificates: the subject's CN is who gives an order, its O what may be done, haproxyd-viewer or haproxyd-operator")
	f.StringVar(&s.UIBind, "ui-bind", "127.0.0.1:9105", "`ADDR:PORT` of a page for people, which shows everything and changes nothing, to whoever reaches it; off: none")
	f.StringVar(&s.ProbeUser, "probe-user", "", "database `USER` of the probe (default: none; HAProxy's own checks are the votes then)")
	f.StringVar(&s.ProbePasswordFile, "probe-password-file", "", "`FILE` with the probe user's password; read again when access is denied")
	s.ProbeSSL.Mode = conn.SSLPreferred
	f.Var(&s.ProbeSSL.Mode, "probe-ssl-mode", "TLS to the database, in the words of MySQL's clients: `MODE` DISABLED, PREFERRED (where the server offers it, plain where that fails), REQUIRED, VERIFY_CA or VERIFY_IDENTITY")
	f.StringVar(&s.ProbeSSL.CA, "probe-ssl-ca", "", "PEM `FILE` of the CA that VERIFY_CA and VERIFY_IDENTITY check the server by; this and the next two are read for every connection")
	f.StringVar(&s.ProbeSSL.Cert, "probe-ssl-cert", "", "PEM `FILE` of the probe's own certificate, for an account that REQUIREs one")
	f.StringVar(&s.ProbeSSL.Key, "probe-ssl-key", "", "PEM `FILE` of that certificate's key")
	f.DurationVar(&s.Probe.Interval, "probe-interval", 100*time.Millisecond, "`TIME` between probes of a node")
	f.DurationVar(&s.Probe.Deadline, "probe-deadline", time.Second, "`TIME` after which a node that does not answer counts as hanging")
	f.IntVar(&s.Policy.MaxAutoMoves, "max-auto-moves", 6, "`N` automatic moves within an hour are made, one more freezes (0: no limit); those before a node's announced end do not count")
	f.BoolVar(&s.Policy.LastResort, "last-resort", false, "choose a donor, desynced or read-only node when nothing else is left")
	f.StringVar(&s.OnBlind, "on-blind", steer.BlindFence, "what a proxy does that cannot reach the active: `fence|follow|serve`: it serves nobody; the same, and the cluster moves to a node that everybody reaches; it goes elsewhere alone (two writers)")
	f.StringVar(&s.OnNoMajority, "on-no-majority", control.NoMajorityNative, "what a proxy does without a majority: `native|fence`: HAProxy's own checks rule; after --fence-after it serves nobody, and a failover waits for that")
	f.DurationVar(&s.FenceAfter, "fence-after", 3*time.Second, "`TIME` without a majority after which --on-no-majority fence fences")
	f.StringSliceVar(&s.Policy.Leave, "leave", []string{"maintenance"}, "leave a serving active by a planned move when it is one of `maintenance,donor,read-only` (empty: never)")
	f.DurationVar(&s.Policy.LeaveTimeout, "leave-timeout", 10*time.Second, "`TIME` that such a move gives transactions to end; a pod that is being deleted gives them its own time")
	f.DurationVar(&s.Policy.MinStay, "min-stay", 30*time.Second, "`TIME` after a decision in which a serving active is not left automatically; a dead one, and one that is about to end, is left at once")
	f.Int64Var(&s.Policy.MaxLag, "max-lag", 1000, "a node that is more than `N` write sets behind is not chosen while another would do (0: no limit)")
	f.StringVar(&s.Readers, "readers", steer.ReadersAll, "what reader backends do with the active: `all|exclude-active`: nothing; it drains there and the former one comes back")
	f.BoolVar(&s.Canary, "canary", false, "commit a row of its own on every node, to tell a node whose commits hang from a slow cluster")
	f.StringVar(&s.CanaryRow.Schema, "canary-schema", "haproxyd", "`SCHEMA` of the canary's table")
	f.DurationVar(&s.CanaryRow.Interval, "canary-interval", 500*time.Millisecond, "`TIME` between two of its commits")
	f.DurationVar(&s.CanaryRow.Deadline, "canary-deadline", time.Second, "`TIME` after which its commit counts as hanging")
	f.StringVar(&s.Evict, "evict", evict.ModeGone, "tell Galera of a database that has died, so that the others need not wait for its timers: `gone|silent|off`: where both of its ports refuse; also where both are silent; never. It needs rights (haproxyctl galera grants), and does nothing without them")
	f.BoolVar(&s.EvictLast, "evict-last", false, "keep the last of two databases primary when every voter says that the other one's process is gone, instead of leaving it without a majority until somebody bootstraps it. RISK: two clusters with different data if all of them are wrong (docs/eviction.md)")
	f.StringSliceVar(&s.Probe.Arbitrators, "arbitrator", nil, "`HOST:PORT,...` of the group ports (4567) of Galera arbitrators (garbd): members that count in a quorum and have no database. Run them with evs.view_forget_timeout=PT3S (docs/eviction.md)")
	f.BoolVar(&s.RewriteConfig, "rewrite-config", true, "after a move put the active first in a haproxy.cfg that haproxyctl rendered; others are never touched")
	f.StringVar(&s.Kubernetes.Selector, "kubernetes-pods", "", "label `SELECTOR` of the database pods in this namespace: the writes leave a pod that is being deleted before its end (default: not watched); needs get, list and watch on pods")
	f.StringVar(&s.Kubernetes.API, "kubernetes-api", "", "`URL` of the API server (default: what Kubernetes tells every container)")
	f.StringVar(&s.Kubernetes.Account, "kubernetes-account", kube.DefaultAccount, "`DIR` of the service account: token, ca.crt, namespace; read again for every request")
	f.StringArrayVar(&s.OnEvent, "on-event", nil, "`PROGRAM ARGS` to run for each event, without a shell: the event is in its environment (HAPROXYD_EVENT...) and as JSON on its standard input (docs/events.md); may be repeated")
	f.StringArrayVar(&s.Webhooks, "webhook", nil, "`URL` that each event is posted to, as a CloudEvent (docs/events.md); may be repeated")
	f.StringVar(&s.LogFormat, "log-format", "text", "`json|text`")
	f.StringVar(&s.LogLevel, "log-level", "info", "`debug|info|warn|error`")
	f.BoolVar(&s.Observe, "observe", false, "watch and report, never write: how a careful operator starts")
	f.BoolVar(&s.Witness, "witness", false, "a voter without a HAProxy, for installations with two")
	f.StringVar(&s.Supervise, "supervise", "", "for a container: run the daemon as a child process that is started again at once when it dies or hangs, and answer /healthz for the container at `ADDR:PORT` (default: no child)")
}

// fill sets, from the environment and the file, the flags that the command line
// did not set.
func fill(f *pflag.FlagSet, lookup func(string) (string, bool)) error {
	var errs []error
	f.VisitAll(func(fl *pflag.Flag) {
		name := "HAPROXYD_" + strings.ToUpper(strings.ReplaceAll(fl.Name, "-", "_"))
		v, ok := lookup(name)
		if !ok || fl.Changed || fl.Name == "help" || fl.Name == "version" {
			return
		}
		values := []string{v}
		if fl.Value.Type() == "stringArray" { // one that may be repeated
			values = strings.Split(v, ",")
		}
		err := set(f, fl, values)
		fl.Changed = true // the file has no say in it, even where this is wrong
		if err != nil {
			errs = append(errs, fmt.Errorf("environment variable %s: %w", name, err))
		}
	})
	path, err := f.GetString("config")
	if err != nil {
		return err
	}
	if path != "" {
		errs = append(errs, fillFile(f, path))
	}
	return errors.Join(errs...)
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
func fillFile(f *pflag.FlagSet, path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("config: %w", err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return fmt.Errorf("config %s: %w", path, err)
	}
	if doc.IsZero() {
		return nil // an empty file
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
		if err == nil && !fl.Changed {
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
