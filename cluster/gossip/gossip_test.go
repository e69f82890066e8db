package gossip

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
)

func voter(c *Config) { c.Meta.Voter = true }

// trio starts three voters that know each other.
func trio(w *world, change func(*Config)) ([]*member, []string) {
	addrs := addresses(3)
	var all []*member
	for i, name := range []string{"px0", "px1", "px2"} {
		all = append(all, w.start(name, addrs[i], func(c *Config) {
			voter(c)
			if change != nil {
				change(c)
			}
		}, addrs...))
	}
	w.eventually(5*time.Second, "three settled members everywhere", func() bool {
		return all[0].live() == 3 && all[1].live() == 3 && all[2].live() == 3
	})
	return all, addrs
}

func TestViewsRecordsAndMessagesReachTheOthers(t *testing.T) {
	w := newWorld(t)
	all, addrs := trio(w, nil)

	all[0].Publish([]byte("first"))
	w.eventually(time.Second, "the view of px0 at the others", func() bool {
		return all[1].viewOf("px0") == "first" && all[2].viewOf("px0") == "first" && all[0].viewOf("px0") == "first"
	})

	big := make([]byte, 30_000) // does not compress, so it needs streams
	_, _ = rand.Read(big)
	all[1].PublishRecord(Record{Cluster: 7, Order: Order{0, 1, 1}, Data: big})
	w.eventually(2*time.Second, "the large record everywhere", func() bool {
		for _, m := range all {
			if r, ok := m.Record(); !ok || !bytes.Equal(r.Data, big) || r.Cluster != 7 {
				return false
			}
		}
		return true
	})
	all[2].PublishRecord(Record{Cluster: 7, Order: Order{0, 1, 2}, Data: []byte("small")})
	all[1].PublishRecord(Record{Cluster: 7, Order: Order{0, 0, 9}, Data: []byte("older")})
	w.eventually(2*time.Second, "the newer record everywhere", func() bool {
		for _, m := range all {
			if r, _ := m.Record(); string(r.Data) != "small" {
				return false
			}
		}
		return true
	})

	all[0].Send(all[1].Process(), 3, []byte("hello"))
	all[0].Send(all[1].Process(), 3, big)
	w.eventually(2*time.Second, "a packet and a stream", func() bool {
		var small, large bool
		for _, m := range all[1].messages() {
			small = small || string(m.Data) == "hello" && m.Channel == 3 && m.From == all[0].Process()
			large = large || bytes.Equal(m.Data, big)
		}
		return small && large
	})

	// A new member learns what was published before it came.
	late := w.start("px3", strings.Replace(addrs[0], ".1:", ".9:", 1), nil, addrs[0])
	w.eventually(3*time.Second, "record and views at a late member", func() bool {
		r, _ := late.Record()
		return string(r.Data) == "small" && late.viewOf("px0") == "first"
	})
	if n := all[0].dropped(ReasonGarbage) + all[1].dropped(ReasonGarbage) + all[2].dropped(ReasonGarbage); n != 0 {
		t.Errorf("%v messages were dropped as garbage", n)
	}
}

func TestVotersRepeatTheirViewsAndTheAgeTells(t *testing.T) {
	w := newWorld(t)
	all, _ := trio(w, func(c *Config) { c.times.beat = 50 * time.Millisecond })
	all[0].Publish([]byte("x"))
	seqAt1 := func() (uint64, time.Duration) {
		for _, v := range all[1].Views() {
			if v.Name == "px0" {
				return v.Seq, time.Since(v.Published)
			}
		}
		return 0, 0
	}
	w.eventually(3*time.Second, "repetitions", func() bool { seq, _ := seqAt1(); return seq > 5 })
	all[0].stop()
	w.eventually(3*time.Second, "the age to grow after a crash", func() bool { _, age := seqAt1(); return age > 300*time.Millisecond })
}

func TestSecondProcessOfOneNameStops(t *testing.T) {
	w := newWorld(t)
	all, addrs := trio(w, nil)
	second := w.start("px1", strings.Replace(addrs[0], ".1:", ".9:", 1), nil, addrs[0])
	var err error
	select {
	case err = <-second.done:
	case <-time.After(5 * time.Second):
		t.Fatal("the second px1 goes on")
	}
	var taken *NameTakenError
	if !errors.As(err, &taken) || taken.Address != addrs[1] || taken.Process != all[1].Process() || taken.Name != "px1" {
		t.Fatalf("it stopped with %v", err)
	}
	if !strings.Contains(err.Error(), addrs[1]) {
		t.Errorf("%q does not name the address of the first", err)
	}
	if second.isSettledNow() {
		t.Error("it was settled for a moment")
	}
	select {
	case err := <-all[1].done:
		t.Errorf("the first stopped too: %v", err)
	default:
	}
}

func TestOfTwoAtOnceExactlyOneRemains(t *testing.T) {
	w := newWorld(t)
	addrs := addresses(2)
	a := w.start("px0", addrs[0], nil, addrs...)
	b := w.start("px0", addrs[1], nil, addrs...)
	w.eventually(8*time.Second, "one to stop", func() bool { return len(a.done)+len(b.done) > 0 })
	w.eventually(3*time.Second, "the other to be alone and settled", func() bool {
		return (a.isSettledNow() && a.live() == 1) != (b.isSettledNow() && b.live() == 1)
	})
	if len(a.done) == len(b.done) {
		t.Error("both stopped")
	}
}

func TestReplacementOfACrashedProcess(t *testing.T) {
	w := newWorld(t)
	all, addrs := trio(w, nil)
	all[2].Publish([]byte("old"))
	w.eventually(time.Second, "the old view", func() bool { return all[0].viewOf("px2") == "old" })
	for _, c := range []struct{ name, bind string }{
		{"at a new address", strings.Replace(addrs[0], ".1:", ".9:", 1)},
		{"at the same address", strings.Replace(addrs[0], ".1:", ".9:", 1)},
	} {
		all[2].stop()
		all[2] = w.start("px2", c.bind, voter, addrs...)
		all[2].Publish([]byte(c.name))
		took := w.eventually(4*time.Second, "the successor "+c.name, func() bool {
			return all[2].isSettledNow() && all[0].viewOf("px2") == c.name && all[1].viewOf("px2") == c.name
		})
		t.Logf("successor %s: settled and heard after %s", c.name, took)
		if took > 2*time.Second {
			t.Errorf("successor %s took %s", c.name, took)
		}
	}
	// Messages for the name and disk reach the successor although its
	// predecessor may still be listed.
	all[0].SendDisk("px2", 0, 1, []byte("to px2"))
	w.eventually(time.Second, "a message to the disk", func() bool {
		for _, m := range all[2].messages() {
			if string(m.Data) == "to px2" {
				return true
			}
		}
		return false
	})
}

func TestCleanLeaveIsSeenAtOnce(t *testing.T) {
	w := newWorld(t)
	all, _ := trio(w, nil)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	if err := all[2].Leave(ctx); err != nil {
		t.Fatal(err)
	}
	took := w.eventually(time.Second, "two members", func() bool { return all[0].live() == 2 && all[1].live() == 2 })
	t.Logf("leave was seen after %s", took)
	all[2].stop()
	if err := all[2].Leave(ctx); !errors.Is(err, ErrNotRunning) {
		t.Errorf("leave after the end: %v", err)
	}
}

func TestCrashIsSeen(t *testing.T) {
	w := newWorld(t)
	all, _ := trio(w, nil)
	all[2].stop()
	took := w.eventually(6*time.Second, "two members", func() bool { return all[0].live() == 2 && all[1].live() == 2 })
	t.Logf("crash was seen after %s", took)
}

func writeKeys(t *testing.T, file string, keys ...[]byte) {
	t.Helper()
	var text []byte
	for _, k := range keys {
		text = append(base64.StdEncoding.AppendEncode(text, k), '\n')
	}
	if err := os.WriteFile(file+".new", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

func TestKeyRotationWithoutRestart(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t)
	var files []string
	all, _ := trio(w, func(c *Config) {
		file := filepath.Join(dir, c.Meta.Name)
		writeKeys(t, file, key(1))
		files = append(files, file)
		c.KeyFile, c.times.keys = file, 20*time.Millisecond
	})
	// The documented procedure: add the new key everywhere, make it the first
	// one everywhere, remove the old one everywhere.
	for _, keys := range [][][]byte{{key(1), key(2)}, {key(2), key(1)}, {key(2)}} {
		for _, file := range files {
			writeKeys(t, file, keys...)
		}
		w.eventually(2*time.Second, "the keys to be installed", func() bool {
			for _, m := range all {
				if have := m.keyring.GetKeys(); len(have) != len(keys) || !bytes.Equal(have[0], keys[0]) {
					return false
				}
			}
			return true
		})
		data := []byte{byte(len(keys)), keys[0][0]}
		all[0].Publish(data)
		w.eventually(2*time.Second, "a view under the new keys", func() bool {
			return all[1].viewOf("px0") == string(data) && all[2].viewOf("px0") == string(data)
		})
	}
	// A bad file changes nothing.
	if err := os.WriteFile(files[0], []byte("not a key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	all[1].Publish([]byte("after"))
	w.eventually(2*time.Second, "a view under the kept keys", func() bool { return all[0].viewOf("px1") == "after" })
	if n := all[0].dropped(ReasonKey) + all[1].dropped(ReasonKey) + all[2].dropped(ReasonKey); n != 0 {
		t.Errorf("%v messages were dropped during the rotation", n)
	}
}

func TestForeignPacketsAreDroppedAndCounted(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		name, reason string
		intruder     func(*Config)
	}{
		{"wrong key", ReasonKey, func(c *Config) { c.KeyFile = filepath.Join(dir, "other"); writeKeys(t, c.KeyFile, key(9)) }},
		{"no key", ReasonKey, func(c *Config) { c.KeyFile = "" }},
		{"wrong label", ReasonLabel, func(c *Config) { c.Label = "other" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			addrs := addresses(2)
			keyed := func(c *Config) { c.KeyFile = filepath.Join(dir, "good") }
			writeKeys(t, filepath.Join(dir, "good"), key(1))
			m := w.start("px0", addrs[0], keyed)
			w.eventually(2*time.Second, "px0 settled", m.isSettledNow)
			x := w.start("px1", addrs[1], func(cfg *Config) { keyed(cfg); c.intruder(cfg) }, addrs[0])
			w.eventually(3*time.Second, "its join to be counted as "+c.reason, func() bool { return m.dropped(c.reason) > 0 })
			if m.live() != 1 || len(x.Members()) != 1 {
				t.Error("the stranger became a member")
			}
			// A packet instead of a stream.
			before := m.dropped(c.reason)
			host, port, _ := splitHostPort(addrs[0])
			x.send(memberlist.Node{Name: "px0", Addr: net.ParseIP(host), Port: uint16(port)}, []byte("anything"))
			w.eventually(2*time.Second, "its packet to be counted", func() bool { return m.dropped(c.reason) > before })
		})
	}
}

func TestGarbageAndNewerMessagesAreDroppedAndCounted(t *testing.T) {
	w := newWorld(t)
	all, addrs := trio(w, nil)
	newer := Message{From: "x", Data: []byte("y")}.encode()
	newer[1] = Protocol + 1
	ours := Record{Cluster: 5, Order: Order{1, 1, 1}, Data: []byte("\x00ours")}.encode()
	theirs := Record{Cluster: 6, Order: Order{9, 9, 9}, Data: []byte("\x00theirs")}.encode()
	for _, m := range all {
		m.SetCluster(5)
	}
	for _, c := range []struct {
		name, reason string
		send         func()
	}{
		{"newer message", ReasonNewer, func() { all[0].sendTo(all[1].Process(), newer) }},
		{"no envelope", ReasonGarbage, func() { all[0].sendTo(all[1].Process(), []byte("garbage")) }},
		{"half a message", ReasonGarbage, func() { all[0].sendTo(all[1].Process(), ours[:len(ours)-2]) }},
		{"another cluster's record", ReasonCluster, func() { all[0].sendTo(all[1].Process(), theirs) }},
		{"no packet of memberlist", ReasonGarbage, func() { raw(t, addrs[1], "\xf4\x04test\xff\xff\xffgarbage") }},
		{"a packet without a label", ReasonLabel, func() { raw(t, addrs[1], "GET / HTTP/1.0\r\n\r\n") }},
	} {
		before := all[1].dropped(c.reason)
		c.send()
		w.eventually(2*time.Second, c.name+" to be counted as "+c.reason, func() bool { return all[1].dropped(c.reason) > before })
	}
	if r, ok := all[1].Record(); ok {
		t.Errorf("it has taken %q", r.Data)
	}
	all[0].sendTo(all[1].Process(), ours)
	w.eventually(time.Second, "its own cluster's record", func() bool { r, _ := all[1].Record(); return string(r.Data) == "ours" })
}

func raw(t *testing.T, to, packet string) {
	t.Helper()
	conn, err := net.Dial("udp", to)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(packet)); err != nil {
		t.Fatal(err)
	}
}
