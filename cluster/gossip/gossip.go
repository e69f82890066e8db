package gossip

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
	"golang.org/x/sync/errgroup"
)

// ErrNotRunning is returned by Leave before Run has opened the sockets and after it ended.
var ErrNotRunning = errors.New("gossip is not running")

const (
	// settleAfter is how long a process that has joined waits for members of
	// its own name to show before it counts as the only one.
	settleAfter = 300 * time.Millisecond
	// forgetAfter is how long the view of a process that is no member any more is kept.
	forgetAfter = time.Minute
	// inboundSize bounds the received messages that wait; more are dropped.
	inboundSize = 1024
	// streams bounds the streams that are being sent at the same time.
	streams = 16
	// packetSize is the largest packet that memberlist makes.
	packetSize = 1400
	// packetOverhead is what memberlist may add to a direct message beside the
	// label: type, checksum, key version, nonce and tag, generously.
	packetOverhead = 64
)

// Gossip is this process's part of the gossip. New, then Run; all methods may be
// called at any time from any goroutine.
type Gossip struct {
	cfg     Config
	process string
	log     *slog.Logger
	metrics *metrics
	packer  packer
	queue   queue
	lines   lines
	sources *sources
	admits  admission
	sockets *sockets // nil with another transport
	records recordGate
	waiting atomic.Int64 // bytes in inbound

	keyText string              // content of the key file when it was first read
	seal    *seal               // nil without keys
	keyring *memberlist.Keyring // nil without keys

	inbound chan []byte
	publish chan struct{} // own view or record changed
	renew   chan struct{} // own metadata changed
	lifted  chan struct{} // members changed
	slots   chan struct{} // streams

	// life guards ended, ml and out: no use before start nor after Shutdown.
	life    sync.RWMutex
	ended   bool
	ml      *memberlist.Memberlist
	out     sender // ml, except in the simulation
	settled chan struct{}
	sending sync.WaitGroup

	mu      sync.Mutex // guards what follows up to record; never held while memberlist is called
	meta    Meta
	members map[string]*memberState // by process, this one included
	gone    map[string]*memberState
	views   viewStore
	early   map[string]early // by process
	seq     uint64
	record  *storedRecord
	// cluster is the id given to SetCluster.
	cluster atomic.Uint64
	// relays is set while there are members that direct datagrams do not reach.
	relays atomic.Bool
}

// sender is what publications and direct messages need of memberlist.
type sender interface {
	SendBestEffort(to *memberlist.Node, message []byte) error
	SendReliable(to *memberlist.Node, message []byte) error
}

type storedRecord struct {
	Record
	message []byte // sealed
}

// New checks the configuration, reads the keys and registers the metrics. The
// sockets are opened by Run.
func New(cfg Config) (*Gossip, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		return nil, fmt.Errorf("gossip metrics: %w", err)
	}
	cfg.Meta.Settled = false
	g := &Gossip{
		cfg: cfg, process: newProcess(cfg.Meta.Name), log: cfg.Logger, metrics: m,
		inbound: make(chan []byte, inboundSize),
		publish: make(chan struct{}, 1), renew: make(chan struct{}, 1), lifted: make(chan struct{}, 1),
		slots: make(chan struct{}, streams), settled: make(chan struct{}),
		sources: newSources(), records: recordGate{seed: maphash.MakeSeed()},
		meta: cfg.Meta, members: map[string]*memberState{}, gone: map[string]*memberState{}, views: viewStore{}, early: map[string]early{},
	}
	if cfg.KeyFile != "" {
		text, warning, err := readKeyFile(cfg.KeyFile)
		if err != nil {
			return nil, err
		}
		if warning != "" {
			g.log.Warn("the gossip key file is not safe", "file", cfg.KeyFile, "problem", warning)
		}
		keys, err := parseKeys(cfg.KeyFile, text)
		if err != nil {
			return nil, err
		}
		if g.keyring, err = memberlist.NewKeyring(keys, keys[0]); err != nil {
			return nil, fmt.Errorf("gossip keys: %w", err)
		}
		g.keyText = string(text)
		g.seal = newSeal(cmp.Or(cfg.Encrypt, EncryptRequire), cfg.Label, keys, g.log, m)
		if g.seal.mode == EncryptRequire {
			m.encrypted.Set(1)
		}
	}
	return g, nil
}

// Settled is closed once no other live process is known to have this one's name.
func (g *Gossip) Settled() <-chan struct{} { return g.settled }

// Run opens the sockets, joins the others and works until ctx is done, which to
// the others looks like a crash; call Leave first for a clean stop. It returns a
// *NameTakenError when another live process has this one's stable name.
func (g *Gossip) Run(ctx context.Context) error {
	if err := g.start(ctx); err != nil {
		return err
	}
	attempted := make(chan struct{})
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return g.loop(ctx, attempted) })
	group.Go(func() error { g.runJoiner(ctx, attempted); return nil })
	group.Go(func() error { g.runRenewal(ctx); return nil })
	if g.cfg.KeyFile != "" {
		group.Go(func() error { g.runKeys(ctx); return nil })
	}
	err := group.Wait()
	g.life.Lock()
	g.ended = true
	g.life.Unlock()
	g.sending.Wait()
	if e := g.ml.Shutdown(); e != nil && err == nil {
		err = fmt.Errorf("gossip shutdown: %w", e)
	}
	return err
}

// start opens the sockets.
func (g *Gossip) start(ctx context.Context) error {
	c := memberlist.DefaultLANConfig()
	c.Name = g.process
	c.Label = g.cfg.Label
	host, port, err := splitHostPort(g.cfg.Bind)
	if err != nil {
		return err
	}
	c.BindAddr, c.BindPort = host, port
	if c.AdvertiseAddr, c.AdvertisePort, err = advertise(ctx, g.cfg); err != nil {
		return err
	}
	// Crash detection with three members: 1.5 s at the median, 2.5 s at most.
	c.ProbeInterval, c.ProbeTimeout = probeInterval, probeTimeout
	c.SuspicionMult, c.SuspicionMaxTimeoutMult = 2, 2
	c.GossipInterval, c.PushPullInterval = gossipInterval, g.cfg.times.pushPull
	c.TCPTimeout = streamTimeout
	c.UDPBufferSize = packetSize
	c.DelegateProtocolMax = Reads // spoken: 0, as by those that know of none
	c.EnableCompression = false
	c.Delegate, c.Events, c.Alive = (*delegate)(g), (*delegate)(g), (*delegate)(g)
	c.Logger = log.New(&logBridge{logger: g.log, drop: g.metrics.drop, lines: &g.lines}, "", 0)
	if g.seal != nil {
		c.Keyring = g.keyring
		c.GossipVerifyOutgoing = g.seal.mode != EncryptAccept
		c.GossipVerifyIncoming = g.seal.mode == EncryptRequire
		c.UDPBufferSize -= sealOverhead
	} else {
		g.log.Warn("gossip is neither encrypted nor authenticated: whoever reaches the port can take part; set a key file")
	}
	if c.Transport, err = g.transport(host, port); err != nil {
		return fmt.Errorf("gossip on %s: %w", g.cfg.Bind, err)
	}
	ml, err := memberlist.Create(c)
	if err != nil {
		return fmt.Errorf("gossip on %s: %w", g.cfg.Bind, errors.Join(err, c.Transport.Shutdown()))
	}
	g.life.Lock()
	g.ml, g.out = ml, ml
	g.life.Unlock()
	return nil
}

// transport stacks what is between memberlist and the sockets. The guard looks at
// datagrams where they come in and, of sealed ones, once more at what they held; at
// streams as memberlist would read them.
func (g *Gossip) transport(host string, port int) (memberlist.Transport, error) {
	if t := g.cfg.Transport; t != nil {
		if g.seal == nil {
			return t, nil
		}
		return g.seal.over(t), nil
	}
	s, err := listen(host, port, g.log)
	if err != nil {
		return nil, err
	}
	guard := g.newGuard()
	g.sockets = s
	var under memberlist.NodeAwareTransport = s
	if g.seal != nil {
		g.seal.guard = guard
		under = g.seal.over(s)
	}
	s.serve(guard)
	return guardStreams(under, guard, streamTimeout), nil
}

// Leave tells the others that this process stops, and waits until at least one
// was told or ctx is done. Run still has to be ended after it.
func (g *Gossip) Leave(ctx context.Context) error {
	timeout := 2 * time.Second
	if t, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(t))
	}
	g.life.RLock()
	defer g.life.RUnlock()
	if g.ended || g.ml == nil {
		return ErrNotRunning
	}
	return g.ml.Leave(max(timeout, time.Millisecond))
}

// loop is the one goroutine that handles what comes in and what is due.
func (g *Gossip) loop(ctx context.Context, attempted <-chan struct{}) error {
	var (
		rivals = rivals{self: g.process}
		settle time.Time // when to count as settled, zero: not known yet
		beat   = time.Now().Add(g.cfg.times.beat)
		timer  = time.NewTimer(0)
		same   map[string]string // live processes of this one's name
		sent   published

		favoured time.Time
	)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case b := <-g.inbound:
			g.waiting.Add(-int64(len(b)))
			if err := g.handle(&rivals, b); err != nil {
				return err
			}
			if len(g.inbound) > 0 {
				continue // the timers can wait for a moment
			}
		case <-g.publish:
			g.publishChanges(&sent)
		case <-g.lifted:
			same = g.sameName()
			if now := time.Now(); now.Sub(favoured) > favourEvery {
				favoured = now
				g.favour()
			}
		case <-attempted:
			attempted = nil
			settle = time.Now().Add(settleAfter)
		case <-timer.C:
		}
		now := time.Now()
		if !now.Before(beat) {
			beat = now.Add(g.cfg.times.beat)
			g.beat(&sent)
			g.forget(now)
			g.favour()
		}
		settledNow := g.isSettled()
		rivals.sync(now, same, g.address(), settledNow)
		g.metrics.rivals.Set(float64(rivals.insisting()))
		for process, c := range rivals.tick(now, token) {
			c.Name = g.cfg.Meta.Name
			g.sendTo(process, c.encode())
		}
		if !settledNow && !settle.IsZero() && !now.Before(settle) && (!rivals.pending() || now.Sub(settle) > settleLimit) {
			g.SetMeta(func(m *Meta) { m.Settled = true })
			close(g.settled)
			settle = time.Time{}
			g.log.Info("settled", "process", g.process, "address", g.address())
		}
		next := beat
		for _, t := range []time.Time{rivals.next(), settle} {
			if !t.IsZero() && t.Before(next) {
				next = t
			}
		}
		timer.Reset(max(time.Until(next), time.Millisecond))
	}
}

// runRenewal tells the others of changed metadata. memberlist's UpdateNode waits
// until somebody was told, so it has a goroutine of its own.
func (g *Gossip) runRenewal(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.renew:
			if err := g.ml.UpdateNode(time.Second); err != nil {
				g.log.Debug("nobody was told of the changed metadata yet", "error", err)
			}
		}
	}
}

// runKeys reads the key file again when it changes.
func (g *Gossip) runKeys(ctx context.Context) {
	tick := time.NewTicker(g.cfg.times.keys)
	defer tick.Stop()
	last := g.keyText
	problem := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		text, warning, err := readKeyFile(g.cfg.KeyFile)
		if err == nil && string(text) == last {
			problem = ""
			continue
		}
		var keys [][]byte
		if err == nil {
			keys, err = parseKeys(g.cfg.KeyFile, text)
		}
		if err == nil {
			g.seal.setKeys(keys)
			err = installKeys(g.keyring, keys)
		}
		if err != nil {
			if problem != err.Error() {
				problem = err.Error()
				g.log.Error("keeping the gossip keys as they are", "error", err)
			}
			continue
		}
		last, problem = string(text), ""
		if warning != "" {
			g.log.Warn("the gossip key file is not safe", "file", g.cfg.KeyFile, "problem", warning)
		}
		g.log.Info("installed new gossip keys", "file", g.cfg.KeyFile, "keys", len(keys))
	}
}
