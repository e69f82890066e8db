package runtimeapi

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/haproxytech/client-native/v5/runtime"
)

// SetTable sets the server id of a key, making the entry if there is none. It has no
// effect on where connections go while the entry holds a server key (ServerKey): clear it
// first, or use ClearSetTable. HAProxy checks neither that such a server exists nor, since
// 3.0, that the key of an integer table is a number (it takes 0 instead).
func (c *Client) SetTable(ctx context.Context, table, key string, serverID int) error {
	command, err := setTableCommand(table, key, serverID)
	if err != nil {
		return err
	}
	return c.change(ctx, command)
}

// ClearTable removes a key; a missing one is no error. HAProxy refuses while the entry is
// referenced, which lasts microseconds: try again.
func (c *Client) ClearTable(ctx context.Context, table, key string) error {
	command, err := clearTableCommand(table, key)
	if err != nil {
		return err
	}
	return c.change(ctx, command)
}

// ClearSetTable clears a key and sets its server id, in one line of one connection. The two
// are not atomic: a connection that is established in between stores its own server. If
// HAProxy refuses both, the error holds both refusals.
func (c *Client) ClearSetTable(ctx context.Context, table, key string, serverID int) error {
	clearing, err := clearTableCommand(table, key)
	if err != nil {
		return err
	}
	setting, err := setTableCommand(table, key, serverID)
	if err != nil {
		return err
	}
	return c.changeAll(ctx, clearing, setting)
}

// changeAll runs commands in one line of one connection. If HAProxy refuses some of them,
// the error holds each refusal.
func (c *Client) changeAll(ctx context.Context, commands ...string) error {
	line := strings.Join(commands, ";")
	reply, err := c.roundTrip(ctx, line, maxShort)
	if err != nil {
		return err
	}
	answers := make([]string, len(commands))
	if err := splitAnswers(reply, answers); err != nil {
		return c.explain(line, err)
	}
	errs := make([]error, len(commands))
	for i := range commands {
		errs[i] = expectBlank(commands[i], answers[i])
	}
	return joined(errs)
}

// joined is one line for what several commands were refused for.
func joined(errs []error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) < 2 {
		return errors.Join(errs...)
	}
	all := errs[0]
	for _, err := range errs[1:] {
		all = fmt.Errorf("%w, and %w", all, err)
	}
	return all
}

func setTableCommand(table, key string, serverID int) (string, error) {
	if err := errors.Join(checkTable(table), checkKey(key)); err != nil {
		return "", err
	}
	if serverID < 1 || serverID > math.MaxInt32 {
		return "", fmt.Errorf("runtimeapi: server id %d is not in 1..%d: %w", serverID, math.MaxInt32, ErrUnsafeName)
	}
	return "set table " + table + " key " + key + " data.server_id " + strconv.Itoa(serverID), nil
}

func clearTableCommand(table, key string) (string, error) {
	if err := errors.Join(checkTable(table), checkKey(key)); err != nil {
		return "", err
	}
	return "clear table " + table + " key " + key, nil
}

// ServerMode is an administrative state that can be asked for.
type ServerMode string

// The modes of "set server ... state". Maint closes the sessions of a server with
// "on-marked-down shutdown-sessions" and stops stickiness; Drain does neither. A reload
// brings every server back to its configured state.
const (
	Ready ServerMode = "ready"
	Drain ServerMode = "drain"
	Maint ServerMode = "maint"
)

// SetServerState sets a server's administrative state (level admin).
func (c *Client) SetServerState(ctx context.Context, backend, server string, mode ServerMode) error {
	if !runtime.ServerStateValid(string(mode)) {
		return fmt.Errorf("runtimeapi: server state %q is not ready, drain or maint: %w", mode, ErrUnsafeName)
	}
	return c.changeServer(ctx, "set server ", backend, server, " state "+string(mode))
}

// HandOverQueue sets a server to maint so that what waits in its queue goes to the servers
// that are left in load balancing (level admin). In one line:
//   - up: since 3.0 a server hands its queue over only when it leaves the state up, and keeps
//     it if it was down before;
//   - drain: 2.6 hands the queue over at this change already, and closes nothing. At the one
//     to maint it closes the sessions first ("on-marked-down shutdown-sessions"), and another
//     thread may give the place that comes free to the first who waits, on this very server;
//   - maint: 3.0, 3.2 and 3.4 hand the queue over here alone.
//
// Whether the queue moves at all depends on option redispatch and on the version: see
// configs.StickyBackend.HoldReverts.
func (c *Client) HandOverQueue(ctx context.Context, backend, server string) error {
	name, err := serverPath(backend, server)
	if err != nil {
		return err
	}
	set := "set server " + name
	return c.changeAll(ctx, set+" health up", set+" state "+string(Drain), set+" state "+string(Maint))
}

// SetServerWeight sets a server's weight, 0 to 256 (level admin). Stickiness still goes to
// a server of weight 0.
func (c *Client) SetServerWeight(ctx context.Context, backend, server string, weight int) error {
	text := strconv.Itoa(weight)
	if !runtime.ServerWeightValid(text) {
		return fmt.Errorf("runtimeapi: weight %d is not in 0..256: %w", weight, ErrUnsafeName)
	}
	return c.changeServer(ctx, "set server ", backend, server, " weight "+text)
}

// SetServerMaxconn sets the number of sessions above which new ones wait in the server's
// queue, 0 for no limit (level admin). It sets minconn as well, so that a configured minconn is
// lost until the next reload.
func (c *Client) SetServerMaxconn(ctx context.Context, backend, server string, maxconn int) error {
	if maxconn < 0 || maxconn > math.MaxInt32 {
		return fmt.Errorf("runtimeapi: maxconn %d is not in 0..%d: %w", maxconn, math.MaxInt32, ErrUnsafeName)
	}
	return c.changeServer(ctx, "set maxconn server ", backend, server, " "+strconv.Itoa(maxconn))
}

// ShutdownSessionsServer closes all sessions of a server, those that are in its queue not
// included (level admin).
func (c *Client) ShutdownSessionsServer(ctx context.Context, backend, server string) error {
	return c.changeServer(ctx, "shutdown sessions server ", backend, server, "")
}

// ShutdownSession closes one session (level admin). One that has ended already is
// ErrSessionNotFound.
func (c *Client) ShutdownSession(ctx context.Context, id string) error {
	if err := checkSessionID(id); err != nil {
		return err
	}
	return noSession(c.change(ctx, "shutdown session "+id))
}

// changeServer runs a command that has the server's path between the two texts.
func (c *Client) changeServer(ctx context.Context, before, backend, server, after string) error {
	name, err := serverPath(backend, server)
	if err != nil {
		return err
	}
	return c.change(ctx, before+name+after)
}

func serverPath(backend, server string) (string, error) {
	if err := errors.Join(checkName("backend", backend), checkName("server", server)); err != nil {
		return "", err
	}
	return backend + "/" + server, nil
}
