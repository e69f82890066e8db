package admin

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/clustertest"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// inTransaction has so many sessions of pxc-1 in a transaction.
func inTransaction(n int, err error) func(*Config) {
	return func(c *Config) {
		c.InTransaction = func(_ context.Context, node string) (int, error) {
			if node != "pxc-1" {
				return 0, errors.New("the wrong node: " + node)
			}
			return n, err
		}
	}
}

// sessions is a healthy member's word with so many open on pxc-1.
func sessions(n int) *model.View {
	v := clustertest.HealthyView()
	v.Nodes[1].Sessions = n
	return v
}

// Without a drain the daemon takes one, and says which, why, for how long, and what is open.
func TestSetAuto(t *testing.T) {
	const grant = "GRANT PROCESS ON *.* TO 'm'@'%'"
	down := clustertest.Says(model.Down)
	down.Nodes[1].Sessions = 4
	lacks := sessions(4)
	lacks.Nodes[1].Lacks = grant
	for _, tt := range []struct {
		name     string
		req      api.SetRequest
		view     *model.View // of px1 and px2
		look     func(*Config)
		drain    string
		bound    int64
		why      string
		trx      int
		unknown  string
		warnings string
		move     string // the record's
	}{
		{name: "all may look", view: sessions(4), look: inTransaction(3, nil), drain: "transactions", bound: 5000, why: "every proxy can tell", trx: 3, move: "transactions"},
		{name: "auto is the same", req: api.SetRequest{Drain: "auto"}, view: sessions(4), look: inTransaction(3, nil), drain: "transactions", bound: 5000, trx: 3, move: "transactions"},
		{name: "with a bound", req: api.SetRequest{TimeoutMS: 700}, view: sessions(4), look: inTransaction(0, nil), drain: "transactions", bound: 700, move: "transactions"},
		{name: "asked for", req: api.SetRequest{Drain: "transactions"}, view: sessions(4), look: inTransaction(0, nil), drain: "transactions", bound: 10000, why: "it was asked for", move: "transactions"},
		{name: "immediate", req: api.SetRequest{Drain: "immediate"}, view: sessions(4), look: inTransaction(3, nil), drain: "immediate", why: "it was asked for", trx: 3,
			warnings: " at once; 3 of that node's sessions "},
		{name: "one may not look", view: lacks, look: inTransaction(3, nil), drain: "immediate", why: "px1, px2 need " + grant, trx: 3, warnings: "closed at once; 3 of"},
		{name: "and none may be cut", req: api.SetRequest{Keep: true}, view: lacks, look: inTransaction(3, nil), drain: "graceful", bound: 5000, why: grant, trx: 3, move: "graceful"},
		{name: "the look fails", view: sessions(4), look: inTransaction(0, errors.New("no answer")), drain: "transactions", bound: 5000, trx: -1, unknown: "no answer", move: "transactions"},
		{name: "no probe", view: sessions(4), look: func(*Config) {}, drain: "immediate", why: "px0 needs a probe user", trx: -1, unknown: "px0 needs a probe user", warnings: "closed at once; how many are in a transaction is not known: "},
		{name: "down", view: down, look: inTransaction(3, nil), drain: "immediate", why: "pxc-1 is down for 2 of 3 voters", trx: 3, warnings: "closed at once"},
		{name: "down, and a drain was asked for", req: api.SetRequest{Drain: "transactions"}, view: down, look: inTransaction(3, nil), drain: "immediate", why: "pxc-1 is down", trx: 3, warnings: "nothing is drained"},
		{name: "forced", req: api.SetRequest{Force: true}, view: sessions(4), look: inTransaction(3, nil), drain: "immediate", why: "--force", trx: 3, warnings: "closed at once"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.req.Node = "pxc-2"
			for _, dry := range []bool{true, false} {
				d, f := newTestServer(t, tt.look)
				f.Say("px1", 0, tt.view)
				f.Say("px2", 0, tt.view)
				tt.req.DryRun = dry
				got, err := d.setActive(t.Context(), tt.req)
				if err != nil {
					t.Fatal(err)
				}
				res := got.(api.SetResponse)
				if res.Drain != tt.drain || res.TimeoutMS != tt.bound || !strings.Contains(res.DrainWhy, tt.why) {
					t.Errorf("%s, %d ms, %q", res.Drain, res.TimeoutMS, res.DrainWhy)
				}
				o := res.Open
				if o == nil || o.Sessions != 8 || o.Proxies["px1"] != 4 || len(o.Proxies) != 3 || o.InTransaction != tt.trx || !strings.Contains(o.Unknown, tt.unknown) || tt.unknown == "" && o.Unknown != "" {
					t.Errorf("%+v", o)
				}
				if text := strings.Join(res.Warnings, "\n"); !strings.Contains(text, tt.warnings) || tt.warnings == "" && text != "" {
					t.Errorf("warned of %q", text)
				}
				rec := f.Record(t)
				switch m := rec.Move; {
				case dry && (rec.Active != "pxc-1" || res.Changed):
					t.Error("a dry run has moved")
				case dry:
				case (m != nil) != (tt.move != "") || m != nil && (m.Drain != tt.move || m.Bound().Milliseconds() != tt.bound):
					t.Errorf("the record has %+v", m)
				case res.Move == nil != (tt.move == ""):
					t.Errorf("the answer has %+v", res.Move)
				}
				if again := d.asked().move(); !dry && (again.Epoch != 5 || again.Drain != tt.drain || again.From != "pxc-1" || again.To != "pxc-2") {
					t.Errorf("the report is of %+v", again)
				}
			}
		})
	}
}

// A move is proposed before the look has ended: a database that is slow makes no move slow.
func TestSetDoesNotWaitForTheLook(t *testing.T) {
	proposed := make(chan struct{})
	d, f := newTestServer(t, func(c *Config) {
		c.InTransaction = func(context.Context, string) (int, error) {
			select {
			case <-proposed:
				return 2, nil
			case <-time.After(10 * time.Second):
				return 0, errors.New("the move waits for the look")
			}
		}
	})
	f.OnPropose = func(cluster.Command) error { close(proposed); return nil }
	res, err := d.setActive(t.Context(), api.SetRequest{Node: "pxc-2", Drain: "immediate"})
	if err != nil {
		t.Fatal(err)
	}
	if o := res.(api.SetResponse).Open; o.InTransaction != 2 {
		t.Errorf("%+v", o)
	}
}
