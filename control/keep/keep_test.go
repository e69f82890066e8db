package keep

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

type leaf struct {
	N    int       `json:"n"`
	At   time.Time `json:"at,omitzero"`
	Rest Rest      `json:"-"`
}

type tree struct {
	Name   string         `json:"name,omitempty"`
	Leaf   leaf           `json:"leaf"`
	Other  *leaf          `json:"other,omitempty"`
	List   []leaf         `json:"list,omitempty"`
	Counts map[string]int `json:"counts,omitempty"`
	Rest   Rest           `json:"-"`
}

// What is unknown is kept on every level, as it stood there.
func TestKeeps(t *testing.T) {
	const text = `{"name":"a","new":{"deep":[1, "x"]},"leaf":{"n":1,"big":12345678901234567890},` +
		`"other":{"n":2,"o":null},"list":[{"n":3,"l":"<&>"},{"n":4}],"counts":{"c":1},"last":"é"}`
	var v tree
	if err := Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	v.Name, v.List = "b", append([]leaf{{N: 9}}, v.List...)
	got, err := Marshal(&v)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"name":"b","leaf":{"n":1,"big":12345678901234567890},"other":{"n":2,"o":null},` +
		`"list":[{"n":9},{"n":3,"l":"<&>"},{"n":4}],"counts":{"c":1},"new":{"deep":[1,"x"]},"last":"é"}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	var again tree
	if err := Unmarshal(got, &again); err != nil || !reflect.DeepEqual(again, v) {
		t.Errorf("read again: %+v, %v", again, err)
	}
}

func TestEmptyObjectKeeps(t *testing.T) {
	type empty struct {
		A    int  `json:"a,omitempty"`
		Rest Rest `json:"-"`
	}
	var v empty
	if err := Unmarshal([]byte(`{"b":1}`), &v); err != nil {
		t.Fatal(err)
	}
	if got, err := Marshal(v); err != nil || string(got) != `{"b":1}` {
		t.Errorf("got %s, %v", got, err)
	}
}

// A name that encoding/json takes for a known one is not unknown too.
func TestNamesOfAnotherCase(t *testing.T) {
	var v tree
	if err := Unmarshal([]byte(`{"NAME":"a","leaf":{"N":2,"x":1}}`), &v); err != nil || v.Name != "a" || v.Leaf.N != 2 || v.Rest != "" {
		t.Errorf("got %+v, %v", v, err)
	}
}

// Of a name that stands twice the last one counts, whatever the first one had.
func TestNamesTwice(t *testing.T) {
	var v tree
	if err := Unmarshal([]byte(`{"list":[{"n":1},{"x":1},{"y":1}],"list":[{"n":2}],"other":{"z":1},"other":null}`), &v); err != nil || len(v.List) != 1 || v.List[0].N != 2 || v.Other != nil {
		t.Errorf("got %+v, %v", v, err)
	}
}

func TestErrorsAreThoseOfJSON(t *testing.T) {
	for _, text := range []string{``, `{`, `{"leaf":3,"x":1}`, `{"name":"a"} x`, `[]`, `{"x":1}{"y":2}`} {
		var v, plain tree
		err, want := Unmarshal([]byte(text), &v), json.Unmarshal([]byte(text), &plain)
		if err == nil || want == nil || err.Error() != want.Error() {
			t.Errorf("%q: %v, want %v", text, err, want)
		}
	}
}

// Without anything unknown the bytes and the values are those of encoding/json.
func TestWithoutUnknown(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		one := func(label string) leaf { return leaf{N: rapid.Int().Draw(t, label)} }
		v := tree{Name: rapid.String().Draw(t, "name"), Leaf: one("leaf")}
		if rapid.Bool().Draw(t, "with other") {
			l := one("other")
			v.Other = &l
		}
		for range rapid.IntRange(0, 3).Draw(t, "list") {
			v.List = append(v.List, one("entry"))
		}
		got, err := Marshal(&v)
		want, err2 := json.Marshal(&v)
		if err != nil || err2 != nil || string(got) != string(want) {
			t.Fatalf("got %s, %v, want %s, %v", got, err, want, err2)
		}
		var back, plain tree
		if err := Unmarshal(got, &back); err != nil || json.Unmarshal(got, &plain) != nil || !reflect.DeepEqual(back, plain) {
			t.Fatalf("read %+v, %v, want %+v", back, err, plain)
		}
	})
}
