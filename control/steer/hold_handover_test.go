package steer

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"

	"github.com/haproxy-peers/haproxy-peers/cluster"
	"github.com/haproxy-peers/haproxy-peers/control/mandate"
	"github.com/haproxy-peers/haproxy-peers/control/plan"
)

// saidHAProxy writes down what it is told to do to servers.
type saidHAProxy struct {
	HAProxy
	said []string
}

func (h *saidHAProxy) SetServerWeight(_ context.Context, backend, server string, weight int) error {
	h.said = append(h.said, fmt.Sprintf("weight %s/%s %d", backend, server, weight))
	return nil
}

func (h *saidHAProxy) HandOverQueue(_ context.Context, backend, server string) error {
	h.said = append(h.said, fmt.Sprintf("hand over %s/%s", backend, server))
	return nil
}

// A hold whose new node died hands those who wait to the node that is the active
// then, and to no other: the old one, or where that cannot be, the third, which
// the hold itself had taken out of the balancing.
func TestHoldHandsOverToTheActiveAlone(t *testing.T) {
	for active, want := range map[string][]string{
		"old":   {"hand over b/new"},
		"third": {"weight b/old 0", "weight b/third 1", "hand over b/new"},
	} {
		t.Run(active, func(t *testing.T) {
			u := newUndo(filepath.Join(t.TempDir(), "changes.json"), slog.New(slog.DiscardHandler))
			h := hold{undo: u, handsOver: true, to: "new"}
			taken := change{Kind: changeWeight, Backend: "b", Server: "third", Before: 1}
			if err := u.begin(process{Pid: 1}, taken); err != nil {
				t.Fatal(err)
			}
			l := &plan.Layout{Backends: []plan.Backend{{Name: "b", Servers: []plan.Server{{Name: "old"}, {Name: "new"}, {Name: "third"}}}}}
			obs := plan.Observed{Servers: map[string]map[string]plan.ServerNow{"b": {
				"old": {Running: true, Weight: 1}, "new": {Weight: 1, Queue: 2, Limit: holdMaxconn}, "third": {Running: true},
			}}}
			said := &saidHAProxy{}
			wish := mandate.Want{Known: true, MayWrite: true, Active: active, Version: cluster.Version{Epoch: 2}}
			if err := h.give(t.Context(), &turn{stands: func() bool { return true }, client: said, layout: l, want: wish, obs: obs}); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(said.said, want) {
				t.Errorf("said %q, want %q", said.said, want)
			}
			if u.mine(changeWeight, "b", "third") != (active == "old") || u.mine(changeWeight, "b", "old") != (active == "third") {
				t.Errorf("the list: %+v", u.of(changeWeight))
			}
		})
	}
}
