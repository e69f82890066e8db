package published

import (
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/control/decide"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

func moved(member string, m *model.MoveView) decide.Voice {
	return decide.Voice{Member: member, View: &model.View{Epoch: 7, Proxy: &model.ProxyView{Reachable: true, Steering: true, Converged: true, Move: m}}}
}

// A move at once is over when every proxy has said so that tells; it is nobody's who was not asked.
func TestMovedAtOnce(t *testing.T) {
	in := &decide.Input{Epoch: 7, Record: &model.Record{Active: "b", History: []model.Decision{{Epoch: 7, Active: "b", From: "a", Kind: model.KindOperator}}}}
	in.MoveAge = 30 * time.Millisecond
	asked := api.Move{Epoch: 7, From: "a", To: "b", Drain: model.DrainImmediate, State: api.MoveClosing}
	in.Voices = []decide.Voice{moved("px0", &model.MoveView{Epoch: 7, Began: 3, Left: 3, Tells: true}), moved("px1", nil)}
	if m := Moved(asked, in); m.State != api.MoveClosing || m.ElapsedMS != 30 || m.Left != 3 {
		t.Errorf("px0 has 3 open: %+v", m)
	}
	in.Voices[0] = moved("px0", &model.MoveView{Epoch: 7, Began: 3, Killed: 3, KilledUnknown: 3, Done: true, Tells: true})
	in.Voices[1].View.Epoch = 6
	if m := Moved(asked, in); m.State != api.MoveClosing {
		t.Errorf("px1 has not heard of it: %+v", m)
	}
	in.Voices[1].View.Epoch = 7 // an older version: it follows, and tells no more
	m := Moved(asked, in)
	if m.State != api.MoveDone || m.Killed != 3 || m.KilledUnknown != 3 || len(m.Proxies) != 1 {
		t.Errorf("%+v", m)
	}
	if m := Moved(api.Move{}, in); m.State != "" || m.Epoch != 0 {
		t.Errorf("nobody asked here: %+v", m)
	}
	in.Epoch = 8
	if m := Moved(asked, in); m.State != api.MoveOvertaken {
		t.Errorf("epoch 8 came: %+v", m)
	}
	if again := Moved(m, in); again.State != api.MoveDone || again.Killed != 3 {
		t.Errorf("it was over: %+v", again)
	}
}

func TestCutAndBoth(t *testing.T) {
	for _, c := range []struct {
		views []*model.MoveView
		both  int64
		cut   string
	}{
		{nil, 0, ""},
		{[]*model.MoveView{{NewMS: 20, GoneMS: 80, Tells: true}, {NewMS: 40, GoneMS: 300, Killed: 2, KilledTrx: 1, Tells: true}}, 280, "2 sessions to a were closed, 1 of them in a transaction"},
		{[]*model.MoveView{{Killed: 1, KilledTrx: 1, Tells: true}}, 0, "1 session to a was closed, in a transaction"},
		{[]*model.MoveView{{Killed: 1, Tells: true}}, 0, "1 session to a was closed, in no transaction"},
		{[]*model.MoveView{{GoneMS: 80, Tells: true}}, 0, ""},                                                                         // nobody came
		{[]*model.MoveView{{NewMS: 100, GoneMS: 80, Tells: true}}, 0, ""},                                                             // one after the other
		{[]*model.MoveView{{NewMS: 20, Left: 1, WaitMS: 500, Tells: true}, {Tells: true}}, 480, ""},                                   // so far
		{[]*model.MoveView{{WaitMS: 500, Killed: 1}}, 499, "1 session to a was closed, and it is not known whether in a transaction"}, // an older version
		{[]*model.MoveView{{Killed: 1, KilledTrx: 1, Tells: true}, {Killed: 1}}, 0, "2 sessions to a were closed, 1 of them in a transaction, and of 1 it is not known"},
	} {
		in := &decide.Input{}
		for i, v := range c.views {
			v.Epoch = 7
			in.Voices = append(in.Voices, moved(string(rune('a'+i)), v))
		}
		m := Summed(api.Move{Epoch: 7, From: "a"}, in)
		if got := Cut(&m); m.BothMS != c.both || got != c.cut {
			t.Errorf("%+v: both %d ms, want %d; %q, want %q", m, m.BothMS, c.both, got, c.cut)
		}
	}
}
