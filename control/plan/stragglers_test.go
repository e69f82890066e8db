package plan

import "testing"

// One backend that cannot use the active keeps no sessions in the others.
func TestOneBackendDownDoesNotKeepStragglers(t *testing.T) {
	b := func(name string) Backend {
		return Backend{Name: name, Table: name, Keys: []string{"1"}, Servers: []Server{{Name: "a", ID: 1}, {Name: "b", ID: 2, Backup: true}}}
	}
	in := &Input{Layout: Layout{Backends: []Backend{b("writers"), b("mysqlx")}}, Active: "b", MayClose: true, NativeDue: true,
		Observed: Observed{
			Tables: map[string]map[string]Entry{"writers": {"1": {ServerID: 2}}, "mysqlx": {"1": {ServerID: 2}}},
			Servers: map[string]map[string]ServerNow{
				"writers": {"a": {Running: true, Sessions: 9}, "b": {Running: true}},
				"mysqlx":  {"a": {Running: true}, "b": {}}, // the X plugin of b does not answer
			}}}
	r := Make(in)
	for _, a := range r.Actions {
		if a.Op == OpClose && a.Backend == "writers" && a.Server == "a" {
			return
		}
	}
	t.Errorf("9 writer sessions stay on a although writers lead to b: %+v", r)
}
