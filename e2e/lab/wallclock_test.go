package lab

import (
	"testing"
	"time"
)

// The wall clock's true time follows from the monotonic one, whatever was set.
func TestAnchor(t *testing.T) {
	a, err := parseAnchor("1795378508000000000,42000000000")
	if err != nil {
		t.Fatal(err)
	}
	if got := a.wallAt(a.mono + time.Minute.Nanoseconds()); got != a.wall+time.Minute.Nanoseconds() {
		t.Errorf("got %d", got)
	}
	for _, bad := range []string{"", "1", "a,b"} {
		if _, err := parseAnchor(bad); err == nil {
			t.Errorf("%q is an anchor", bad)
		}
	}
	before, err := now()
	if err != nil {
		t.Fatal(err)
	}
	after, err := now()
	if err != nil || after.mono < before.mono {
		t.Errorf("%+v, then %+v, %v", before, after, err)
	}
}
