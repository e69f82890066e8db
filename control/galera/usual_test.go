package galera

import (
	"testing"
	"time"
)

// A read that hangs says something once two looks have found nothing that the node is late with, the second of them a good
// while after the read began: longer than the group's messages usually take.
func TestWaitHangs(t *testing.T) {
	begin := time.Unix(1000, 0)
	at := func(ms int) time.Time { return begin.Add(time.Duration(ms) * time.Millisecond) }
	for _, c := range []struct {
		name string
		wait Wait
		want bool
	}{
		{"nothing asked", Wait{}.Looked(at(10), "").Looked(at(70), ""), false},
		{"two looks", Wait{}.Began(at(0)).Looked(at(10), "").Looked(at(50), ""), true},
		{"too early", Wait{}.Began(at(0)).Looked(at(10), "").Looked(at(49), ""), false},
		{"one look", Wait{}.Began(at(0)).Looked(at(70), ""), false},
		{"the first look before it", Wait{}.Looked(at(0), "").Began(at(5)).Looked(at(70), ""), false},
		{"late", Wait{}.Began(at(0)).Looked(at(10), "").Looked(at(60), "an applier is at work"), false},
		{"late before", Wait{}.Began(at(0)).Looked(at(40), "an applier is at work").Looked(at(60), ""), false},
		{"it came back", Wait{}.Began(at(0)).Looked(at(10), "").Looked(at(70), "").Returned(), false},
		{"members far away", Wait{Usual: 50 * time.Millisecond}.Began(at(0)).Looked(at(10), "").Looked(at(199), ""), false},
		{"members far away, later", Wait{Usual: 50 * time.Millisecond}.Began(at(0)).Looked(at(10), "").Looked(at(200), ""), true},
		{"a slow minute", Wait{Usual: time.Minute}.Began(at(0)).Looked(at(10), "").Looked(at(500), ""), true},
		{"members near", Wait{Usual: time.Millisecond}.Began(at(0)).Looked(at(10), "").Looked(at(50), ""), true},
	} {
		if got := c.wait.Hangs(); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}

func TestLatency(t *testing.T) {
	const before = 9 * time.Millisecond
	for text, want := range map[string]time.Duration{
		// Measured: a quiet node and a busy one a second after a view change; twelve writers without one.
		"0.0010667/0.334214/1.00045/0.471099/3": 1066700, "0.000255607/0.0026295/1.00137/0.0355759/790": 1358682,
		"0.000269723/0.00169464/0.0117923/0.00158349/535": 1694640,
		// A member 80 ms away, and one of which all messages take as long.
		"0.0801/0.084/0.12/0.004/500": 84 * time.Millisecond, "0.001/0.001/0.001/0/1": time.Millisecond,
		// Half of the messages are slow: no few of them.
		"0.01/0.1/0.19/0.09/100": 100 * time.Millisecond,
		"0/0/0/0/0":              before, "": before, "1/2/3": before,
		"a/b/c/d/5": before, "0/-1/0/0/3": before, "0/1/-1/0/3": before, "0/NaN/0/0/3": before, "0/1e300/0/0/3": before,
	} {
		if got := latency([]byte(text), before); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
