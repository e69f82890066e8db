package gossip

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/lzw"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const floodEnv = "GOSSIP_TEST_FLOODED"

// TestFloodedProcess is not a test: it is the process that TestFlood floods. It
// prints what it holds, has logged and was sent by its true neighbour.
func TestFloodedProcess(t *testing.T) {
	args := strings.Split(os.Getenv(floodEnv), "|")
	if len(args) < 2 {
		t.Skip("run by TestFlood")
	}
	var lines, got atomic.Int64
	g, err := New(Config{
		Meta: Meta{Name: "px0", Voter: true}, Label: "test", Bind: args[0], KeyFile: args[1], Registerer: prometheus.NewRegistry(),
		Deliver: func(Message) { got.Add(1) }, Status: func() Status { return Status{Voter: true} },
		Logger: slog.New(slog.NewTextHandler(floodLog{&lines}, &slog.HandlerOptions{Level: slog.LevelInfo})),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			g.mu.Lock()
			views, members := len(g.views), len(g.members)
			g.mu.Unlock()
			fmt.Printf("state heap=%d rss=%d lines=%d got=%d views=%d members=%d\n",
				(m.Sys-m.HeapReleased)>>20, residentMiB(), lines.Load(), got.Load(), views, members)
			time.Sleep(50 * time.Millisecond)
		}
	}()
	_, _ = io.Copy(io.Discard, os.Stdin) // until the parent is done
	cancel()
	<-done
	<-ended
}

type floodLog struct{ lines *atomic.Int64 }

func (l floodLog) Write(b []byte) (int, error) {
	l.lines.Add(1)
	if os.Getenv("GOSSIP_TEST_LOG") != "" {
		_, _ = os.Stderr.Write(b)
	}
	return len(b), nil
}

func residentMiB() (n int) {
	b, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(b)) {
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &n); err == nil {
			return n >> 10
		}
	}
	return 0
}

type floodState struct{ heap, rss, lines, got, views, members int }

// flooded is a process under attack.
type flooded struct {
	mu   sync.Mutex
	last floodState
	peak floodState
}

func startFlooded(t *testing.T, bind, keyFile string) *flooded {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestFloodedProcess$", "-test.count=1")
	cmd.Env = append(os.Environ(), floodEnv+"="+bind+"|"+keyFile)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	f := &flooded{}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for s := bufio.NewScanner(out); s.Scan(); {
			var v floodState
			if _, err := fmt.Sscanf(s.Text(), "state heap=%d rss=%d lines=%d got=%d views=%d members=%d",
				&v.heap, &v.rss, &v.lines, &v.got, &v.views, &v.members); err != nil {
				continue
			}
			f.mu.Lock()
			f.last = v
			f.peak.heap, f.peak.rss = max(f.peak.heap, v.heap), max(f.peak.rss, v.rss)
			f.peak.views, f.peak.members = max(f.peak.views, v.views), max(f.peak.members, v.members)
			f.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		_ = in.Close()
		kill := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		<-read
		if err := cmd.Wait(); err != nil {
			t.Errorf("the flooded process ended with %v", err)
		}
	})
	return f
}

func (f *flooded) now() floodState {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}

func msgpackString(s string) string {
	if len(s) < 32 {
		return string([]byte{0xa0 | byte(len(s))}) + s
	}
	return string([]byte{0xda, byte(len(s) >> 8), byte(len(s))}) + s
}

func msgpackUint(n uint32) string {
	return string(binary.BigEndian.AppendUint32([]byte{0xce}, n))
}

// aliveOf is memberlist's news of an invented process.
func aliveOf(process string, meta Meta, port uint32) []byte {
	b := append([]byte{typeAlive}, 0x86)
	for _, f := range []string{
		"Addr" + "\x00" + msgpackString("\x7f\x09\x09\x09"), "Incarnation" + "\x00" + msgpackUint(1),
		"Meta" + "\x00" + msgpackString(string(meta.encode())), "Node" + "\x00" + msgpackString(process),
		"Port" + "\x00" + msgpackUint(port), "Vsn" + "\x00" + msgpackString("\x01\x05\x02\x00\x00\x00"),
	} {
		key, value, _ := strings.Cut(f, "\x00")
		b = append(append(b, msgpackString(key)...), value...)
	}
	return b
}

func labelled(b []byte) []byte { return append(append([]byte{typeLabel, 4}, "test"...), b...) }

// bomb is data that unpacks to n bytes.
func bomb(n int) []byte {
	var z bytes.Buffer
	z.WriteByte(packFlate)
	w, _ := flate.NewWriter(&z, flate.BestCompression)
	_, _ = w.Write(make([]byte, n))
	_ = w.Close()
	return z.Bytes()
}

// floods are what a stranger sends, i counting up.
func floods() map[string]func(i uint32) []byte {
	zip, largest := bomb(unpackLimit), bomb(viewLimit)
	var lz bytes.Buffer
	w := lzw.NewWriter(&lz, lzw.LSB, 8)
	_, _ = w.Write(make([]byte, 1<<20))
	_ = w.Close()
	compressed := labelled([]byte("\x09\x82" + msgpackString("Algo") + "\x00" + msgpackString("Buf") + msgpackString(lz.String()[:1000])))
	ping := labelled([]byte("\x00\x82\xa5SeqNo\x01\xa4Node\xa1x"))
	return map[string]func(uint32) []byte{
		"garbage":    func(i uint32) []byte { return binary.BigEndian.AppendUint32(nil, i*2654435761) },
		"shape":      func(i uint32) []byte { return labelled(append([]byte{1}, make([]byte, 200)...)) },
		"pings":      func(uint32) []byte { return ping },
		"compressed": func(uint32) []byte { return compressed },
		"views": func(i uint32) []byte {
			h := Header{Name: "x", Process: fmt.Sprintf("x-%08x", i), Seq: 1, DataSeq: 1}
			return labelled(append([]byte{typeUser}, encodeView(h, zip, true, 0)...))
		},
		"members": func(i uint32) []byte {
			process := fmt.Sprintf("x-%08x", i/2)
			if i%2 == 0 {
				return labelled(aliveOf(process, Meta{Name: "x", Settled: true, Voter: true}, i%60000+1))
			}
			h := Header{Name: "x", Process: process, Seq: 1, DataSeq: 1}
			return labelled(append([]byte{typeUser}, encodeView(h, largest, true, 0)...))
		},
		"indirect": func(i uint32) []byte {
			return labelled([]byte("\x01\x84\xa5SeqNo" + msgpackUint(i) + "\xa6Target\xa4\x7f\x09\x09\x09\xa4Port\xcd\x12\x34\xa4Nack\xc3"))
		},
	}
}

// TestFlood floods a process as fast as this machine sends, with and without a
// key, and prints what that costs and how much of a true member's gets through.
// How much is sent depends on the machine; what must hold does not.
func TestFlood(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	file := filepath.Join(t.TempDir(), "key")
	writeKeys(t, file, key(1))
	for _, keyFile := range []string{"", file} {
		t.Run(fmt.Sprintf("key=%v", keyFile != ""), func(t *testing.T) {
			f := startTarget(t, keyFile)
			// Invented members stay for a while, so theirs come last.
			kinds := []string{"garbage", "shape", "pings", "compressed", "views", "indirect", "streams", "members"}
			if keyFile != "" { // and those of one who has the key
				kinds = append(kinds, "keyed compressed", "keyed indirect", "keyed members")
			}
			for _, kind := range kinds {
				t.Run(kind, func(t *testing.T) { f.flood(t, kind) })
			}
		})
	}
}

// target is a flooded process with its true neighbour.
type target struct {
	*flooded
	world    *world
	address  string
	neighbor *member
	process  string
}

func startTarget(t *testing.T, keyFile string) *target {
	addrs := addresses(2)
	f := &target{flooded: startFlooded(t, addrs[0], keyFile), world: newWorld(t), address: addrs[0]}
	m := f.world.start("px1", addrs[1], func(c *Config) { c.KeyFile = keyFile; voter(c) }, addrs[0])
	f.neighbor = m
	f.world.eventually(20*time.Second, "two members", func() bool { return m.live() == 2 && m.isSettledNow() && f.now().members == 2 })
	for _, o := range m.Members() {
		if !o.Self {
			f.process = o.Process
		}
	}
	time.Sleep(time.Second) // until the neighbour has a socket of its own there
	return f
}

// sealedBy encrypts what packet returns, as memberlist does.
func sealedBy(t *testing.T, k []byte, packet func(uint32) []byte) func(uint32) []byte {
	block, err := aes.NewCipher(k)
	if err != nil {
		t.Error(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Error(err)
	}
	return func(i uint32) []byte {
		content := packet(i)[len(labelled(nil)):]
		nonce := make([]byte, nonceSize)
		binary.BigEndian.PutUint32(nonce, i)
		return labelled(aead.Seal(append([]byte{1}, nonce...), nonce, content, []byte("test")))
	}
}

func (f *target) flood(t *testing.T, kind string) {
	lasts := time.Second
	if strings.HasSuffix(kind, "members") {
		lasts = 4 * time.Second // until no more are taken
	}
	f.mu.Lock()
	f.peak = floodState{}
	f.mu.Unlock()
	before, end := f.now(), time.Now().Add(lasts)
	var sent atomic.Int64
	var wg sync.WaitGroup
	if kind == "streams" {
		wg.Go(func() { stallStreams(f.address, 500, end, &sent) })
	} else {
		wg.Go(func() {
			c, err := net.Dial("udp", f.address)
			if err != nil {
				return
			}
			defer c.Close()
			packet := floods()[strings.TrimPrefix(kind, "keyed ")]
			if strings.HasPrefix(kind, "keyed ") {
				packet = sealedBy(t, key(1), packet)
			}
			for i := uint32(0); time.Now().Before(end); i++ {
				if _, err := c.Write(packet(i)); err == nil {
					sent.Add(1)
				}
			}
		})
	}
	trulySent := 0
	for time.Now().Before(end) {
		f.neighbor.Send(f.process, 1, []byte("heartbeat"))
		trulySent++
		time.Sleep(10 * time.Millisecond)
	}
	wg.Wait()
	time.Sleep(200 * time.Millisecond)
	after := f.now()
	t.Logf("%d sent in %s; of %d true messages %d arrived; heap at most %d MiB, resident at most %d MiB (before %d); %d lines; %d views, %d members at most",
		sent.Load(), lasts, trulySent, after.got-before.got, f.peak.heap, f.peak.rss, before.rss, after.lines-before.lines, f.peak.views, f.peak.members)
	if f.peak.heap > 48 {
		t.Errorf("it holds %d MiB", f.peak.heap)
	}
	if n := after.lines - before.lines; n > 20 {
		t.Errorf("it logs %d lines", n)
	}
	// Once it is over, all is as before.
	got := f.now().got
	f.world.eventually(10*time.Second, "a true message after the flood", func() bool {
		f.neighbor.Send(f.process, 1, []byte("after"))
		return f.now().got > got
	})
}

// stallStreams opens streams that stop in the middle, and new ones for those that are closed.
func stallStreams(to string, n int, end time.Time, opened *atomic.Int64) {
	heads := [][]byte{
		labelled(binary.BigEndian.AppendUint32([]byte{typeEncrypt}, 20<<20)),
		labelled([]byte("\x06\x83\xa5Nodes\xce\x00\x0f\xff\xff\xacUserStateLen\x00\xa4Join\xc2")),
		labelled([]byte("\x08\x81\xaaUserMsgLen\xce\x00\xff\xff\xff")),
		labelled([]byte{typeEncrypt, 0, 0x0f, 0, 0}),
		{typeLabel},
	}
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			for time.Now().Before(end) {
				c, err := net.Dial("tcp", to)
				if err != nil {
					time.Sleep(10 * time.Millisecond)
					continue
				}
				opened.Add(1)
				_ = c.SetDeadline(end)
				_, _ = c.Write(heads[i%len(heads)])
				if i%len(heads) == 3 {
					_, _ = c.Write(make([]byte, 100<<10))
				}
				_, _ = c.Read(make([]byte, 1))
				_ = c.Close()
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
	wg.Wait()
}
