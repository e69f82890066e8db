package decide

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/haproxy-peers/haproxy-peers/control/model"
)

func TestRaise(t *testing.T) {
	const now = model.Protocol
	voters := []string{"px0", "px1", "px2"}
	all := []Reader{{"px0", now}, {"px1", now}, {"px2", now}}
	for _, c := range []struct {
		name    string
		rec     model.Record
		readers []Reader
		since   time.Duration
		lowest  int    // of the record proposed, 0 for none
		why     string // contained in the sentence, "" for none
	}{
		{name: "all new for long enough", readers: all, since: RaiseAfter, lowest: now, why: "is being raised"},
		{name: "not for long enough", readers: all, since: RaiseAfter - 1, why: "all members read version 3"},
		{name: "raised", rec: model.Record{Lowest: now}, readers: all, since: time.Hour},
		{name: "an old voter", readers: []Reader{{"px0", now}, {"px1", 0}, {"px2", now}}, since: time.Hour, why: "px1 reads version 1"},
		{name: "an old member that does not vote", readers: append([]Reader{{"px9", 1}}, all...), since: time.Hour, why: "px9 reads version 1"},
		{name: "a voter that is not there", readers: all[:2], since: time.Hour, why: "px2 is a voter and not there"},
		{name: "later ones wait for this build", readers: []Reader{{"px0", now + 1}, {"px1", now + 1}, {"px2", now + 1}}, since: time.Hour, lowest: now, why: "is being raised"},
		{name: "held", rec: model.Record{Lowest: 1, LowestHeld: true}, readers: all, since: time.Hour, why: "an operator holds it there"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.rec.Active = "pxc-0"
			next, why := Raise(&c.rec, voters, c.readers, c.since)
			switch {
			case next == nil && c.lowest != 0, next != nil && next.Lowest != c.lowest:
				t.Errorf("proposes %+v, want lowest version %d", next, c.lowest)
			}
			if c.why == "" && why != "" || !strings.Contains(why, c.why) {
				t.Errorf("says %q, want %q", why, c.why)
			}
		})
	}
}

// Whatever the members say, nobody is left behind by a raise: every live member and
// every voter reads what may be written after it.
func TestRaiseLeavesNobodyBehind(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := []string{"a", "b", "c", "d"}
		voters := names[:rapid.IntRange(1, 3).Draw(t, "voters")]
		var readers []Reader
		for _, n := range names {
			if rapid.Bool().Draw(t, n+" is there") {
				readers = append(readers, Reader{n, rapid.IntRange(0, model.Protocol+1).Draw(t, n)})
			}
		}
		rec := &model.Record{Active: "pxc-0", Lowest: rapid.IntRange(0, model.Protocol).Draw(t, "lowest")}
		next, _ := Raise(rec, voters, readers, time.Duration(rapid.IntRange(0, 120).Draw(t, "since"))*time.Second)
		if next == nil {
			return
		}
		if next.Lowest <= rec.Lowest || next.Lowest > model.Protocol {
			t.Fatalf("from %d to %d", rec.Lowest, next.Lowest)
		}
		if left := Unread(next, readers); len(left) > 0 {
			t.Fatalf("left behind: %q", left)
		}
		for _, v := range voters {
			found := false
			for _, r := range readers {
				found = found || r.Member == v
			}
			if !found {
				t.Fatalf("%s votes and was not asked", v)
			}
		}
	})
}

// Lowering names what is lost, holds the version there, and changes nothing when
// it was done already.
func TestLower(t *testing.T) {
	rec := &model.Record{Active: "pxc-0", Lowest: model.Protocol}
	next, lost := Lower(rec)
	if next == nil || next.Lowest != 1 || !next.LowestHeld || len(lost) == 0 {
		t.Fatalf("%+v, %q", next, lost)
	}
	if again, _ := Lower(next); again != nil {
		t.Errorf("a second time changes %+v", again)
	}
	if up, why := Raise(next, []string{"px0"}, []Reader{{"px0", model.Protocol}}, time.Hour); up != nil || !strings.Contains(why, "raise-version") {
		t.Errorf("raised by itself after an operator lowered it: %+v, %q", up, why)
	}
}
