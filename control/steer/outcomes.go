package steer

import "github.com/haproxy-peers/haproxy-peers/control/model"

// What became of a session that a move or a failover left behind.
const (
	OutcomeDrained  = "drained"               // closed between two transactions
	OutcomeFinished = "finished"              // its client ended it
	OutcomeKilled   = "killed"                // closed because the time was over, in no transaction that is known of
	OutcomeCut      = "killed_in_transaction" // the same, in a transaction
)

// Outcomes are all of them.
func Outcomes() []string {
	return []string{OutcomeDrained, OutcomeFinished, OutcomeKilled, OutcomeCut}
}

// outcomes adds up what became of this proxy's sessions.
type outcomes struct {
	of      model.Epoch
	counted map[string]int
}

// add returns what is new since the last time. Who ended by itself is known for sure once the move is done here.
func (o *outcomes) add(m *model.MoveView) map[string]int {
	if m == nil {
		return nil
	}
	if at := (model.Epoch{Recovery: m.Recovery, N: m.Epoch}); o.counted == nil || o.of != at {
		o.of, o.counted = at, map[string]int{}
	}
	now := map[string]int{OutcomeDrained: m.Drained, OutcomeKilled: m.Killed - m.KilledTrx, OutcomeCut: m.KilledTrx}
	if m.Done {
		now[OutcomeFinished] = m.Finished
	}
	fresh := map[string]int{}
	for name, n := range now {
		if more := n - o.counted[name]; more > 0 {
			fresh[name], o.counted[name] = more, n
		}
	}
	return fresh
}
