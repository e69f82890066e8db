package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/haproxy-peers/haproxy-peers/control/api"
)

// Times of asking the members over HTTP.
const (
	// askWithin bounds one question: a host that is gone does not refuse, it
	// hangs, and must not use up the whole wait.
	askWithin = time.Second
	// askAgain is the pause between two rounds.
	askAgain = 250 * time.Millisecond
	// maxAnswer is more than any answer of ours.
	maxAnswer = 1 << 20
)

// agreedActive asks the daemons of hosts for the active node, all at once and
// again until ctx is done, and returns the newest agreement, or why there is
// none. It only takes an answer behind which a majority of the voters stands
// now: a daemon without one knows what was decided once, and HAProxy may
// have moved by itself since.
func agreedActive(ctx context.Context, hosts []string, port int) (api.Active, error) {
	for {
		act, why := askOnce(ctx, hosts, port)
		if act.Active != "" {
			return act, nil
		}
		if !sleep(ctx, askAgain) {
			return api.Active{}, fmt.Errorf("no member knows an agreed active node (%s)", why)
		}
	}
}

// askOnce asks each host once and waits for all: two agreed answers can differ
// for the moment of a move, and the newer one is right. Without an agreed answer
// it returns none and the reason of the first host that gave one.
func askOnce(ctx context.Context, hosts []string, port int) (best api.Active, why string) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	answers := make([]api.Active, len(hosts))
	reasons := make([]string, len(hosts))
	var wg sync.WaitGroup
	for i, host := range hosts {
		wg.Go(func() {
			act, err := askAddress(ctx, net.JoinHostPort(host, strconv.Itoa(port)))
			switch {
			case err != nil:
				reasons[i] = err.Error()
			case !act.Agreed || act.Active == "":
				reasons[i] = fmt.Sprintf("%s: %s", host, cmp.Or(act.Reason, "nothing is agreed"))
			default:
				answers[i] = act
			}
		})
	}
	wg.Wait()
	for _, act := range answers {
		if best.Active == "" || best.At().Before(act.At()) {
			best = act
		}
	}
	return best, cmp.Or(reasons...)
}

// askAddress asks the daemon whose --http-bind is ADDR:PORT.
func askAddress(ctx context.Context, address string) (api.Active, error) {
	var act api.Active
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/active", nil)
	if err != nil {
		return act, fmt.Errorf("%s: %w", address, err)
	}
	// A proxy in the environment has nothing to do with the members.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return act, fmt.Errorf("%s: no answer", address)
		}
		return act, fmt.Errorf("%s: %w", address, lastCause(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return act, fmt.Errorf("%s: HTTP status %s", address, resp.Status)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&act); err != nil {
		return act, fmt.Errorf("%s: not haproxyd's answer: %w", address, err)
	}
	return act, nil
}

// lastCause is the innermost error: net/http and net each repeat the address.
func lastCause(err error) error {
	for errors.Unwrap(err) != nil {
		err = errors.Unwrap(err)
	}
	return err
}
