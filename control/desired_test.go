package control

import (
	"testing"
	"time"

	"github.com/haproxy-peers/haproxy-peers/cluster"
)

// A proxy is cut off only after fence-after without a majority: also one that has led until a moment ago, whose word as
// a follower is older than its time as the leader, or was never.
func TestCutOffCountsFromTheLastMajority(t *testing.T) {
	const after = 3 * time.Second
	long, short := time.Hour, 100*time.Millisecond
	for name, c := range map[string]struct {
		touched  time.Duration // ago; 0 is never
		born     time.Duration // ago
		freshAge time.Duration
		fresh    bool
		cut      bool
	}{
		"a leader that has just stepped down":       {touched: short, born: long, freshAge: -1},
		"one that followed long ago":                {touched: short, born: long, freshAge: long},
		"a follower for as long as it may":          {touched: long, born: long, freshAge: short},
		"nobody was heard for longer than that":     {touched: after + short, born: long, freshAge: after + short, cut: true},
		"nobody was ever heard since the start":     {born: after + short, freshAge: -1, cut: true},
		"it has just started":                       {born: short, freshAge: -1},
		"it was just started over an old record":    {born: short, freshAge: long},
		"a majority stands behind it now":           {touched: short, born: long, freshAge: 0, fresh: true},
		"a leader that stepped down long ago":       {touched: after + short, born: long, freshAge: -1, cut: true},
		"nobody was heard since it started, by far": {born: long, freshAge: -1, cut: true},
	} {
		t.Run(name, func(t *testing.T) {
			d := &Daemon{cfg: Config{OnNoMajority: NoMajorityFence, FenceAfter: after}, born: time.Now().Add(-c.born)}
			if c.touched > 0 {
				d.touch.at(time.Now().Add(-c.touched))
			}
			if got := d.cutOff(&cluster.Agreement{Fresh: c.fresh, FreshAge: c.freshAge}); (got != "") != c.cut {
				t.Errorf("cut off: %q", got)
			}
		})
	}
}

// Once it was cut off it stays so until it may enforce the record: that it hears a majority again is not enough.
func TestCutOffUntilEnforced(t *testing.T) {
	var c touch
	if got := c.cut(""); got != "" {
		t.Fatalf("cut off before anything happened: %q", got)
	}
	c.cut("no majority")
	if got := c.cut(""); got != "no majority" {
		t.Errorf("a majority is heard and nothing was enforced: %q", got)
	}
	c.enforced()
	if got := c.cut(""); got != "" {
		t.Errorf("the record is enforced: %q", got)
	}
}
