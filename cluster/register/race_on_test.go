//go:build race

package register

// simBudget is small under the race detector: the simulation is one goroutine.
const simBudget = 5_000
