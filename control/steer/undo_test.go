package steer

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var aMaxconn = change{Kind: changeMaxconn, Backend: "b", Server: "s", Before: 50}

func quietUndo(path string) *undo { return newUndo(path, slog.New(slog.DiscardHandler)) }

// What is noted survives this daemon; what was taken back does not.
func TestUndoSurvives(t *testing.T) {
	path := filepath.Join(t.TempDir(), "changes.json")
	u := quietUndo(path)
	weight := change{Kind: changeWeight, Backend: "b", Server: "o", Before: 3}
	if err := u.begin(process{Pid: 7}, aMaxconn, weight); err != nil {
		t.Fatal(err)
	}
	again := aMaxconn
	again.Before = 1 // what a second look sees is this daemon's own doing
	if err := u.begin(process{Pid: 7}, again); err != nil {
		t.Fatal(err)
	}
	u.end(weight)
	left := quietUndo(path).of(changeMaxconn, changeWeight, changeMaint, changeDrain)
	if len(left) != 1 || left[0] != aMaxconn {
		t.Errorf("left %+v", left)
	}
}

// A file that was cut in half undoes nothing, and is kept for somebody to look at.
func TestUndoOfHalfAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "changes.json")
	if err := quietUndo(path).begin(process{Pid: 7}, aMaxconn); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	half := b[:len(b)/2]
	if err := os.WriteFile(path, half, 0o600); err != nil {
		t.Fatal(err)
	}
	u := quietUndo(path)
	if left := u.of(changeMaxconn); len(left) > 0 {
		t.Errorf("guessed %+v", left)
	}
	if kept, err := os.ReadFile(path + ".bad"); err != nil || string(kept) != string(half) {
		t.Errorf("kept %q, %v", kept, err)
	}
	if err := u.begin(process{Pid: 7}, aMaxconn); err != nil || len(quietUndo(path).of(changeMaxconn)) != 1 {
		t.Errorf("it does not go on: %v", err)
	}
}

// What could not be written may not be done, and counts as not done.
func TestUndoThatCannotBeWritten(t *testing.T) {
	u := quietUndo(filepath.Join(t.TempDir(), "nowhere", "changes.json"))
	if err := u.begin(process{Pid: 7}, aMaxconn); err == nil {
		t.Error("no error: the change would be made")
	}
	if u.mine(changeMaxconn, "b", "s") {
		t.Error("it counts as made")
	}
}

func TestUndoAfterARestart(t *testing.T) {
	began := time.Now()
	drain := change{Kind: changeDrain, Backend: "r", Server: "s"}
	maint := change{Kind: changeMaint, Backend: "b", Server: "s"}
	for _, tt := range []struct {
		name string
		proc process
		want int
	}{
		{"the same process", process{Pid: 7, Started: began.Add(time.Second)}, 3},
		{"the same process, and somebody set the clock", process{Pid: 7, Started: began.Add(time.Hour)}, 3},
		// Its maxconn is the file's again; a state may have come back from HAProxy's own file.
		{"another process", process{Pid: 8, Started: began.Add(time.Hour)}, 2},
	} {
		u := quietUndo(filepath.Join(t.TempDir(), "changes.json"))
		if err := u.begin(process{Pid: 7, Started: began}, aMaxconn, maint, drain); err != nil {
			t.Fatal(err)
		}
		u.restarted(tt.proc)
		if left := u.of(changeMaxconn, changeMaint, changeDrain); len(left) != tt.want {
			t.Errorf("%s: left %+v", tt.name, left)
		}
	}
}
