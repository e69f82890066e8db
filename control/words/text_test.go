package words

import (
	"testing"
	"time"
)

func TestSeconds(t *testing.T) {
	for ms, want := range map[int64]string{0: "0ms", 999: "999ms", 1240: "1.2s", 10_000: "10s", 61_500: "61.5s", 3_600_000: "1h0m0s"} {
		if got := Seconds(ms); got != want {
			t.Errorf("%d: got %s, want %s", ms, got, want)
		}
	}
}

func TestRoughly(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0ms", 40 * time.Millisecond: "40ms", 3 * time.Second: "3s", 119 * time.Second: "119s",
		3 * time.Minute: "3m", 5 * time.Hour: "5h", 47 * time.Hour: "47h", 72 * time.Hour: "3d",
	} {
		if got := Roughly(d); got != want {
			t.Errorf("%s: got %s, want %s", d, got, want)
		}
	}
}
