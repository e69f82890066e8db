package api

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// DefaultTimeout bounds one exchange with the daemon when the caller's context
// has no deadline of its own.
const DefaultTimeout = 10 * time.Second

// maxBody is the largest answer that is read. A status of 1,000 members is about
// one megabyte; anything far beyond that is not our daemon.
const maxBody = 32 << 20

// Errors of the way to the daemon, as opposed to an [*Error], which is its
// answer. Both are wrapped in a sentence that names the socket and what to do.
var (
	// ErrUnreachable: no request was sent, so nothing can have happened.
	ErrUnreachable = errors.New("haproxyd cannot be reached")
	// ErrNoAnswer: the request may have been sent, but no whole answer came. What
	// it asked for may have been done or not.
	ErrNoAnswer = errors.New("haproxyd did not answer")
)

// Client speaks the admin API over its unix socket, or to daemons elsewhere. Every call
// uses a fresh connection: calls are rare, and a kept one would outlive a restarted
// daemon. It is safe for concurrent use.
type Client struct {
	ways   []*way
	reason string        // of the orders; see Because
	last   *atomic.Int64 // the way that was one
	err    error
}

// way is one way to a daemon.
type way struct {
	name, base string // the socket's path or the endpoint; what comes before a request's path
	remote     bool
	http       *http.Client
}

// New returns a client for the daemon behind the unix socket at path socket. It
// opens nothing yet.
func New(socket string) *Client {
	dialer := &net.Dialer{}
	// The host is never resolved: the transport dials the socket whatever it is.
	return &Client{last: &atomic.Int64{}, ways: []*way{{name: socket, base: "http://haproxyd", http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		},
		DisableKeepAlives: true,
	}}}}}
}

// Failing returns a client of which every call fails with err, for who finds out late that there is none.
func Failing(err error) *Client { return &Client{err: err} }

// Remote are the endpoints of daemons elsewhere; none where the daemon is on this machine.
func (c *Client) Remote() (endpoints []string) {
	for _, w := range c.ways {
		if w.remote {
			endpoints = append(endpoints, w.name)
		}
	}
	return endpoints
}

// Because returns a client whose orders have that reason; Freeze and Unfreeze are
// given theirs.
func (c *Client) Because(reason string) *Client {
	with := *c
	with.reason = reason
	return &with
}

// Status returns everything that the daemon knows.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return get[Status](ctx, c, PathStatus)
}

// Active returns the agreement and how far it is carried out.
func (c *Client) Active(ctx context.Context) (Active, error) {
	return get[Active](ctx, c, PathActive)
}

// Set asks for another active node. It returns once the change is committed (or
// checked, in a dry run), which is before every proxy has followed.
func (c *Client) Set(ctx context.Context, req SetRequest) (SetResponse, error) {
	req.Reason = cmp.Or(req.Reason, c.reason)
	return post[SetResponse](ctx, c, PathActive, req)
}

// Move returns the last planned move, pending or over.
func (c *Client) Move(ctx context.Context) (Move, error) {
	return get[Move](ctx, c, PathMove)
}

// CancelMove rolls a pending move back. It returns once that is committed.
func (c *Client) CancelMove(ctx context.Context, req CancelRequest) (Move, error) {
	return post[Move](ctx, c, PathMoveCancel, req)
}

// Explain tells why the active is what it is, and what would happen if a node died.
func (c *Client) Explain(ctx context.Context) (Explanation, error) {
	return get[Explanation](ctx, c, PathExplain)
}

// History returns the decisions, the newest first.
func (c *Client) History(ctx context.Context) (History, error) {
	return get[History](ctx, c, PathHistory)
}

// Nodes returns the database nodes as all members see them.
func (c *Client) Nodes(ctx context.Context) ([]Node, error) {
	return get[[]Node](ctx, c, PathNodes)
}

// Members returns the members of the gossip.
func (c *Client) Members(ctx context.Context) ([]Member, error) {
	return get[[]Member](ctx, c, PathMembers)
}

// RemoveMember takes a voter that never comes back out of the voters. It returns
// once that is committed.
func (c *Client) RemoveMember(ctx context.Context, name string) (RemoveResponse, error) {
	return post[RemoveResponse](ctx, c, PathMembersRemove, MemberRequest{Name: name, Reasoned: Reasoned{c.reason}})
}

// Exclude keeps a node from being chosen automatically.
func (c *Client) Exclude(ctx context.Context, node string) (Active, error) {
	return post[Active](ctx, c, PathExclude, NodeRequest{Node: node, Reasoned: Reasoned{c.reason}})
}

// Include undoes Exclude.
func (c *Client) Include(ctx context.Context, node string) (Active, error) {
	return post[Active](ctx, c, PathInclude, NodeRequest{Node: node, Reasoned: Reasoned{c.reason}})
}

// Freeze stops automatic changes of the active.
func (c *Client) Freeze(ctx context.Context, reason string) (Active, error) {
	return post[Active](ctx, c, PathFreeze, Reasoned{reason})
}

// Unfreeze undoes Freeze.
func (c *Client) Unfreeze(ctx context.Context, reason string) (Active, error) {
	return post[Active](ctx, c, PathUnfreeze, Reasoned{reason})
}

// Register returns the replicated record as the daemon knows it.
func (c *Client) Register(ctx context.Context) (Register, error) {
	return get[Register](ctx, c, PathRegister)
}

// RegisterInit makes the first record; with force also with fewer than all
// initial voters.
func (c *Client) RegisterInit(ctx context.Context, force bool) (Register, error) {
	return post[Register](ctx, c, PathRegisterInit, InitRequest{Force: force, Reasoned: Reasoned{c.reason}})
}

// RegisterRecover raises the recovery generation with the named members as its
// voters. For when the majority's disks are gone for good.
func (c *Client) RegisterRecover(ctx context.Context, voters []string) (Register, error) {
	return post[Register](ctx, c, PathRegisterRecover, RecoverRequest{Voters: voters, Reasoned: Reasoned{c.reason}})
}

// LowerVersion lets older daemons take part again, and tells what is lost by it.
func (c *Client) LowerVersion(ctx context.Context, req LowerRequest) (LowerResponse, error) {
	return post[LowerResponse](ctx, c, PathRegisterLower, req)
}

// RaiseVersion takes LowerVersion back: the lowest version rises again by itself.
func (c *Client) RaiseVersion(ctx context.Context) (Register, error) {
	return post[Register](ctx, c, PathRegisterRaise, struct{}{})
}

// Check returns the daemon's word on the node at address (IP:PORT).
func (c *Client) Check(ctx context.Context, address string) (Check, error) {
	return get[Check](ctx, c, PathCheck+"?"+url.Values{"address": {address}}.Encode())
}

func get[T any](ctx context.Context, c *Client, path string) (T, error) {
	var out T
	err := c.do(ctx, http.MethodGet, path, nil, &out)
	return out, err
}

func post[T any](ctx context.Context, c *Client, path string, req any) (T, error) {
	var out T
	body, err := json.Marshal(req)
	if err != nil {
		return out, fmt.Errorf("encode the request to haproxyd: %w", err)
	}
	err = c.do(ctx, http.MethodPost, path, body, &out)
	return out, err
}

// do makes one exchange by the way that was one last, else by the next, and decodes the answer into out, or returns the
// [*Error] in the body.
func (c *Client) do(ctx context.Context, method, path string, body []byte, out any) error {
	if c.err != nil {
		return c.err
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, DefaultTimeout)
		defer cancel()
	}
	var failed []error
	first := c.last.Load()
	for i := range c.ways {
		at := (int(first) + i) % len(c.ways)
		err := c.ways[at].within(ctx, len(c.ways)-i, method, path, body, out)
		if err == nil || ctx.Err() != nil || !next(method, err) {
			if ctx.Err() != nil && method == http.MethodGet {
				at++ // whoever asks again does not wait for this one again
			}
			c.last.Store(int64(at))
			return err
		}
		failed = append(failed, err)
	}
	return together(failed)
}

// within is do, for a question in so little time that there is some left for the other ways.
func (w *way) within(ctx context.Context, ways int, method, path string, body []byte, out any) error {
	if deadline, ok := ctx.Deadline(); ok && ways > 1 && method == http.MethodGet {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, min(answerWithin, time.Until(deadline)/time.Duration(ways)))
		defer cancel()
	}
	return w.do(ctx, method, path, body, out)
}

func (w *way) do(ctx context.Context, method, path string, body []byte, out any) error {
	start := time.Now()
	var shaken atomic.Bool
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{TLSHandshakeDone: func(_ tls.ConnectionState, err error) { shaken.Store(err == nil) }})
	req, err := http.NewRequestWithContext(traced, method, w.base+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make the request to haproxyd: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := w.http.Do(req)
	if err != nil {
		return w.explain(ctx, err, time.Since(start), shaken.Load())
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return w.explain(ctx, err, time.Since(start), shaken.Load())
	}
	if resp.StatusCode/100 == 2 {
		if err := json.Unmarshal(data, out); err != nil {
			return wayf(ErrNoAnswer, err, "the answer on %s is not haproxyd's (%v): is this the admin socket of haproxyd, and of this version?", w.name, err)
		}
		return nil
	}
	var refusal Error
	if err := json.Unmarshal(data, &refusal); err != nil || refusal.Message == "" {
		return wayf(ErrNoAnswer, ErrNoAnswer, "the answer on %s is not haproxyd's (HTTP status %s for %s): is this the admin socket of haproxyd, and of this version?", w.name, resp.Status, path)
	}
	return &refusal
}

// wayError is a sentence about the way to the daemon; it matches its kind
// (ErrUnreachable or ErrNoAnswer) and the cause without repeating them.
type wayError struct {
	text string
	kind error
	err  error
}

func (e *wayError) Error() string   { return e.text }
func (e *wayError) Unwrap() []error { return []error{e.kind, e.err} }

func wayf(kind, cause error, format string, args ...any) error {
	return &wayError{text: fmt.Sprintf(format, args...), kind: kind, err: cause}
}

// explain turns a failure of the exchange into a sentence that says which socket
// it was and what to do about it.
func (w *way) explain(ctx context.Context, err error, took time.Duration, shaken bool) error {
	if w.remote {
		return w.explainRemote(ctx, err, took, shaken)
	}
	var op *net.OpError
	dialing := errors.As(err, &op) && op.Op == "dial"
	kind := ErrNoAnswer
	if dialing {
		kind = ErrUnreachable
	}
	wrap := func(format string, args ...any) error {
		return wayf(kind, err, format, args...)
	}
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return wrap("interrupted before haproxyd answered on %s", w.name)
	case ctx.Err() != nil || errors.As(err, &timeout) && timeout.Timeout():
		return wrap("haproxyd did not answer on %s within %s: it hangs or is overloaded; see its log and /healthz",
			w.name, told(took))
	case errors.Is(err, fs.ErrNotExist):
		return wrap("there is no socket %s: is haproxyd running? Start it, or name its socket with --admin-socket", w.name)
	case errors.Is(err, fs.ErrPermission):
		return wrap("no permission to open %s: use sudo, or join the group that owns it", w.name)
	case errors.Is(err, syscall.ECONNREFUSED):
		if st, serr := os.Stat(w.name); serr == nil && st.Mode()&fs.ModeSocket == 0 {
			return wrap("%s is not a socket: name haproxyd's with --admin-socket", w.name)
		}
		return wrap("nobody listens on %s: haproxyd has stopped; start it", w.name)
	case errors.Is(err, syscall.EAGAIN):
		// A unix socket answers so when its queue of waiting connections is full.
		return wrap("haproxyd accepts no more connections on %s: it hangs or is overloaded; see its log and /healthz", w.name)
	case dialing:
		return wrap("cannot open %s (%v): name haproxyd's socket with --admin-socket", w.name, op.Err)
	default:
		return wrap("haproxyd's answer on %s broke off (%v): it stopped meanwhile; look at its log, then try again", w.name, unwrapURL(err))
	}
}

// told is a time as people wait for it.
func told(d time.Duration) time.Duration {
	if d < time.Second {
		return d.Round(time.Millisecond)
	}
	return d.Round(100 * time.Millisecond)
}

// unwrapURL drops the method and the made-up host that net/http puts in front.
func unwrapURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
