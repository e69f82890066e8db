package gossip

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/haproxy-peers/haproxy-peers/cluster/nudge"
)

func TestClosedByDefault(t *testing.T) {
	good := Config{Meta: Meta{Name: "px0"}, Label: "x", Deliver: func(Message) {}, Status: func() Status { return Status{} }}
	file := filepath.Join(t.TempDir(), "keys")
	writeKeys(t, file, key(1))
	for _, c := range []struct {
		bind     string
		change   func(*Config)
		security bool   // a SecurityError
		word     string // in another error
	}{
		{bind: "0.0.0.0:7946", security: true},
		{bind: "[::]:7946", security: true},
		{bind: "10.0.0.1:7946", security: true},
		{bind: "[fd00::1]:7946", security: true},
		{bind: "128.0.0.1:7946", security: true},
		{bind: "127.0.0.1:0"},
		{bind: "127.9.8.7:0"},
		{bind: "[::1]:0"},
		{bind: "[::ffff:127.0.0.1]:0"},
		{bind: "10.0.0.1:7946", change: func(c *Config) { c.Insecure = true }},
		{bind: "10.0.0.1:7946", change: func(c *Config) { c.KeyFile = file }},
		{bind: "10.0.0.1:7946", change: func(c *Config) { c.KeyFile, c.Encrypt, c.Insecure = file, EncryptAccept, true }},
		{bind: "10.0.0.1:7946", change: func(c *Config) { c.Encrypt, c.Insecure = EncryptRequire, true }},
		{bind: "10.0.0.1:7946", change: func(c *Config) { c.Encrypt, c.Insecure = EncryptSend, true }, word: "needs a key file"},
		{bind: "10.0.0.1:7946", change: func(c *Config) { c.KeyFile, c.Encrypt = file, "maybe" }, word: "take accept, send or require"},
	} {
		cfg := good
		cfg.Bind = c.bind
		if c.change != nil {
			c.change(&cfg)
		}
		_, err := New(cfg)
		var refused *SecurityError
		if errors.As(err, &refused) != c.security || (err != nil) != (c.security || c.word != "") || (err != nil && !strings.Contains(err.Error(), c.word)) {
			t.Errorf("%s, key file %q, %q, insecure %v: %v", c.bind, cfg.KeyFile, cfg.Encrypt, cfg.Insecure, err)
		}
		if c.security && (strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "haproxyctl gossip-key")) {
			t.Errorf("that is not one line that says what to do: %v", err)
		}
	}
}

func TestKeyFilesOfOthersAreRefused(t *testing.T) {
	dir := t.TempDir()
	// As Kubernetes mounts a Secret: a link to a link to a directory.
	secret := filepath.Join(dir, "..2026_01_01")
	if err := os.Mkdir(secret, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(secret, "keys")
	writeKeys(t, file, key(1))
	for link, to := range map[string]string{"..data": "..2026_01_01", "keys": "..data/keys"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o777); err != nil { // a volume's root
		t.Fatal(err)
	}
	for _, c := range []struct {
		mode          os.FileMode
		warns, refuse bool
	}{
		{0o600, false, false}, {0o400, false, false}, {0o440, false, false}, {0o640, false, false},
		{0o444, true, false}, {0o644, true, false}, {0o604, true, false},
		{0o660, false, true}, {0o620, false, true}, {0o602, false, true}, {0o666, false, true}, {0o777, false, true},
	} {
		if err := os.Chmod(file, c.mode); err != nil {
			t.Fatal(err)
		}
		_, warning, err := readKeyFile(filepath.Join(dir, "keys"))
		var refused *SecurityError
		if errors.As(err, &refused) != c.refuse || (warning != "") != c.warns {
			t.Errorf("mode %o: warning %q, %v", c.mode, warning, err)
		}
		_, err = New(Config{
			Meta: Meta{Name: "px0"}, Label: "x", Bind: "127.0.0.1:0", Deliver: func(Message) {}, Status: func() Status { return Status{} },
			KeyFile: filepath.Join(dir, "keys"),
		})
		if (err != nil) != c.refuse {
			t.Errorf("mode %o: New: %v", c.mode, err)
		}
	}
}

// A file that others may write is not read again either.
func TestRewrittenKeyFileOfOthersIsNotTaken(t *testing.T) {
	w := newWorld(t)
	file := filepath.Join(t.TempDir(), "keys")
	writeKeys(t, file, key(1))
	m := w.start("px0", addresses(1)[0], func(c *Config) { c.KeyFile, c.times.keys = file, 10*time.Millisecond })
	w.eventually(3*time.Second, "settled", m.isSettledNow)
	if err := os.Chmod(file, 0o620); err != nil {
		t.Fatal(err)
	}
	open, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append(open, []byte("\n"+NewKey()+"\n")...), 0o620); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	if n := len(m.keyring.GetKeys()); n != 1 {
		t.Errorf("%d keys are installed", n)
	}
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	w.eventually(3*time.Second, "the keys, once the file is safe", func() bool { return len(m.keyring.GetKeys()) == 2 })
}

func TestNewKeyIsAKey(t *testing.T) {
	a, b := NewKey(), NewKey()
	if keys, err := parseKeys("x", []byte(a+"\n"+b+"\n")); err != nil || len(keys) != 2 || len(keys[0]) != 32 {
		t.Errorf("%d keys, %v", len(keys), err)
	}
}

// passes fails unless a message, a stream and a push/pull get from each to each.
func passes(w *world, when string, all []*member) {
	w.t.Helper()
	w.eventually(15*time.Second, when+": all know each other", func() bool {
		for _, m := range all {
			if m.live() != len(all) {
				return false
			}
			for _, o := range m.Members() {
				if o.Live && !o.Self && !slices.ContainsFunc(all, func(a *member) bool { return a.Process() == o.Process }) {
					return false // one that was stopped
				}
			}
		}
		return true
	})
	for i, from := range all {
		for j, to := range all {
			if from == to {
				continue
			}
			small := fmt.Sprintf("%s %d-%d", when, i, j)
			large := small + strings.Repeat(".", 3000)
			from.Send(to.Process(), 1, []byte(small))
			from.Send(to.Process(), 1, []byte(large))
			w.eventually(5*time.Second, small, func() bool {
				n := 0
				for _, m := range to.messages() {
					if s := string(m.Data); s == small || s == large {
						n++
					}
				}
				return n == 2
			})
			if _, err := from.ml.Join([]string{to.address()}); err != nil {
				w.t.Errorf("%s: push/pull: %v", small, err)
			}
		}
	}
}

// From no key to encryption that is required, one process at a time, and back.
func TestFromNoKeyToRequireOneAtATime(t *testing.T) {
	w := newWorld(t)
	file := filepath.Join(t.TempDir(), "keys")
	writeKeys(t, file, key(1))
	all, addrs := trio(w, nil)
	names := []string{"px0", "px1", "px2"}
	crashed := false
	restart := func(i int, change func(*Config)) {
		if crashed {
			_ = all[i].ml.Leave(time.Second)
		}
		crashed = true // the first one: its process is a member beside its successor for a while
		all[i].stop()
		all[i] = w.start(names[i], addrs[i], func(c *Config) { voter(c); change(c) }, addrs...)
	}
	encrypted := func(m *member) float64 { return testutil.ToFloat64(m.metrics.encrypted) }
	for _, mode := range []Encrypt{EncryptAccept, EncryptSend, EncryptRequire} {
		for i := range all {
			restart(i, func(c *Config) { c.KeyFile, c.Encrypt = file, mode })
			passes(w, fmt.Sprintf("%s %s", names[i], mode), all)
			if got, want := encrypted(all[i]), mode == EncryptRequire; (got == 1) != want {
				t.Errorf("%s: gossip_encrypted is %v", mode, got)
			}
			if mode == EncryptAccept && i == 0 {
				s := all[0].Security()
				if d := []string{"px1", "px2"}; !slices.Equal(s.Plain, d) || !s.Keyed || s.Mode != mode {
					t.Errorf("the one that has a key says %+v", s)
				}
			}
		}
		for _, m := range all {
			plain := testutil.ToFloat64(m.metrics.plain)
			if (mode == EncryptAccept && plain == 0) || (mode == EncryptRequire && plain > 0) {
				t.Errorf("%s: %v plain packets", mode, plain)
			}
			if n := m.dropped(ReasonKey) + m.dropped(ReasonGarbage); n > 0 {
				t.Errorf("%s: %v packets of a neighbour in time were refused: %v for the key, %v as garbage", mode, n, m.dropped(ReasonKey), m.dropped(ReasonGarbage))
			}
		}
	}
	for _, m := range all {
		m.SetStrict(true)
		if s := m.Security(); !s.ReplayProtected || s.Mode != EncryptRequire || len(s.Plain) > 0 || testutil.ToFloat64(m.metrics.protected) != 1 {
			t.Errorf("at the end: %+v", s)
		}
	}
	passes(w, "strict", all)
	// And keys rotate in each mode: here, where it matters most.
	writeKeys(t, file, key(1), key(2))
	for i := range all {
		restart(i, func(c *Config) { c.KeyFile = file })
		all[i].SetStrict(true)
	}
	passes(w, "two keys", all)
}

// startOld starts a member as the versions are that know no seal: memberlist on
// the bare sockets, with DelegateProtocolMax 0.
func (w *world) startOld(name, bind, file string, join ...string) *member {
	w.t.Helper()
	m := &member{reg: prometheus.NewRegistry(), done: make(chan error, 1)}
	g, err := New(Config{
		Meta: Meta{Name: name, Voter: true, Settled: true}, Label: "test", Bind: bind, Registerer: m.reg, KeyFile: file,
		Deliver: func(msg Message) {
			m.mu.Lock()
			m.got = append(m.got, msg)
			m.mu.Unlock()
			nudge.Send(w.wake)
		},
		Changed: func() { nudge.Send(w.wake) }, Status: func() Status { return Status{Voter: true} },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	m.Gossip = g
	g.meta.Settled = true
	host, port, _ := splitHostPort(bind)
	s, err := listen(host, port, g.log)
	if err != nil {
		w.t.Fatal(err)
	}
	s.serve(nil)
	c := memberlist.DefaultLANConfig()
	c.Name, c.Label, c.Transport, c.UDPBufferSize, c.EnableCompression = g.process, "test", s, packetSize, false
	c.ProbeInterval, c.ProbeTimeout, c.SuspicionMult, c.SuspicionMaxTimeoutMult = 500*time.Millisecond, 200*time.Millisecond, 2, 2
	c.GossipInterval = 100 * time.Millisecond
	c.Delegate, c.Events = (*delegate)(g), (*delegate)(g)
	c.Logger = log.New(&logBridge{logger: g.log, drop: g.metrics.drop, lines: &g.lines}, "", 0)
	keys, _ := parseKeys(file, []byte(g.keyText))
	c.Keyring, _ = memberlist.NewKeyring(keys, keys[0])
	ml, err := memberlist.Create(c)
	if err != nil {
		w.t.Fatal(err)
	}
	g.ml, g.out, g.keyring = ml, ml, c.Keyring
	_, _ = ml.Join(join)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = g.loop(ctx, nil) }()
	stopped := false
	m.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		<-ended
		g.sending.Wait()
		_ = ml.Shutdown()
	}
	w.t.Cleanup(m.stop)
	return m
}

// Members that know no seal, and those that do, one process at a time and back.
func TestOldAndNewMembersUnderstandEachOther(t *testing.T) {
	w := newWorld(t)
	file := filepath.Join(t.TempDir(), "keys")
	writeKeys(t, file, key(1))
	addrs := addresses(3)
	names := []string{"px0", "px1", "px2"}
	var all []*member
	for i := range names {
		all = append(all, w.startOld(names[i], addrs[i], file, addrs[:i]...))
	}
	passes(w, "all old", all)
	replace := func(i int, old bool) {
		_ = all[i].ml.Leave(time.Second)
		all[i].stop()
		if old {
			all[i] = w.startOld(names[i], addrs[i], file, addrs...)
		} else {
			all[i] = w.start(names[i], addrs[i], func(c *Config) { c.KeyFile = file; voter(c) }, addrs...)
		}
	}
	reads := func(m *member) (out []uint8) {
		for _, o := range m.Members() {
			if o.Live {
				out = append(out, o.Reads)
			}
		}
		return out
	}
	for i := range names {
		replace(i, false)
		passes(w, names[i]+" new", all)
		want := []uint8{1, 1, 1}
		for j := range i + 1 {
			want[j] = Reads
		}
		if got := reads(all[i]); !slices.Equal(got, want) {
			t.Errorf("px%d sees the formats %v, want %v", i, got, want)
		}
	}
	for i := range names {
		replace(i, true)
		passes(w, names[i]+" old again", all)
	}
}

// What whoever has the key could end a process with: memberlist panics on it.
func TestWhatMemberlistPanicsOnIsRefused(t *testing.T) {
	w := newWorld(t)
	file := filepath.Join(t.TempDir(), "keys")
	writeKeys(t, file, key(1))
	addrs := addresses(1)
	m := w.start("px0", addrs[0], func(c *Config) { c.KeyFile = file })
	w.eventually(3*time.Second, "settled", m.isSettledNow)
	crypt := func(version byte, plain, aad []byte) []byte {
		return encryptAs(t, version, key(1), plain, aad)
	}
	label := []byte("\xf4\x04test")
	// Encryption version 0 with a padding that is longer than the message.
	raw(t, addrs[0], string(append(bytes.Clone(label), crypt(0, bytes.Repeat([]byte{255}, 16), []byte("test"))...)))
	raw(t, addrs[0], string(append(bytes.Clone(label), crypt(0, nil, []byte("test"))...)))
	for _, version := range []byte{0, 1} {
		head := binary.BigEndian.AppendUint32([]byte{10}, 29)
		body := crypt(version, nil, append(bytes.Clone(head), "test"...))
		conn, err := net.Dial("tcp", addrs[0])
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write(slices.Concat(label, head, body))
		_ = conn.SetReadDeadline(time.Now().Add(3 * time.Second))
		_, _ = bytes.NewBuffer(nil).ReadFrom(conn)
		_ = conn.Close()
	}
	w.eventually(3*time.Second, "four refusals", func() bool {
		return m.dropped(ReasonKey)+m.dropped(ReasonGarbage) == 4
	})
}

// encryptAs encrypts as memberlist does, without its care.
func encryptAs(t *testing.T, version byte, key, plain, aad []byte) []byte {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	nonce := make([]byte, gcm.NonceSize())
	return append(append([]byte{version}, nonce...), gcm.Seal(nil, nonce, plain, aad)...)
}
