package state

import (
	"fmt"
	"testing"
)

// A late copy of a command gets the answer that the first one got, as long as
// the memory of 64 commands lasts; beyond it, and for a version that does not
// exist yet, the answer is that the outcome is open, never that it was refused.
func TestMachineAnswersLateCopies(t *testing.T) {
	var m Machine
	run := func(i int, expect Version) Outcome {
		return m.Apply(Command{ID: fmt.Sprint(i), Expect: expect}, false)
	}
	for i := range 100 {
		if o := run(i, m.Record.Version); o.Refused || o.Record.Revision != uint64(i+1) {
			t.Fatalf("command %d: %+v", i, o)
		}
	}
	for i := range 100 {
		o := run(i, Version{Revision: uint64(i)})
		switch {
		case m.Record.Revision != 100:
			t.Fatalf("the copy of command %d was applied", i)
		case i >= 36 && (o.Refused || o.Record.Revision != uint64(i+1) || o.Record.CommandID != fmt.Sprint(i)):
			t.Errorf("the copy of command %d, which is remembered: %+v", i, o)
		case i < 35 && (!o.Refused || !o.Open):
			t.Errorf("the copy of command %d, which is forgotten: %+v", i, o)
		}
	}
	if o := run(1000, Version{Revision: 99}); !o.Refused || o.Open {
		t.Errorf("a new command that expects what was: %+v", o)
	}
	if o := run(1001, Version{Revision: 101}); !o.Refused || !o.Open {
		t.Errorf("a command that expects what is not yet: %+v", o)
	}
}
