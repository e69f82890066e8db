package galera

import (
	"testing"
	"time"
)

// A look is late for as long as a large write set may be at work, and only then.
func TestIntakeLarge(t *testing.T) {
	type read struct {
		at                      time.Duration
		count, bytes, committed int64
		large                   bool
	}
	for _, c := range []struct {
		name  string
		reads []read
	}{
		{"small ones", []read{{0, 100, 50_000, 80, false}, {100 * time.Millisecond, 130, 80_000, 110, false}, {time.Second, 131, 80_300, 111, false}}},
		{"the first look", []read{{0, 100, 500 << 20, 80, false}, {time.Second, 101, 500<<20 + 300, 81, false}}},
		{"being certified", []read{
			{0, 100, 50_000, 80, false}, {20 * time.Millisecond, 101, 30 << 20, 80, true},
			{time.Minute, 101, 30 << 20, 80, true}, // for as long as nothing is committed
			{61 * time.Second, 101, 30 << 20, 81, true}, {70 * time.Second, 102, 30<<20 + 300, 82, true},
			{72 * time.Second, 102, 30<<20 + 300, 82, false},
		}},
		{"just not large", []read{{0, 100, 0, 80, false}, {time.Second, 101, largeBytes + smallBytes, 80, false}}},
		{"just large", []read{{0, 100, 0, 80, false}, {time.Second, 101, largeBytes + smallBytes + 1, 80, true}}},
		{"among many", []read{{0, 100, 0, 80, false}, {time.Second, 200, 100*smallBytes + largeBytes + 1, 180, true}}},
		{"many small ones", []read{{0, 100, 0, 80, false}, {time.Second, 1100, 5 << 20, 1080, false}}},
		{"another process", []read{{0, 100, 0, 80, false}, {time.Second, 101, 30 << 20, 80, true}, {2 * time.Second, 3, 900, 82, false}}},
		{"a second one", []read{
			{0, 100, 0, 80, false}, {time.Second, 101, 30 << 20, 80, true}, {2 * time.Second, 101, 30 << 20, 81, true},
			{11 * time.Second, 102, 60 << 20, 81, true}, {30 * time.Second, 102, 60 << 20, 81, true},
		}},
	} {
		begin := time.Unix(1000, 0)
		var i Intake
		for _, r := range c.reads {
			now := begin.Add(r.at)
			i = i.Read(now, r.count, r.bytes, r.committed)
			if got := i.Large(now); got != r.large {
				t.Errorf("%s, after %v: large %t", c.name, r.at, got)
			}
		}
	}
}
