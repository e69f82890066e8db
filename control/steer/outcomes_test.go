package steer

import (
	"maps"
	"testing"

	"github.com/haproxy-peers/haproxy-peers/control/model"
)

// Each session is counted once, whatever the report says again; another move begins anew.
func TestOutcomes(t *testing.T) {
	var o outcomes
	total := map[string]int{}
	for _, m := range []*model.MoveView{
		nil,
		{Epoch: 2, Began: 9, Drained: 2, Left: 7},
		{Epoch: 2, Began: 9, Drained: 4, Finished: 1, Left: 4},
		{Epoch: 2, Began: 9, Drained: 4, Finished: 2, Left: 3},
		{Epoch: 2, Began: 9, Drained: 4, Killed: 2, KilledTrx: 1, Finished: 3, Done: true},
		{Epoch: 2, Began: 9, Drained: 4, Killed: 2, KilledTrx: 1, Finished: 3, Done: true},
		{Epoch: 2, Began: 9, Drained: 4, Killed: 2, KilledTrx: 1, Finished: 2, Left: 1}, // one came late
		{Epoch: 2, Began: 9, Drained: 4, Killed: 2, KilledTrx: 1, Finished: 3, Done: true},
		{Epoch: 3, Began: 1, Finished: 1, Done: true},
		{Recovery: 1, Epoch: 3, Began: 1, Drained: 1, Done: true},
	} {
		for name, n := range o.add(m) {
			total[name] += n
		}
	}
	want := map[string]int{OutcomeDrained: 5, OutcomeFinished: 4, OutcomeKilled: 1, OutcomeCut: 1}
	if !maps.Equal(total, want) {
		t.Errorf("%v, want %v", total, want)
	}
}
