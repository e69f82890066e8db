package model

import (
	"os"
	"strings"
	"testing"
	"time"
)

var goldenAt = time.Date(2026, 5, 4, 12, 0, 0, 123e6, time.UTC)

// goldenRecord has every field of version 1 set.
func goldenRecord() *Record {
	return &Record{
		Active: "pxc-2", Frozen: true, FrozenWhy: "upgrade of <pxc-0>, ask Ana", Excluded: []string{"pxc-0", "pxc-1"},
		AutoMoves: []time.Time{goldenAt.Add(-time.Hour), goldenAt}, StateUUID: "6c1f0e3a-0000-11ee-8d5c-2b1f6c9d0a11",
		History: []Decision{
			{Recovery: 1, Epoch: 8, Active: "pxc-2", From: "pxc-1", Kind: KindOperator, Reason: "asked for by an operator through px0", By: "an operator through px0", At: goldenAt},
			{Epoch: 7, Active: "pxc-1", Kind: KindAdopt, Reason: "adopted: 3 of 3 proxies use pxc-1, with 12 sessions", By: "px1", At: goldenAt.Add(-2 * time.Hour)},
		},
		Move: &Move{
			From: "pxc-1", To: "pxc-2", Drain: DrainTransactions, Phase: PhaseDrain, Hold: true, Keep: true, TimeoutMS: 10000, MaxHoldMS: 2000,
			Owner: "px0", By: "an operator through px0",
		},
	}
}

// goldenNewRecord is the same with every field of version 2.
func goldenNewRecord() *Record {
	r := goldenRecord()
	r.Lowest = 2
	r.History[0].OrderedBy = "ana (uid 1000)"
	r.Orders = []Order{
		{Recovery: 1, Revision: 12, Kind: OrderFreeze, Reason: "upgrade", OrderedBy: "ana (uid 1000)", By: "px0", At: goldenAt},
		{Revision: 11, Kind: OrderRemove, What: "px2", OrderedBy: "root (uid 0)", By: "px1", At: goldenAt.Add(-time.Minute)},
	}
	return r
}

// goldenEvictRecord is the same with every field of version 3.
func goldenEvictRecord() *Record {
	r := goldenNewRecord()
	r.Lowest = 3
	return r.WithEviction(Eviction{
		Node: "pxc-1", UUID: "2bfc01dd-ecea-11f1-b985-e75f3bc6f0db", ConfID: 7, Evidence: EndGone, Owner: "px0", Reason: "gone for 2 of 3 voters", At: goldenAt,
		Survivors: []Survivor{{Node: "pxc-2", UUID: "u2", Retrans: "PT1S"}, {Node: "pxc-0", UUID: "u0", Retrans: "1.000000"}},
	})
}

// goldenGroupView has every field of version 3.
func goldenGroupView() *View {
	v := goldenView()
	v.Arbitrators = []string{"10.0.0.9:4567"}
	v.Nodes[1].Group = &Group{
		UUID: "2bfc01dd-ecea-11f1-b985-e75f3bc6f0db", Weight: 1, ConfID: 7, Size: 3, Total: 3, State: "GATHER", Evicted: true, AutoEvict: true,
		SuspectMS: 5000, CheckMS: 500, RetransMS: 1000, Retrans: "PT1S", Lacks: "PROCESS", Met: true, End: EndSilent, Speaks: true, Hangs: true, Late: "an applier is at work",
	}
	return v
}

// goldenView has every field set.
func goldenView() *View {
	return &View{
		Recovery: 1, Epoch: 8, Agreed: true, Observe: true, ReviewedTerm: 5,
		Nodes: []NodeView{
			{Name: "pxc-0", Verdict: Healthy, Eligible: true, Server: ServerUp, Sessions: 3, Used: true, UUID: "u1", Class: "synced", Seqno: 42, Revision: "pxc-7d4"},
			{
				Name: "pxc-1", Verdict: Down, Avoid: true, Reason: "connection refused", Server: ServerDown, Stuck: "its commits hang", Alone: true, Paused: true,
				Lacks: LacksProbe, Going: &Going{Pod: "uid-1", Until: goldenAt, LeftMS: 30000, Shutdown: true},
			},
		},
		Proxy: &ProxyView{
			Reachable: true, Version: "2.6.12", Pid: 7, UptimeS: 100, Layout: LayoutSteer, Beacon: true, Steering: true, Effective: "pxc-2", Converged: true, Elsewhere: 1,
			Problem: "p", Native: true, WentDown: []string{"pxc-1"}, Fenced: "f", LocalOnly: "pxc-0", CanHold: true,
			Move: &MoveView{
				Recovery: 1, Epoch: 8, Held: true, Left: 2, InTrx: 1, Unmatched: 1, LongestMS: 5, Began: 9, Drained: 4, Finished: 2, Killed: 1, WaitMS: 7,
				HeldMS: 8, Done: true, Problem: "q",
			},
		},
	}
}

// The files of version 1 were written by 7535bfe. A record that not every voter
// reads in version 2 is written in its very bytes, whatever it holds.
func TestGolden(t *testing.T) {
	gated := goldenNewRecord()
	gated.Lowest = 0
	for _, tt := range []struct {
		file   string
		made   []byte
		reread func([]byte) ([]byte, error)
	}{
		{"record-1.json", goldenRecord().Encode(), reencodeRecord},
		{"record-1.json", gated.Encode(), reencodeRecord},
		{"record-2.json", goldenNewRecord().Encode(), reencodeRecord},
		{"record-1.json", withLowest(goldenEvictRecord(), 0).Encode(), reencodeRecord},
		{"record-3.json", goldenEvictRecord().Encode(), reencodeRecord},
		{"view-1.json", goldenView().Encode(), reencodeView},
		{"view-3.json", goldenGroupView().Encode(), reencodeView},
	} {
		want, err := os.ReadFile("testdata/" + tt.file)
		if err != nil {
			t.Fatal(err)
		}
		if string(tt.made) != string(want) {
			t.Errorf("%s: written now\n%s, it was\n%s", tt.file, tt.made, want)
		}
		if again, err := tt.reread(want); err != nil || string(again) != string(want) {
			t.Errorf("%s: read and written again\n%s, %v", tt.file, again, err)
		}
	}
}

func withLowest(r *Record, n int) *Record {
	r.Lowest = n
	return r
}

func reencodeRecord(b []byte) ([]byte, error) {
	r, err := DecodeRecord(b)
	if err != nil {
		return nil, err
	}
	return r.Encode(), nil
}

func reencodeView(b []byte) ([]byte, error) {
	v, err := DecodeView(b)
	if err != nil {
		return nil, err
	}
	return v.Encode(), nil
}

// What a later version has put anywhere into a record survives what this one does
// with it, for as long as the thing is there that it belongs to.
func TestUnknownSurvives(t *testing.T) {
	r, err := DecodeRecord([]byte(`{"active":"pxc-1","token":{"n":42},"lowest":2,` +
		`"history":[{"epoch":7,"active":"pxc-1","kind":"adopt","reason":"r","by":"px0","at":"2026-05-04T12:00:00Z","dc":"a"}],` +
		`"move":{"from":"a","to":"b","drain":"immediate","phase":"drain","timeout_ms":1,"owner":"o","by":"b","lane":3},` +
		`"orders":[{"revision":1,"kind":"freeze","by":"px0","at":"2026-05-04T12:00:00Z","ticket":"T-1"}],` +
		`"evict":{"node":"a","uuid":"u","conf_id":1,"evidence":"gone","survivors":[{"node":"b","uuid":"v","retrans":"PT1S","seat":2}],"owner":"o","reason":"r","at":"2026-05-04T12:00:00Z","era":9}}`))
	if err != nil {
		t.Fatal(err)
	}
	has := func(what string, r *Record, want ...string) {
		t.Helper()
		got := string(r.Encode())
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("%s: %s is gone: %s", what, w, got)
			}
		}
	}
	all := []string{`"token":{"n":42}`, `"dc":"a"`, `"lane":3`, `"ticket":"T-1"`, `"seat":2`, `"era":9`}
	has("a copy", r.Clone(), all...)
	has("exclude", r.WithExcluded("pxc-0", true), all...)
	has("an order", r.WithOrder(Order{Kind: OrderFreeze}), all...)
	closing := r.Clone()
	closing.Move.Phase = PhaseClose
	has("the move goes on", closing, all...)
	next := r.WithActive(Decision{Epoch: 8, Active: "pxc-2", Kind: KindFailover, At: goldenAt})
	has("a decision", next, all[0], all[1], all[3], all[4], all[5])
	if strings.Contains(string(next.Encode()), "lane") {
		t.Error("a move that is over leaves something behind")
	}
	v, err := DecodeView([]byte(`{"nodes":[{"n":"a","v":"healthy","x1":1,"o":{"u":"u","w":1,"c":1,"n":1,"t":1,"x6":6},"z":{"p":"u","x2":2}}],"proxy":{"ok":true,"x3":3,"mv":{"ep":1,"l":0,"b":0,"d":0,"f":0,"k":0,"x4":4}},"x5":5}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []string{`"x1":1`, `"x2":2`, `"x3":3`, `"x4":4`, `"x5":5`, `"x6":6`} {
		if got := string(v.Encode()); !strings.Contains(got, w) {
			t.Errorf("the view has lost %s: %s", w, got)
		}
	}
}

func TestSpeaks(t *testing.T) {
	var none *Record
	for _, tt := range []struct {
		r    *Record
		n    int
		want bool
	}{{none, 1, true}, {none, 2, false}, {&Record{}, 1, true}, {&Record{}, 2, false}, {&Record{Lowest: 2}, 2, true}, {&Record{Lowest: 3}, 3, true}, {&Record{Lowest: 2}, 3, false}} {
		if got := tt.r.Speaks(tt.n); got != tt.want {
			t.Errorf("%+v speaks %d: %v", tt.r, tt.n, got)
		}
	}
}

// The longest texts that an operator can give, in the most bytes that JSON makes of
// them, never fill the record.
func TestFullRecordIsBounded(t *testing.T) {
	long := strings.Repeat("<", 200)
	r := &Record{Active: "pxc-0", Lowest: 3}
	for i := range 2 * MaxHistory {
		r = r.WithEviction(Eviction{Node: long, UUID: strings.Repeat("f", 36), Reason: long, Owner: long, Survivors: make([]Survivor, 8), At: goldenAt})
		r = r.WithActive(Decision{Epoch: uint64(i), Active: "pxc-0", Kind: KindFailover, Reason: long + long, By: long, OrderedBy: long, At: goldenAt})
		r = r.WithOrder(Order{Revision: uint64(i), Kind: OrderRecover, What: long, Reason: long, OrderedBy: long, By: long, At: goldenAt})
	}
	if b := r.Encode(); len(b) > MaxEncoded {
		t.Errorf("%d bytes", len(b))
	} else if back, err := DecodeRecord(b); err != nil || len(back.Orders) < 1 || back.Last().Epoch != 2*MaxHistory-1 {
		t.Errorf("what is left: %+v, %v", back, err)
	}
	// What people write fits whole.
	r = &Record{Active: "pxc-0", Lowest: 2}
	for i := range 2 * MaxHistory {
		r = r.WithActive(Decision{Epoch: uint64(i), Active: "pxc-0", Kind: KindOperator, Reason: strings.Repeat("e", 260), By: "an operator through haproxy-1", OrderedBy: "ana (uid 1000)", At: goldenAt})
		r = r.WithOrder(Order{Revision: uint64(i), Kind: OrderExclude, What: "pxc-1", Reason: strings.Repeat("e", 200), OrderedBy: "ana (uid 1000)", By: "haproxy-1", At: goldenAt})
	}
	if back, err := DecodeRecord(r.Encode()); err != nil || len(back.History) != MaxHistory || len(back.Orders) != MaxOrders {
		t.Errorf("history %d, orders %d, %v", len(back.History), len(back.Orders), err)
	}
}
