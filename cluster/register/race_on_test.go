//go:build race

package register

import "time"

// simBudget is small under the race detector: the simulation is one goroutine.
const simBudget = 5_000

// simIdle is short under the race detector, for the same reason.
const simIdle = 5 * time.Minute
