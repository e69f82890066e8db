package donor

import (
	"slices"
	"testing"
)

// Every two circumstances are in some row of the list, every three of which one is an external check too, and no
// row can be left out.
func TestList(t *testing.T) {
	list := List()
	for _, c := range list {
		t.Log(c)
	}
	if len(list) < 12 || len(list) > 18 {
		t.Errorf("%d combinations: about 16 were wanted", len(list))
	}
	lacks := func(rows []Combination) (parts []string) {
		for _, want := range all() {
			v := want.values()
			for i := range v {
				for j := range i {
					if !slices.ContainsFunc(rows, func(r Combination) bool { return r.values()[i] == v[i] && r.values()[j] == v[j] }) {
						parts = append(parts, v[j]+", "+v[i])
					}
					if want.Check != TCP && !slices.ContainsFunc(rows, func(r Combination) bool {
						return r.Check == want.Check && r.values()[i] == v[i] && r.values()[j] == v[j]
					}) {
						parts = append(parts, string(want.Check)+", "+v[j]+", "+v[i])
					}
				}
			}
		}
		return parts
	}
	if !slices.Contains(list, Core) {
		t.Errorf("%v is not among them", Core)
	}
	if parts := lacks(list); len(parts) > 0 {
		t.Errorf("no row has %q", parts)
	}
	for i, c := range list {
		if c != Core && len(lacks(slices.Delete(slices.Clone(list), i, i+1))) == 0 {
			t.Errorf("%v adds nothing", c)
		}
	}
}
