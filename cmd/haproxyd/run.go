package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/cluster/safefile"
	"github.com/haproxy-peers/haproxy-peers/configs"
	"github.com/haproxy-peers/haproxy-peers/control"
	"github.com/haproxy-peers/haproxy-peers/control/drain"
	"github.com/haproxy-peers/haproxy-peers/control/evict"
	"github.com/haproxy-peers/haproxy-peers/control/galera"
	"github.com/haproxy-peers/haproxy-peers/control/galera/conn"
	"github.com/haproxy-peers/haproxy-peers/control/galera/sessions"
	"github.com/haproxy-peers/haproxy-peers/control/haproxycfg"
	"github.com/haproxy-peers/haproxy-peers/control/kube"
	"github.com/haproxy-peers/haproxy-peers/control/lograte"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/control/notify"
	"github.com/haproxy-peers/haproxy-peers/control/steer"
	"github.com/haproxy-peers/haproxy-peers/runtimeapi"
)

// leaveWithin bounds what a clean stop takes: the voters' change and the
// gossip's farewell. Kubernetes grants 30 s.
const leaveWithin = 5 * time.Second

func run(ctx context.Context, s *settings) error {
	log, err := s.logger(os.Stderr)
	if err != nil {
		return usageError(err)
	}
	name, err := s.memberName()
	if err := errors.Join(err, s.checkVoters()); err != nil {
		return usageError(err)
	}
	warnings, err := s.checkFiles()
	if err != nil {
		return err
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	bounded := lograte.New(log.Handler(), reg)
	defer bounded.Flush()
	log = slog.New(bounded)

	cfg := s.Config
	cfg.Name, cfg.Version, cfg.Warnings = name, version, s.gossipWarnings()
	cfg.Logger, cfg.Registerer, cfg.Gatherer = log, reg, reg
	cfg.Receivers, err = s.receivers()
	if err := errors.Join(err, cfg.Validate(), galera.CheckArbitrators(s.Probe.Arbitrators)); err != nil {
		return usageError(err)
	}
	folder, more, err := safefile.Folder(s.DataDir)
	if err != nil {
		return refusedIfUnsafe(err)
	}
	for _, w := range append(warnings, more...) {
		log.Warn("a file of this daemon is open to others", "problem", w)
	}
	cfg.DataDir = folder
	parts := &parts{settings: s, name: name, folder: folder, log: log, reg: reg, done: ctx.Done()}
	deps := control.Deps{
		Cluster: parts.cluster,
		HAProxy: func(socket string) (steer.HAProxy, error) {
			return runtimeapi.New(runtimeapi.Config{Socket: socket, Timeout: time.Second})
		},
	}
	if s.ProbeUser != "" {
		deps.Prober = parts.prober
		deps.Inspector = parts.inspector
		if s.ProbeSSL.Unchecked() {
			log.Warn("--probe-ssl-ca is not looked at: only VERIFY_CA and VERIFY_IDENTITY check the server's certificate", "probe_ssl_mode", s.ProbeSSL.Mode.String())
		}
	} else {
		log.Warn("no --probe-user: HAProxy's own checks are the votes, at their own pace")
	}
	if s.Kubernetes.Selector != "" {
		s.Kubernetes.Logger, s.Kubernetes.Registerer = log, reg
		pods, err := kube.New(s.Kubernetes)
		if err != nil {
			return usageError(err)
		}
		deps.Pods = pods
	}
	d, err := control.New(cfg, deps)
	if err != nil {
		return usageError(err)
	}
	log.Info("starting", "name", name, "version", version, "haproxy_cfg", s.Files, "observe", s.Observe, "witness", s.Witness)

	// A clean stop leaves the voters and the gossip while everything still runs.
	runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	onHangup(runCtx, d.Reread)
	stop := context.AfterFunc(ctx, func() {
		defer cancel()
		parts.leave()
	})
	defer stop()
	if err := d.Run(runCtx); err != nil && !errors.Is(err, context.Canceled) {
		return refusedIfUnsafe(err)
	}
	log.Info("stopped")
	return nil
}

// logger writes to w as --log-format and --log-level say.
func (s *settings) logger(w *os.File) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.LogLevel)); err != nil {
		return nil, fmt.Errorf("log-level %q: give debug, info, warn or error", s.LogLevel)
	}
	opts := &slog.HandlerOptions{Level: level}
	switch s.LogFormat {
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	}
	return nil, fmt.Errorf("log-format %q: give json or text", s.LogFormat)
}

// memberName is --name, else the local peer of haproxy.cfg, else the host's name
// (which is also what HAProxy takes).
func (s *settings) memberName() (string, error) {
	if s.Name != "" {
		return s.Name, nil
	}
	if t, err := configs.Load(s.Files...); err == nil && t.LocalPeer != "" {
		return t.LocalPeer, nil
	}
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("name: %w; give --name", err)
	}
	return name, nil
}

// parts makes what the daemon is made of, once haproxy.cfg is known.
type parts struct {
	*settings
	name   string
	folder string // of this daemon's own files
	log    *slog.Logger
	reg    *prometheus.Registry
	joined atomic.Pointer[cluster.Cluster]
	done   <-chan struct{} // the daemon ends
}

func (p *parts) cluster(t *configs.Topology) (control.Cluster, error) {
	peers := haproxycfg.InitialPeers(t)
	voters, err := p.initialVoters(peers)
	if err != nil {
		return nil, err
	}
	cfg := p.Cluster
	cfg.Name, cfg.Version, cfg.DataDir, cfg.Reads = p.name, version, p.folder, readsRecord
	cfg.GossipAdvertise, cfg.Join, cfg.InitialVoters = p.advertise(peers), p.join(peers), voters
	cfg.Witness, cfg.Observe = p.Witness, p.Observe
	cfg.Logger, cfg.Registerer = p.log, prometheus.WrapRegistererWithPrefix("haproxyd_", p.reg)
	c, err := cluster.New(cfg)
	if err != nil {
		return nil, err
	}
	p.joined.Store(c)
	if host, ok := p.votersName(); ok {
		go p.followVoters(host, c)
	}
	return c, nil
}

// readsRecord says why this version cannot act on a record.
func readsRecord(value []byte) error {
	_, err := model.DecodeRecord(value)
	return err
}

// initialVoters are the names of --initial-voters, else those of the peers
// section. With the flag a member that is not among them founds nothing and is
// taken in later: a HAProxy that was added has the same flag as the others.
func (p *parts) initialVoters(peers []configs.Peer) ([]string, error) {
	if _, ok := p.votersName(); ok {
		return []string{p.name}, nil // followVoters finds the others
	}
	if len(p.InitialVoters) > 0 {
		return p.InitialVoters, nil
	}
	voters := haproxycfg.PeerNames(peers)
	if len(voters) == 0 {
		voters = []string{p.name}
	}
	if !p.Witness && !slices.Contains(voters, p.name) {
		return nil, fmt.Errorf("%s is not a peer of haproxy.cfg (%v): give --name, or add the local peer to the peers section", p.name, voters)
	}
	return voters, nil
}

// receivers are who is told of events.
func (s *settings) receivers() ([]notify.Receiver, error) {
	var all []notify.Receiver
	var errs []error
	for _, text := range s.OnEvent {
		c, err := notify.NewCommand(text)
		all, errs = append(all, c), append(errs, err)
	}
	for _, text := range s.Webhooks {
		w, err := notify.NewWebhook(text)
		all, errs = append(all, w), append(errs, err)
	}
	return all, errors.Join(errs...)
}

func (p *parts) prober(t *configs.Topology, expect func() string) (control.Prober, error) {
	cfg := p.Probe
	cfg.Nodes, cfg.Account, cfg.SSL, cfg.ExpectUUID = haproxycfg.Targets(t), p.account(), p.ProbeSSL, expect
	cfg.Logger, cfg.Registerer = p.log, p.reg
	cfg.Witness, cfg.EvictLast = p.Evict != evict.ModeOff, p.EvictLast
	if p.Canary {
		row := p.CanaryRow
		row.Member, cfg.Canary = p.name, &row
	}
	return galera.New(cfg)
}

func (p *parts) inspector(node galera.Target) (drain.NodeInspector, error) {
	return sessions.New(sessions.Config{
		Address: node.Address, Account: p.account(), SSL: p.ProbeSSL, Logger: p.log.With("node", node.Name),
		Explain: func(err error) string { return galera.JudgeError(err, p.account()).Reason },
	})
}

// account is whom the probe and the look at sessions log in as.
func (p *parts) account() conn.Account {
	return conn.Account{User: p.ProbeUser, PasswordFile: p.ProbePasswordFile}
}

// leave is a clean stop's farewell.
func (p *parts) leave() {
	joined := p.joined.Load()
	if joined == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaveWithin)
	defer cancel()
	if err := joined.Leave(ctx); err != nil {
		p.log.Warn("could not leave cleanly", "error", err)
	}
}

// join is --join, else every peer's host with the gossip's port.
func (p *parts) join(peers []configs.Peer) []string {
	if len(p.Cluster.Join) > 0 {
		return p.Cluster.Join
	}
	_, port, err := net.SplitHostPort(p.Cluster.GossipBind)
	if err != nil {
		return nil // cluster.Config.Validate says it better
	}
	var out []string
	for _, peer := range peers {
		if a, err := netip.ParseAddr(peer.Host); err == nil && a.IsUnspecified() {
			continue // our own, rendered with --peers-bind
		}
		if peer.Host != "" {
			out = append(out, net.JoinHostPort(peer.Host, port))
		}
	}
	return out
}

// advertise is --gossip-advertise, else the local peer's own address where
// haproxy.cfg gives one and the gossip listens on all.
func (p *parts) advertise(peers []configs.Peer) string {
	if p.Cluster.GossipAdvertise != "" {
		return p.Cluster.GossipAdvertise
	}
	host, port, err := net.SplitHostPort(p.Cluster.GossipBind)
	if err != nil {
		return ""
	}
	if a, err := netip.ParseAddr(host); err == nil && !a.IsUnspecified() {
		return ""
	}
	for _, peer := range peers {
		if peer.Name != p.name {
			continue
		}
		if a, err := netip.ParseAddr(peer.Host); err == nil && !a.IsUnspecified() && !a.IsLoopback() {
			return net.JoinHostPort(peer.Host, port)
		}
	}
	return ""
}
