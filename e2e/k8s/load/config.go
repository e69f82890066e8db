package load

import (
	"errors"
	"fmt"
	"time"
)

// Config says what a load does. Every field is a flag of cmd/load.
type Config struct {
	// Address is HOST:PORT of the clients' Service.
	Address string
	// User and Password log in, at a database with the name Database, which is made if the user may.
	User, Password, Database string

	// Workers connect anew every Reconnect transactions, each begins at most Rate transactions a second.
	Workers, Reconnect int
	Rate               float64

	// Pool is the number of writers that share a pool. Each keeps a transaction open for Hold and pauses for Think.
	Pool        int
	Hold, Think time.Duration
	// Long keeps each transaction of one more writer open that long; 0: there is none.
	Long time.Duration
	// MaxLife is after what time the pool closes a connection once it is idle.
	MaxLife time.Duration

	// ConnectTimeout bounds an attempt to connect up to the end of the login, Timeout a transaction beyond its Hold.
	ConnectTimeout, Timeout time.Duration
	// Retry is the pause after a failure.
	Retry time.Duration
}

// Validate names every field that cannot be used, in one error.
func (c Config) Validate() error {
	var errs []error
	for name, value := range map[string]string{"address": c.Address, "user": c.User, "database": c.Database} {
		if value == "" {
			errs = append(errs, fmt.Errorf("--%s is needed", name))
		}
	}
	if c.Workers < 0 || c.Pool < 0 || c.Workers+c.Pool == 0 {
		errs = append(errs, errors.New("--workers and --pool: not negative, and one of them more than 0"))
	}
	if c.Rate <= 0 || c.Reconnect < 1 {
		errs = append(errs, errors.New("--rate and --reconnect: more than 0"))
	}
	if c.Hold < 0 || c.Think < 0 || c.Long < 0 || c.MaxLife < 0 || c.Retry < 0 {
		errs = append(errs, errors.New("--hold, --think, --long, --max-life and --retry: not negative"))
	}
	if c.ConnectTimeout <= 0 || c.Timeout <= 0 {
		errs = append(errs, errors.New("--connect-timeout and --timeout: more than 0"))
	}
	return errors.Join(errs...)
}
