package api

import "github.com/haproxy-peers/haproxy-peers/control/model"

// At is the epoch of the decision.
func (a *Active) At() model.Epoch { return model.Epoch{Recovery: a.Recovery, N: a.Epoch} }

// At is the epoch of the decision that made the move.
func (m *Move) At() model.Epoch { return model.Epoch{Recovery: m.Recovery, N: m.Epoch} }
