package drain

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/galera/sessions"
	"github.com/haproxy-peers/haproxy-peers/control/model"
	"github.com/haproxy-peers/haproxy-peers/runtimeapi"
)

// oneSession is a HAProxy and a database with one session between them.
type oneSession struct {
	Inspector
	client sessions.ClientSession
	// looks are what HAProxy counts at each look in turn.
	looks  []string
	asked  int
	closed int
}

func (o *oneSession) Sessions(context.Context) ([]sessions.ClientSession, error) {
	return []sessions.ClientSession{o.client}, nil
}
func (o *oneSession) Session(context.Context, uint64) (sessions.ClientSession, error) {
	return o.client, nil
}

// haproxySide has HAProxy's Sessions, whose name the database's has too.
type haproxySide struct {
	o *oneSession
}

var theSession = runtimeapi.Session{ID: "0x1", Source: "c:1", Backend: "b", Server: "old", LocalAddr: "10.0.0.9:5"}

func (h haproxySide) Sessions(context.Context) ([]runtimeapi.Session, error) {
	return []runtimeapi.Session{theSession}, nil
}
func (h haproxySide) SessionDetails(ctx context.Context, _, _ string) ([]runtimeapi.Session, error) {
	s, err := h.SessionDetail(ctx, "")
	return []runtimeapi.Session{s}, err
}
func (h haproxySide) SessionDetail(context.Context, string) (runtimeapi.Session, error) {
	s := theSession
	s.Traffic = h.o.looks[min(h.o.asked, len(h.o.looks)-1)]
	h.o.asked++
	return s, nil
}
func (h haproxySide) ShutdownSession(context.Context, string) error {
	h.o.closed++
	return nil
}

// A session is closed only if nothing has passed while the database was asked:
// its client may have sent a BEGIN that the database had not seen.
func TestDrainerClosesTheSilent(t *testing.T) {
	for _, test := range []struct {
		name  string
		looks []string // the first is that for its address
		busy  bool
		want  int
	}{
		{name: "idle and silent", looks: []string{"1", "2", "2"}, want: 1},
		{name: "something has passed", looks: []string{"1", "2", "3"}},
		{name: "a version that does not count", looks: []string{""}, want: 1},
		{name: "in a transaction", looks: []string{"1"}, busy: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := &oneSession{client: sessions.ClientSession{ID: 7, Host: "10.0.0.9:5", Busy: test.busy}, looks: test.looks}
			d := &Drainer{
				From: "old", Backends: map[string]bool{"b": true}, Proxied: func(*runtimeapi.Session) bool { return false },
				HAProxy: haproxySide{o}, Inspector: o, May: func() bool { return true },
				Progress: &Progress{view: &model.MoveView{}, began: time.Now()}, Log: slog.New(slog.DiscardHandler),
				known: map[string]runtimeapi.Session{},
			}
			if err := d.pass(context.Background()); err != nil {
				t.Fatal(err)
			}
			if drained := d.Progress.Report().Drained; o.closed != test.want || drained != test.want {
				t.Errorf("closed %d, counted %d, want %d", o.closed, drained, test.want)
			}
		})
	}
}

// Of a crowd the database is asked for all at once, between HAProxy's two looks.
func TestDrainerClosesACrowd(t *testing.T) {
	for _, test := range []struct {
		name  string
		looks []string
		busy  bool
		want  int
	}{
		{name: "idle and silent", looks: []string{"2", "2"}, want: 1},
		{name: "something has passed", looks: []string{"2", "3"}},
		{name: "has begun a transaction since the first list", looks: []string{"2", "2"}, busy: true},
		{name: "a version that does not count", looks: []string{""}, want: 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			client := sessions.ClientSession{ID: 7, Host: "10.0.0.9:5", Busy: test.busy}
			o := &oneSession{client: client, looks: test.looks}
			d := &Drainer{
				From: "old", Backends: map[string]bool{"b": true}, HAProxy: haproxySide{o}, Inspector: o,
				May: func() bool { return true }, Progress: &Progress{view: &model.MoveView{}}, Log: slog.New(slog.DiscardHandler),
				known: map[string]runtimeapi.Session{},
			}
			client.Busy = false
			if err := d.closeMany(context.Background(), []pair{{session: theSession, client: client}}); err != nil {
				t.Fatal(err)
			}
			if o.closed != test.want {
				t.Errorf("closed %d, want %d", o.closed, test.want)
			}
		})
	}
}
