package register

import (
	"testing"
	"time"
)

// A stamp proves who brings it back for 20 minutes, and that it is of now for 12 s; it
// must be of this process and of the past, and another disk's proves nothing.
func TestWhatAStampProves(t *testing.T) {
	const began = time.Second
	k := newContacts(42, began)
	now := began + time.Hour
	for what, c := range map[string]struct {
		from           uint64
		sent           time.Duration
		proven, recent bool
	}{
		"of just now":           {7, now, true, true},
		"of 12 s ago":           {7, now - echoFor, true, true},
		"of longer ago":         {7, now - echoFor - time.Millisecond, true, false},
		"of 20 min ago":         {7, now - provenFor, true, false},
		"of long ago":           {7, now - provenFor - time.Millisecond, false, false},
		"of the process before": {7, began - time.Millisecond, false, false},
		"that was not sent yet": {7, now + time.Millisecond, false, false},
		"of another disk":       {8, now, false, false},
	} {
		p := k.prove(&envelope{from: c.from, echo: k.stampFor(7, c.sent)}, now)
		if p.proven != c.proven || p.recent != c.recent || c.proven && p.at != c.sent {
			t.Errorf("a stamp %s: %+v", what, p)
		}
	}
	if p := k.prove(&envelope{from: 7}, now); p.proven {
		t.Error("no stamp proves something")
	}
	if other := newContacts(43, began); other.stampFor(7, now) == k.stampFor(7, now) {
		t.Error("another process has the same stamps")
	}
}

// A stamp that came with a proof is replaced by one with a later proof alone.
func TestWhichStampIsEchoed(t *testing.T) {
	k := newContacts(42, time.Second)
	known := func(uint64) bool { return true }
	for _, c := range []struct {
		what         string
		stamp        uint64
		at           time.Duration
		proven, kept bool
	}{
		{"the first", 1, 0, false, true}, {"another one", 2, 0, false, true}, {"one with a proof", 3, 5, true, true},
		{"one without", 4, 0, false, false}, {"one with an older proof", 5, 4, true, false}, {"one with a later one", 6, 6, true, true},
	} {
		k.meet(&envelope{from: 7, stamp: c.stamp}, proof{at: c.at, proven: c.proven}, known)
		if kept := k.disks[7].stamp == c.stamp; kept != c.kept {
			t.Errorf("%s: echoed %v", c.what, kept)
		}
	}
}

// Strangers are forgotten when there are many, whether they prove themselves or not;
// who is known is kept, and called what others call it.
func TestWhoIsRemembered(t *testing.T) {
	k := newContacts(42, time.Second)
	known := func(disk uint64) bool { return disk < 10 }
	for disk := range uint64(10 * maxStrangers) {
		k.meet(&envelope{from: disk, stamp: 1, sender: "px9"}, proof{at: 5, proven: disk%2 == 0}, known)
	}
	if n := len(k.disks); n > maxStrangers {
		t.Errorf("%d are remembered", n)
	}
	for disk := range uint64(10) {
		if d, ok := k.disks[disk]; !ok || d.name != "" {
			t.Errorf("disk %d, which is known, is forgotten, or is called %q", disk, d.name)
		}
	}
	if k.disks[10*maxStrangers-1].name != "px9" {
		t.Error("a stranger has no name")
	}
	if k.keep(func(disk uint64) bool { return disk == 3 }); len(k.disks) != 1 {
		t.Errorf("%d are kept", len(k.disks))
	}
}

// A disk is asked to prove itself once in 50 ms, at once again when it has answered,
// and so that voters know each other every 5 minutes.
func TestHowOftenADiskIsChallenged(t *testing.T) {
	k := newContacts(42, time.Second)
	known := func(uint64) bool { return true }
	now := time.Minute
	if !k.challenge(7, now) || k.challenge(7, now+challengeEvery-1) || !k.challenge(7, now+challengeEvery) {
		t.Error("it is not asked once in 50 ms")
	}
	if now += challengeEvery; !k.fading(7, now) {
		t.Error("it has proved itself before it has answered")
	}
	k.meet(&envelope{from: 7}, proof{at: now, proven: true}, known)
	if k.challenge(7, now+answeredEvery-1) || !k.challenge(7, now+answeredEvery) {
		t.Error("it has answered, and is not asked again after 5 ms")
	}
	if k.fading(7, now+introduceEvery) || !k.fading(7, now+introduceEvery+1) {
		t.Error("its proof does not hold for 5 minutes")
	}
}
