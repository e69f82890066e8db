package galera

import (
	"testing"
	"time"
)

func TestWait(t *testing.T) {
	t0 := time.Date(2026, 11, 30, 18, 0, 0, 0, time.UTC)
	at := func(ms int) time.Time { return t0.Add(time.Duration(ms) * time.Millisecond) }
	began := func(ms int) func(Wait) Wait { return func(w Wait) Wait { return w.Began(at(ms)) } }
	returned := Wait.Returned
	looked := func(ms int, late string) func(Wait) Wait { return func(w Wait) Wait { return w.Looked(at(ms), late) } }
	const ddl = "a client's DDL may be under way"
	for name, c := range map[string]struct {
		steps []func(Wait) Wait
		want  bool
	}{
		"nothing is asked":              {nil, false},
		"it hangs":                      {[]func(Wait) Wait{began(0), looked(5, ""), looked(30, ""), looked(55, "")}, true},
		"not for long enough":           {[]func(Wait) Wait{began(0), looked(5, ""), looked(30, "")}, false},
		"for just long enough":          {[]func(Wait) Wait{began(0), looked(30, ""), looked(50, "")}, true},
		"it has come back":              {[]func(Wait) Wait{began(0), looked(30, ""), looked(55, ""), returned}, false},
		"another one has begun":         {[]func(Wait) Wait{began(0), looked(30, ""), looked(55, ""), returned, began(100), looked(110, ""), looked(130, "")}, false},
		"late all the time":             {[]func(Wait) Wait{began(0), looked(30, ddl), looked(55, ddl)}, false},
		"late at the last look":         {[]func(Wait) Wait{began(0), looked(30, ""), looked(55, ddl)}, false},
		"late at the look before":       {[]func(Wait) Wait{began(0), looked(55, ddl), looked(75, "")}, false},
		"late no more for two looks":    {[]func(Wait) Wait{began(0), looked(55, ddl), looked(75, ""), looked(95, "")}, true},
		"the first look is older":       {[]func(Wait) Wait{looked(-5, ""), began(0), looked(60, "")}, false},
		"looked at, and no read hangs":  {[]func(Wait) Wait{looked(30, ""), looked(55, ""), looked(80, "")}, false},
		"the first look is as old":      {[]func(Wait) Wait{looked(0, ""), began(0), looked(60, "")}, false},
		"the second look is after that": {[]func(Wait) Wait{looked(0, ""), began(0), looked(20, ""), looked(60, "")}, true},
	} {
		var w Wait
		for _, s := range c.steps {
			w = s(w)
		}
		if got := w.Hangs(); got != c.want {
			t.Errorf("%s: hangs %v", name, got)
		}
	}
}
