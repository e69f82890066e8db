package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/haproxy-peers/haproxy-peers/configs"
	"github.com/haproxy-peers/haproxy-peers/control/api"
	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

type (
	apiActive = api.Active
	apiNode   = api.Node
)

const (
	// writers is the sticky backend of the load, its native table's name too.
	writers = "galera-nodes"
	// private is the table that the daemon alone writes.
	private = "haproxyd-steer"
	// keepKey is the private table's key that keeps connections on the active: that it is there counts, not its number.
	keepKey = "4"
)

// until polls ok until it holds: the condition is the synchronisation.
func until(ctx context.Context, what string, ok func() (bool, string)) error {
	for {
		done, state := ok()
		if done {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited for %s: %w; last: %s", what, ctx.Err(), state)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// client speaks to one proxy's daemon without a process of its own for each question.
func client(p *lab.Proxy) *api.Client { return api.New(p.Daemon.AdminSocket) }

// waitNode waits until every running daemon's word on a node satisfies ok.
func (s *scenario) waitNode(node, what string, ok func(apiNode) bool) error {
	return until(s.within(20*time.Second), node+" to be "+what, func() (bool, string) {
		for _, p := range s.PX {
			if !p.Daemon.Running() {
				continue
			}
			nodes, err := client(p).Nodes(s.ctx)
			if err != nil {
				return false, err.Error()
			}
			for _, n := range nodes {
				if n.Name == node && !ok(n) {
					return false, fmt.Sprintf("%s says %+v", p.Name, n)
				}
			}
		}
		return true, ""
	})
}

// waitHealthy waits until every voter calls the node healthy.
func (s *scenario) waitHealthy(node string) error {
	return s.waitNode(node, "healthy for all", func(n apiNode) bool { return n.Healthy == len(s.PX) })
}

// waitOn waits until these proxies' daemons satisfy ok; others may be dead or stopped.
func (s *scenario) waitOn(proxies []*lab.Proxy, what string, ok func(apiActive) bool) error {
	return until(s.within(30*time.Second), what, func() (bool, string) {
		for _, p := range proxies {
			if a, err := client(p).Active(s.ctx); err != nil || !ok(a) {
				return false, fmt.Sprintf("%s: %+v, %v", p.Name, a, err)
			}
		}
		return true, ""
	})
}

// otherThan waits until all daemons agree on another active, and returns it.
func (s *scenario) otherThan(node string) string {
	s.t.Helper()
	s.must(s.WaitAll(s.within(20*time.Second), "another active than "+node, func(a apiActive) bool {
		return a.Agreed && a.Active != "" && a.Active != node
	}))
	return s.active(s.PX[0]).Active
}

// active asks one proxy's daemon for the agreement.
func (s *scenario) active(p *lab.Proxy) apiActive {
	s.t.Helper()
	a, err := client(p).Active(s.ctx)
	s.must(err)
	return a
}

// unchanged asserts that the record is the one before: nothing was decided, nothing written.
func (s *scenario) unchanged(before apiActive) {
	s.t.Helper()
	if now := s.active(s.PX[0]); now.Epoch != before.Epoch || now.Revision != before.Revision || now.Active != before.Active {
		s.t.Errorf("the record changed: %+v, before %+v", now, before)
	}
}

// status asks one proxy's daemon for everything.
func (s *scenario) status(p *lab.Proxy) api.Status {
	s.t.Helper()
	st, err := client(p).Status(s.ctx)
	s.must(err)
	return st
}

// waitProblem waits until one proxy's daemon names a problem that contains all of the texts, and returns it.
func (s *scenario) waitProblem(p *lab.Proxy, within time.Duration, texts ...string) string {
	s.t.Helper()
	found := ""
	s.must(until(s.within(within), fmt.Sprintf("a problem of %s with %q", p.Name, texts), func() (bool, string) {
		st, err := client(p).Status(s.ctx)
		if err != nil {
			return false, err.Error()
		}
		for _, problem := range st.Problems {
			if !slices.ContainsFunc(texts, func(t string) bool { return !strings.Contains(problem.Text, t) }) {
				found = problem.Text
				return true, ""
			}
		}
		return false, fmt.Sprintf("%q", st.Problems)
	}))
	return found
}

// leader returns the proxy whose daemon leads the voters, and the others.
func (s *scenario) leader() (leader *lab.Proxy, others []*lab.Proxy) {
	s.t.Helper()
	r, err := client(s.PX[0]).Register(s.ctx)
	s.must(err)
	for _, p := range s.PX {
		if p.Name == r.Leader {
			leader = p
		} else {
			others = append(others, p)
		}
	}
	if leader == nil {
		s.t.Fatalf("no leader: %+v", r)
	}
	return leader, others
}

// runtime sends a line to one proxy's HAProxy.
func (s *scenario) runtime(p *lab.Proxy, line string) string {
	s.t.Helper()
	out, err := p.Runtime(s.ctx, line)
	s.must(err)
	return out
}

// write sends a line that changes something: HAProxy answers success with blank lines only.
func (s *scenario) write(p *lab.Proxy, line string) {
	s.t.Helper()
	if out := s.runtime(p, line); strings.TrimSpace(out) != "" {
		s.t.Fatalf("%s: %q: %s", p.Name, line, out)
	}
}

// entry is a stick-table entry as `show table` prints it: key=1 use=0 exp=0 server_id=2 server_key=db1.
type entry map[string]string

// entries reads a table.
func (s *scenario) entries(p *lab.Proxy, table string) []entry {
	s.t.Helper()
	var out []entry
	for line := range strings.Lines(s.runtime(p, "show table "+table)) {
		if !strings.HasPrefix(line, "0x") {
			continue
		}
		e := entry{}
		for _, word := range strings.Fields(line) {
			if k, v, ok := strings.Cut(word, "="); ok {
				e[k] = v
			}
		}
		out = append(out, e)
	}
	return out
}

// leadsTo tells whether a table has just these keys (and maybe the keep key) and each leads to the node: by name if there
// is one, else by id.
func (s *scenario) leadsTo(p *lab.Proxy, table, node string, keys ...string) bool {
	s.t.Helper()
	id := strconv.Itoa(slices.Index(s.DB, s.Node(node)) + 1)
	right := []string{}
	for _, e := range s.entries(p, table) {
		if table == private && e["key"] == keepKey {
			continue
		}
		key := e["server_key"]
		if key == node || (key == "" || key == "-") && e["server_id"] == id {
			right = append(right, e["key"])
		}
	}
	slices.Sort(right)
	return slices.Equal(right, slices.Sorted(slices.Values(keys)))
}

// untilRight waits until a table leads to the node on these proxies and returns how long that took.
func (s *scenario) untilRight(proxies []*lab.Proxy, table, node string, keys ...string) time.Duration {
	s.t.Helper()
	start := time.Now()
	for _, p := range proxies {
		for !s.leadsTo(p, table, node, keys...) {
			if s.ctx.Err() != nil || time.Since(start) > 20*time.Second {
				s.t.Fatalf("%s of %s is not put right: %v", table, p.Name, s.entries(p, table))
			}
			time.Sleep(time.Millisecond) // the figure is in milliseconds
		}
	}
	return time.Since(start)
}

// waitNativeTables waits until the shared tables lead to the node on every proxy, and stay so: after a move the proxies
// teach each other what was before, and the daemons correct that at a calm pace. Scenarios that take the daemons away
// begin after it.
func (s *scenario) waitNativeTables(node string, keys ...string) error {
	const looks = 20
	right := 0
	return until(s.within(20*time.Second), "the shared tables to lead to "+node, func() (bool, string) {
		for _, p := range s.PX {
			if !s.leadsTo(p, writers, node, keys...) {
				right = 0
				return false, fmt.Sprintf("%s: %v", p.Name, s.entries(p, writers))
			}
		}
		right++
		return right >= looks, ""
	})
}

// firstServer is the first server of the writers' backend in the proxy's file: where a HAProxy starts that knows
// nothing yet.
func (s *scenario) firstServer(p *lab.Proxy) string {
	s.t.Helper()
	t, err := configs.Load(p.ConfigFile)
	s.must(err)
	for _, b := range t.Sticky {
		if b.Name == writers {
			return b.Servers[0].Name
		}
	}
	s.t.Fatalf("%s has no backend %s", p.ConfigFile, writers)
	return ""
}

// waitFirst waits until every file lists the node first: the daemons' last step of a move.
func (s *scenario) waitFirst(node string) {
	s.t.Helper()
	for _, p := range s.PX {
		s.must(until(s.within(10*time.Second), node+" to be first in "+p.ConfigFile, func() (bool, string) {
			first := s.firstServer(p)
			return first == node, first
		}))
	}
}

// counted is how many connections of the load each node but one has counted itself.
func (s *scenario) counted(except string) map[string]int {
	s.t.Helper()
	out := map[string]int{}
	for _, n := range s.DB {
		if n.Name == except {
			continue
		}
		c, err := n.Connections(s.ctx, lab.AppUser)
		s.must(err)
		out[n.Name] = c
	}
	return out
}

// sameCount asserts that no connection reached another node, by the nodes' own count.
func (s *scenario) sameCount(before map[string]int, except string) {
	s.t.Helper()
	if now := s.counted(except); !maps.Equal(before, now) {
		s.t.Errorf("connections to nodes other than %s: %v, before %v", except, now, before)
	}
}

// wrong returns the connections that began between two moments and reached another node.
func wrong(log *lab.Log, from, to time.Duration, node string) []lab.Connection {
	return slices.DeleteFunc(log.Wrong(from, node), func(c lab.Connection) bool { return c.Start >= to })
}

// through keeps the connections of some proxies.
func through(list []lab.Connection, proxies ...*lab.Proxy) []lab.Connection {
	return slices.DeleteFunc(slices.Clone(list), func(c lab.Connection) bool {
		return !slices.ContainsFunc(proxies, func(p *lab.Proxy) bool { return p.Name == c.Via })
	})
}

// allRight asserts that every connection since a moment reached the node.
func (s *scenario) allRight(list []lab.Connection, what string) {
	s.t.Helper()
	if len(list) > 0 {
		s.t.Errorf("%s: %d connections went elsewhere, the first and the last are %+v %+v", what, len(list), list[0], list[len(list)-1])
	}
}

// get asks a daemon's public listener on its proxy's loopback.
func (s *scenario) get(p *lab.Proxy, path string) (int, string) {
	s.t.Helper()
	res, err := p.HTTPClient().Get("http://127.0.0.1:9102" + path)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	s.must(err)
	return res.StatusCode, strings.TrimSpace(string(body))
}

// waitBeacon waits until /beacon has that status.
func (s *scenario) waitBeacon(p *lab.Proxy, status int) {
	s.t.Helper()
	s.must(until(s.within(15*time.Second), fmt.Sprintf("the beacon of %s to answer %d", p.Name, status), func() (bool, string) {
		got, body := s.get(p, "/beacon")
		return got == status, fmt.Sprintf("%d %s", got, body)
	}))
}

// waitNative waits until HAProxy itself takes the beacon for down: from then on plain stickiness rules.
func (s *scenario) waitNative(proxies ...*lab.Proxy) {
	s.t.Helper()
	for _, p := range proxies {
		s.must(until(s.within(10*time.Second), p.Name+" to see no beacon", func() (bool, string) {
			state := s.serverState(p, "haproxyd", "local")
			return state == "0", state
		}))
	}
}

// serverState is srv_op_state of `show servers state`: 0 stopped, 1 starting, 2 running, 3 stopping.
func (s *scenario) serverState(p *lab.Proxy, backend, server string) string {
	s.t.Helper()
	// be_id be_name srv_id srv_name srv_addr srv_op_state ...
	for line := range strings.Lines(s.runtime(p, "show servers state "+backend)) {
		if f := strings.Fields(line); len(f) > 5 && f[1] == backend && f[3] == server {
			return f[5]
		}
	}
	return "absent"
}

// forced is an operator's --force.
func forced(node string) api.SetRequest { return api.SetRequest{Node: node, Force: true} }

// metric sums the samples of one metric whose labels contain all of the texts.
func (s *scenario) metric(p *lab.Proxy, name string, labels ...string) float64 {
	s.t.Helper()
	code, body := s.get(p, "/metrics")
	for ; code == http.StatusServiceUnavailable; code, body = s.get(p, "/metrics") {
		wait(s.ctx, 50*time.Millisecond) // /metrics is answered so many times a second
		s.must(s.ctx.Err())
	}
	sum, found := 0.0, false
	lines := bufio.NewScanner(strings.NewReader(body))
	for lines.Scan() {
		sample, value, ok := strings.Cut(lines.Text(), " ")
		if !ok || sample != name && !strings.HasPrefix(sample, name+"{") ||
			slices.ContainsFunc(labels, func(l string) bool { return !strings.Contains(sample, l) }) {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		s.must(err)
		sum, found = sum+v, true
	}
	if !found {
		s.t.Errorf("%s exports no %s with %q", p.Name, name, labels)
	}
	return sum
}
