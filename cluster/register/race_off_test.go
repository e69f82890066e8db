//go:build !race

package register

// simBudget is how many operations TestSimulation runs.
const simBudget = 100_000
