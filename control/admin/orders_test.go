package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/cluster/register"
	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/clustertest"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// speaking is a daemon whose voters all read version n, its log, and a client on its
// admin socket.
func speaking(t *testing.T, n int) (*Server, *clustertest.Cluster, *clustertest.Log, *api.Client) {
	t.Helper()
	log := &clustertest.Log{}
	d, f := newTestServer(t, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(log, nil)) })
	f.Set(func(ag *cluster.Agreement) {
		r, err := model.DecodeRecord(ag.Record.Value)
		if err != nil {
			t.Fatal(err)
		}
		r.Lowest = n
		ag.Record.Value = r.Encode()
		ag.IsLeader, ag.Leader = true, "px0"
	})
	path := filepath.Join(t.TempDir(), "admin.sock")
	l, err := listenAdmin(path)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: d.Private(), ReadHeaderTimeout: time.Second}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	return d, f, log, api.New(path)
}

// me is how the daemon sees this test.
func me() string {
	uid := fmt.Sprintf("uid %d", os.Getuid())
	if u, err := user.Current(); err == nil {
		return u.Username + " (" + uid + ")"
	}
	return uid
}

// turn takes the vote loop's turns until f holds.
func turn(t *testing.T, d *Server, what string, f func() bool) {
	t.Helper()
	for range 2000 {
		d.cfg.Vote.Turn(t.Context(), time.Now())
		if f() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal(what)
}

// Every order stands with who gave it, where and why, in the record and in the log.
func TestWhoOrderedIt(t *testing.T) {
	ctx := context.Background()
	why := "upgrade, ask Ana"
	for _, tt := range []struct {
		kind, what string
		give       func(*api.Client) error
	}{
		{model.OrderExclude, "pxc-2", func(c *api.Client) error { _, err := c.Exclude(ctx, "pxc-2"); return err }},
		{model.OrderFreeze, "", func(c *api.Client) error { _, err := c.Freeze(ctx, why); return err }},
		{model.OrderRemove, "px2", func(c *api.Client) error { _, err := c.RemoveMember(ctx, "px2"); return err }},
		{model.OrderInit, "", func(c *api.Client) error { _, err := c.RegisterInit(ctx, true); return err }},
		{model.OrderRecover, "px0, px1", func(c *api.Client) error { _, err := c.RegisterRecover(ctx, []string{"px0", "px1"}); return err }},
		{"set", "pxc-2", func(c *api.Client) error { _, err := c.Set(ctx, api.SetRequest{Node: "pxc-2"}); return err }},
	} {
		for _, speaks := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s, version %d", tt.kind, speaks), func(t *testing.T) {
				d, f, log, c := speaking(t, speaks)
				f.Nearby = f.Nearby[:2] // px2 is gone
				d.cfg.Vote.Turn(ctx, time.Now())
				if err := tt.give(c.Because(why)); err != nil {
					t.Fatal(err)
				}
				if speaks == 1 {
					if s := string(f.Agreement().Record.Value); strings.Contains(s, "ordered_by") || strings.Contains(s, "orders") {
						t.Errorf("written before every voter reads it: %s", s)
					}
					if !log.Has(`ordered_by="` + me() + `"`) {
						t.Errorf("the log: %s", log.String())
					}
					return
				}
				if tt.kind == "set" {
					last := f.Record(t).Last()
					if last.OrderedBy != me() || last.By != "an operator through px0" || !strings.HasSuffix(last.Reason, ": "+why) || d.asked().history(nil).Decisions[0].OrderedBy != me() || d.asked().active().OrderedBy != me() {
						t.Errorf("the decision: %+v", last)
					}
				} else {
					turn(t, d, "it is not noted", func() bool { return len(f.Record(t).Orders) > 0 })
					o := f.Record(t).Orders[0]
					if o.Kind != tt.kind || o.What != tt.what || o.Reason != why || o.OrderedBy != me() || o.By != "px0" || o.Revision != f.Agreement().Record.Revision {
						t.Errorf("the order: %+v", o)
					}
					if h := turned(d).history(nil).Orders; len(h) != 1 || h[0].OrderedBy != me() || h[0].Kind != tt.kind {
						t.Errorf("the history: %+v", h)
					}
				}
				turn(t, d, "it is not in the log", func() bool {
					return log.Has(`ordered_by="` + me() + `"`)
				})
				if len(f.Record(t).Orders) > 1 {
					t.Errorf("noted twice: %+v", f.Record(t).Orders)
				}
			})
		}
	}
}

func TestASecondFreezeReplacesTheReason(t *testing.T) {
	d, f := newTestServer(t)
	for _, step := range []struct{ reason, want string }{
		{"", "by an operator through px0"}, {"one", "one"}, {"two", "two"}, {"", "two"},
	} {
		if _, err := d.freeze(t.Context(), true, step.reason); err != nil || f.Record(t).FrozenWhy != step.want {
			t.Errorf("with %q: %q, %v", step.reason, f.Record(t).FrozenWhy, err)
		}
	}
}

func TestReasonThatCannotBeShown(t *testing.T) {
	_, f, _, c := speaking(t, 2)
	before := f.Agreement().Record.Version
	for _, reason := range []string{strings.Repeat("a", 201), "two\nlines", "\x1b[31mred", "right\u202eleft"} {
		var e *api.Error
		if _, err := c.Because(reason).Exclude(t.Context(), "pxc-2"); !errors.As(err, &e) || e.Code != api.CodeBadRequest || !strings.Contains(e.Message, "the reason") {
			t.Errorf("%q: %v", reason, err)
		}
		if _, err := c.Freeze(t.Context(), reason); !errors.As(err, &e) || e.Code != api.CodeBadRequest {
			t.Errorf("freeze, %q: %v", reason, err)
		}
	}
	if f.Agreement().Record.Version != before {
		t.Error("it was done all the same")
	}
	if _, err := c.Because(strings.Repeat("é", 100)).Exclude(t.Context(), "pxc-2"); err != nil {
		t.Errorf("200 bytes: %v", err)
	}
}

// An address is nobody.
func TestCallerOfAnotherConnection(t *testing.T) {
	for remote, want := range map[string]string{"127.0.0.1:80": "", "[::1]:80": "", "@": "", "": "", "ana (uid 1000)": "ana (uid 1000)"} {
		r := &http.Request{RemoteAddr: remote}
		if ctx, err := withOrder(r, &api.Reasoned{Reason: "why"}); err != nil || orderOf(ctx).by != want || orderOf(ctx).reason != "why" {
			t.Errorf("%q: %+v, %v", remote, orderOf(ctx), err)
		}
	}
}

// The record never takes more than half of what the register takes.
func TestRecordFitsTwice(t *testing.T) {
	if 2*model.MaxEncoded > register.MaxValue {
		t.Errorf("%d bytes of %d", model.MaxEncoded, register.MaxValue)
	}
}

// A list of voters that is cut inside of a letter is noted once, and not for ever.
func TestCutOrderIsNotedOnce(t *testing.T) {
	d, f, _, _ := speaking(t, 2)
	voters := strings.Repeat("ä", maxWhat)
	d.cfg.Vote.Owe(d.order(t.Context(), model.OrderRecover, voters))
	turn(t, d, "it is not noted", func() bool { return len(f.Record(t).Orders) > 0 })
	revision := f.Agreement().Record.Revision
	for range 20 {
		d.cfg.Vote.Turn(t.Context(), time.Now())
		time.Sleep(time.Millisecond) // for a proposal, which is made beside the loop
	}
	if now := f.Agreement().Record.Revision; now != revision {
		t.Errorf("it is owed still: %d revisions more", now-revision)
	}
	if n := len(f.Record(t).Orders); n != 1 {
		t.Errorf("%d orders", n)
	}
}

// Who lowers the lowest version, and who lets it rise again, stands in the log.
func TestWhoLoweredIt(t *testing.T) {
	ctx := context.Background()
	_, _, log, c := speaking(t, 2)
	if _, err := c.LowerVersion(ctx, api.LowerRequest{}); err != nil {
		t.Fatal(err)
	}
	if !log.Has(`to=1 ordered_by="` + me() + `"`) {
		t.Errorf("the log: %s", log.String())
	}
	if _, err := c.RaiseVersion(ctx); err != nil {
		t.Fatal(err)
	}
	if !log.Has(`rise again" ordered_by="` + me() + `"`) {
		t.Errorf("the log: %s", log.String())
	}
}
