package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/notify"
	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
	"github.com/haproxy-peers/haproxy-peers/e2e/stack"
)

// hook is a webhook on the client's host that hangs and refuses when it is told to.
type hook struct {
	url string

	mu   sync.Mutex
	mode string // "", "hang" or "refuse"
	all  []notify.Event
}

func newHook(t *testing.T, h *lab.Host) *hook {
	t.Helper()
	var l net.Listener
	err := h.Do(func() (err error) {
		l, err = net.Listen("tcp", net.JoinHostPort(h.IP, "0"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	k := &hook{url: "http://" + l.Addr().String() + "/events"}
	s := &http.Server{Handler: k, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	return k
}

func (k *hook) set(mode string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.mode = mode
}

func (k *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var e notify.Event
	if err == nil {
		err = json.Unmarshal(body, &e)
	}
	k.mu.Lock()
	mode := k.mode
	if err == nil && mode == "" {
		k.all = append(k.all, e)
	}
	k.mu.Unlock()
	switch {
	case mode == "hang":
		<-r.Context().Done()
	case mode == "refuse":
		w.WriteHeader(http.StatusServiceUnavailable)
	case err != nil:
		w.WriteHeader(http.StatusBadRequest)
	}
}

func (k *hook) events() []notify.Event {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.all)
}

// written are the events that the script has written into a file, a line each.
func written(t *testing.T, path string) (all []notify.Event) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var e notify.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		all = append(all, e)
	}
	return all
}

// A command and a webhook are told of what happens: at least once although the leader dies, and the webhook hangs, then refuses; by
// the same id each time; and what a member sees itself by that member.
func TestEvents(t *testing.T) {
	l := theLab(t)
	k := newHook(t, l.Client)
	dir := t.TempDir()
	out, script := filepath.Join(dir, "events"), filepath.Join(dir, "receive")
	if err := os.WriteFile(script, []byte("#!/bin/sh\ncat >>"+out+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	s := begin(t, stack.Options{CheckInterval: 10 * time.Second, DaemonArgs: []string{"--on-event", script, "--webhook", k.url}})
	has := func(kind, subject string) {
		t.Helper()
		s.must(until(s.within(30*time.Second), kind+" to be told", func() (bool, string) {
			is := func(e notify.Event) bool { return e.Data.Kind == kind && e.Subject == subject }
			script, hook := written(t, out), k.events()
			return slices.ContainsFunc(script, is) && slices.ContainsFunc(hook, is), fmt.Sprintf("the script has %d events, the webhook %d", len(script), len(hook))
		}))
	}
	has(notify.KindMoveEnded, "db1") // begin's own

	var set any
	s.must(s.Ask(s.ctx, s.PX[1], &set, "exclude", "db2"))
	has(notify.KindOrder, "db2")
	s.must(s.Ask(s.ctx, s.PX[1], &set, "include", "db2"))

	// The active and the leader's daemon end together, while the webhook hangs.
	k.set("hang")
	s.DB[1].Kill9()
	to := s.otherThan("db1")
	leader, _ := s.leader()
	leader.Daemon.Kill9()
	wait(s.ctx, 3*time.Second)
	k.set("refuse")
	wait(s.ctx, 3*time.Second)
	k.set("")
	has(notify.KindFailover, to)
	has(notify.KindNodeDown, "db1")
	s.must(leader.Daemon.StartAgain())
	s.must(s.DB[1].Start(s.ctx))
	has(notify.KindNodeBack, "db1")

	// Two of three daemons end: the third says so by itself.
	last := s.PX[0]
	for _, p := range s.PX[1:] {
		p.Daemon.Kill9()
	}
	has(notify.KindMajorityLost, "")
	for _, p := range s.PX[1:] {
		s.must(p.Daemon.StartAgain())
	}
	has(notify.KindMajorityBack, "")

	for _, all := range [][]notify.Event{written(t, out), k.events()} {
		var failovers []string
		for _, e := range all {
			if e.Data.Kind == notify.KindFailover {
				failovers = append(failovers, e.Source+" "+e.ID)
			}
			if strings.HasPrefix(e.Data.Kind, "majority") && e.Data.Member != last.Name {
				t.Errorf("of %s: %+v", last.Name, e)
			}
			if e.SpecVersion != "1.0" || e.Time.IsZero() || e.Data.Text == "" || !strings.HasPrefix(e.Type, notify.TypePrefix) {
				t.Errorf("%+v", e)
			}
		}
		if len(slices.Compact(slices.Clone(failovers))) != 1 {
			t.Errorf("one failover has the ids %q", failovers)
		}
	}
	s.must(s.WaitSteering(s.within(20*time.Second), len(s.PX)))
}

// What a proxy does that cannot reach the active is told: that it serves nobody and then again, and where policy lets it
// go elsewhere, that two databases take commits.
func TestEventsOfABlindProxy(t *testing.T) {
	full(t)
	for _, c := range []struct {
		policy string
		during []string // kind and subject
		after  []string
	}{
		{"fence", []string{notify.KindFenced, "px0"}, []string{notify.KindUnfenced, "px0"}},
		{"serve", []string{notify.KindTwoWriters, ""}, nil},
	} {
		t.Run(c.policy, func(t *testing.T) {
			k := newHook(t, theLab(t).Client)
			s := begin(t, stack.Options{CheckInterval: time.Second, DaemonArgs: []string{"--on-blind", c.policy, "--webhook", k.url}})
			told := func(what []string) {
				t.Helper()
				s.must(until(s.within(30*time.Second), what[0]+" to be told", func() (bool, string) {
					all := k.events()
					return slices.ContainsFunc(all, func(e notify.Event) bool { return e.Data.Kind == what[0] && e.Subject == what[1] && e.Data.Text != "" }), fmt.Sprintf("%+v", all)
				}))
			}
			s.start(lab.LoadConfig{ReconnectEvery: 5})
			fault, err := s.Refuse(s.ctx, s.PX[0].Host, s.DB[1].Host, lab.MySQLPort)
			s.must(err)
			told(c.during)
			s.must(fault.Undo(s.ctx))
			if c.after != nil {
				told(c.after)
			}
			if k.count(notify.KindFailover) > 0 {
				t.Error("a failover was told, and there was none")
			}
			s.load.Stop()
		})
	}
}

// count is how many events of a kind came.
func (k *hook) count(kind string) (n int) {
	for _, e := range k.events() {
		if e.Data.Kind == kind {
			n++
		}
	}
	return n
}
