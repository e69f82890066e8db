package api

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

// No list of an answer is ever absent or null, so that `.problems[]` needs no case for it.
func TestListsAreNeverAbsent(t *testing.T) {
	for _, v := range []any{
		Status{Members: []Member{{Proxy: &Proxy{}}}, Nodes: []Node{{}}, Active: Active{Move: &Move{}}}, History{}, SetResponse{}, []Node(nil), []Member(nil),
		Register{}, Move{}, Explanation{}, RemoveResponse{}, LowerResponse{}, Check{}, Error{Winner: &Active{}},
	} {
		listed(t, reflect.TypeOf(v))
		b, err := json.Marshal(WithLists(v))
		if err != nil || strings.Contains(string(b), ":null") || string(b) == "null" {
			t.Errorf("%T: %v: %s", v, err, b)
		}
	}
	since := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	in := Status{Active: Active{Since: since, Move: &Move{From: "a"}}, Problems: []Problem{{Code: "x"}}}
	out := WithLists(in).(Status)
	if !out.Active.Since.Equal(since) || out.Active.Move.From != "a" || out.Problems[0].Code != "x" {
		t.Errorf("something is lost: %+v", out)
	}
	if in.Nodes != nil || in.Active.Move.Proxies != nil {
		t.Errorf("what was given is changed: %+v", in)
	}
}

// listed walks a type: a list that is left out where it is empty would be absent.
func listed(t *testing.T, of reflect.Type) {
	switch of.Kind() {
	case reflect.Slice, reflect.Pointer:
		listed(t, of.Elem())
	case reflect.Struct:
		for i := range of.NumField() {
			f := of.Field(i)
			if k := f.Type.Kind(); (k == reflect.Slice || k == reflect.Map) && strings.Contains(f.Tag.Get("json"), "omit") {
				t.Errorf("%s.%s may be absent", of, f.Name)
			}
			if f.IsExported() {
				listed(t, f.Type)
			}
		}
	}
}

// What an older daemon sends is a bare sentence.
func TestProblemOfAnOlderDaemon(t *testing.T) {
	var s Status
	if err := json.Unmarshal([]byte(`{"problems":["px1 is not heard", {"code":"frozen","severity":"info","text":"frozen","next":"haproxyctl unfreeze"}]}`), &s); err != nil {
		t.Fatal(err)
	}
	if s.State != "" || len(s.Problems) != 2 || s.Problems[0] != (Problem{Code: ProblemUncoded, Severity: SeverityWarning, Text: "px1 is not heard"}) || s.Problems[1].Next != "haproxyctl unfreeze" {
		t.Errorf("%+v", s)
	}
}
