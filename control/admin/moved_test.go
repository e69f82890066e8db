package admin

import (
	"testing"

	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// The node whose address was changed in a HAProxy is named, and no other one.
func TestMovedOf(t *testing.T) {
	p := &model.ProxyView{Moved: "x.cfg:3: server db/elm is 10.0.0.2:3306 here, which is probed and voted on, and 10.0.0.3:3306 in the running HAProxy; reload HAProxy with this file"}
	for node, want := range map[string]bool{"elm": true, "oak": false, "el": false, "lm": false} {
		if got := movedOf(p, node) != ""; got != want {
			t.Errorf("%s: %v", node, got)
		}
	}
	if movedOf(nil, "elm") != "" {
		t.Error("of no proxy")
	}
}
