// Package gcomm is a model of the group layer of Galera, for tests: nothing of the product imports it. It has virtual
// time, seeded chance and no goroutines, so a history is a function of its seed.
//
// It models what decisions about evictions depend on: views and their making, quorum, evict lists and how they travel,
// the way back of a node, causal reads, and what a daemon can read of a process. DESIGN.md says from which fact each
// part is taken and what is left out. A [Script] is played on the model and on real Galera alike (e2e), so that the
// model is held to the real thing.
package gcomm
