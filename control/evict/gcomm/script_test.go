package gcomm

import "testing"

// Every script ends on the model as it has to.
func TestScripts(t *testing.T) {
	for _, s := range Scripts() {
		t.Run(s.Name, func(t *testing.T) {
			for seed := range uint64(5) {
				got, err := Play(s, NewSubject(seed))
				t.Log(got.Ends, got.Took)
				if err != nil {
					t.Fatal(err)
				}
				for role, want := range s.Want {
					if end := got.Ends[role]; !end.Equal(want) {
						t.Errorf("seed %d: %s ended %s, expected %s", seed, role, end, want)
					}
				}
			}
		})
	}
}
