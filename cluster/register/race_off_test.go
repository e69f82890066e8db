//go:build !race

package register

import "time"

// simBudget is how many operations TestSimulation runs.
const simBudget = 100_000

// simIdle is how long TestHourOldMessagesChangeNothing waits, in simulated time.
const simIdle = time.Hour
