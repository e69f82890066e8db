package vote

import (
	"bytes"
	"sync"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// decoded keeps the last decoded record and views: they are looked at dozens of
// times a second and change rarely. What it returns is shared and must not be
// changed.
type decoded struct {
	mu    sync.Mutex // guards what follows
	raw   []byte
	rec   *model.Record
	views map[string]decodedView
}

type decodedView struct {
	raw  []byte
	view *model.View
}

func (c *decoded) record(r *cluster.Record) (*model.Record, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rec != nil && bytes.Equal(c.raw, r.Value) {
		return c.rec, nil
	}
	rec, err := model.DecodeRecord(r.Value)
	if err != nil {
		return nil, err
	}
	c.raw, c.rec = r.Value, rec
	return rec, nil
}

func (c *decoded) view(v *cluster.View) (*model.View, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k, ok := c.views[v.Name]; ok && bytes.Equal(k.raw, v.Data) {
		return k.view, nil
	}
	view, err := model.DecodeView(v.Data)
	if err != nil {
		return nil, err
	}
	if c.views == nil {
		c.views = map[string]decodedView{}
	}
	c.views[v.Name] = decodedView{raw: v.Data, view: view}
	return view, nil
}

// record returns what is agreed, decoded; it must not be changed.
func (v *Loop) record(ag *cluster.Agreement) (*model.Record, error) {
	if !ag.Known || len(ag.Record.Value) == 0 {
		return nil, nil
	}
	return v.decoded.record(&ag.Record)
}
